"""What replicas and relays say to each other: messages, frames, and the sessions of both sides."""
