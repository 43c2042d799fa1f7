"""What a replica is without a network: its documents, and the journal that makes them durable."""
