"""What makes a document a record: its schema, whether it lives, its row, its changes."""
