"""The tables of a store: its own, and those that show records."""
