"""What strangers write is tasted, in a process that nobody minds, before it is stored or shown."""
