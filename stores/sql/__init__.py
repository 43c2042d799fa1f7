"""The SQL store, the same for every database: reading, writing, compacting, verifying, copying."""
