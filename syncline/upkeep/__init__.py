"""The care of a store: snapshots, compaction, rebuilding, backups."""
