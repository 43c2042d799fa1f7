"""Running a pipeline: opening it, going on with it, telling of its changes."""
