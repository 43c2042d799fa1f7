"""One-way pipelines: rows of a source, as they are, at a destination."""
