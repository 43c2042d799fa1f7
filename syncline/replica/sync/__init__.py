"""A replica's connection to its relay."""
