"""A network in memory: connections without sockets, and faults by chance from one seed."""

from .memory import MemoryTransport, memory_pair
from .network import Faults, MemoryNetwork

__all__ = ["Faults", "MemoryNetwork", "MemoryTransport", "memory_pair"]
