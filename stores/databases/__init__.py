"""The databases that hold a store: what each needs to be opened, held and read."""
