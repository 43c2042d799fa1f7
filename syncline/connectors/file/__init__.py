"""The pipeline file: read, checked, and given as values."""
