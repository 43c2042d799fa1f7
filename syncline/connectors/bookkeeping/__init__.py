"""What pipelines remember in Syncline's own tables: state, notes, quarantine, webhooks."""
