"""A document's history: read struct by struct, rebuilt, forked, cut to a snapshot."""
