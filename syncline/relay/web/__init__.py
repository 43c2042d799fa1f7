"""What the relay's port answers to plain HTTP."""
