"""Two-way pipelines: every system a replica, in its own database."""
