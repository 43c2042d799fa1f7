"""Commands about pipelines, each with a pipeline file."""
