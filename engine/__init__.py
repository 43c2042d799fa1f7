"""The sync engine: calls in, effects out; no sockets, no SQL, no event loop, no wall clock."""
