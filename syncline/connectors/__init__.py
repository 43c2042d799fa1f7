"""Connectors: SQL databases that take part in synchronization, one-way or two-way."""
