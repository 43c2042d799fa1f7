"""The connections of replicas."""
