"""Replicas: one device's records, documents and connection."""
