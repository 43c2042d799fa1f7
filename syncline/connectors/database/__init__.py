"""The databases of other people: their tables, rows, values and triggers."""
