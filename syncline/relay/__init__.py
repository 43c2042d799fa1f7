"""The relay: it orders, stores and forwards what replicas and editors send."""
