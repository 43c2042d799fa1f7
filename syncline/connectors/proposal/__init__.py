"""What `syncline init` proposes: a pipeline file for the tables that it finds."""
