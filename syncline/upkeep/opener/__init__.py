"""A process of its own that opens documents which nobody trusts, and may hang or die of it."""
