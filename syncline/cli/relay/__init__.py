"""Commands about relays and stores."""
