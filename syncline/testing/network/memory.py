"""Transports inside one process, for tests and simulations."""

from __future__ import annotations

import asyncio

from syncline.transports.base import Frame
from syncline.transports.closing import BROKEN_OFF, Closing

from .pipe import Pipe, Route, Wire

CAPACITY = 16
"""Frames that a direction holds before ``send`` waits."""


def memory_pair(capacity: int = CAPACITY) -> tuple[MemoryTransport, MemoryTransport]:
    """Two connected transports: ordered, reliable, immediate. MemoryNetwork has the opposite."""
    return connect_pair(Wire(), capacity, peers=("right", "left"))


def connect_pair(
    route: Route, capacity: int, *, peers: tuple[str, str]
) -> tuple[MemoryTransport, MemoryTransport]:
    """Two transports connected by ``route``; ``peers`` is whom each of them sees."""
    if capacity < 1:
        raise ValueError(f"A transport needs room for at least 1 frame, not {capacity}.")
    to_left, to_right = Pipe(route, capacity), Pipe(route, capacity)
    to_left.opposite, to_right.opposite = to_right, to_left
    return (
        MemoryTransport(incoming=to_left, outgoing=to_right, peer=peers[0]),
        MemoryTransport(incoming=to_right, outgoing=to_left, peer=peers[1]),
    )


class MemoryTransport:
    """One end of an in-memory connection.

    A test decides what this end gets to see, and when: after ``hold()`` nothing more comes through,
    ``release(count)`` lets the next ``count`` frames pass, in order, and ``release()`` all of them
    from then on. What is held counts against the sender's room.
    """

    def __init__(self, *, incoming: Pipe, outgoing: Pipe, peer: str) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._peer = peer
        # Also the queues of those who wait: first come, first served.
        self._sending = asyncio.Lock()
        self._receiving = asyncio.Lock()

    @property
    def peer(self) -> str:
        """The name of the other end."""
        return self._peer

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, as far as this end knows."""
        return self._incoming.ended is not None

    async def send(self, frame: Frame) -> None:
        """Send one frame; waits while there is no room. Raises TransportClosed."""
        async with self._sending:
            while self._incoming.ended is None and self._outgoing.full:
                self._outgoing.writable.clear()
                await self._outgoing.writable.wait()
            if self._incoming.ended is not None:
                raise self._incoming.ended.error(self._peer)
            self._outgoing.launch(frame)

    async def receive(self) -> Frame:
        """The next frame. Raises TransportClosed."""
        async with self._receiving:
            while self._incoming.empty:
                if self._incoming.ended is not None:
                    raise self._incoming.ended.error(self._peer)
                self._incoming.readable.clear()
                await self._incoming.readable.wait()
            return self._incoming.take()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; the other end gets what was sent before, then the code."""
        closing = Closing.here(code, reason)
        if self._incoming.ended is None:
            self._outgoing.launch(closing.seen_by_peer())
        # Even on a connection that has ended: who closes does not want what is left.
        self._incoming.discard(closing)

    def break_off(self) -> None:
        """End the connection as a crash does: both ends see 1006, what was on its way is lost."""
        self._incoming.end(BROKEN_OFF)
        self._outgoing.end(BROKEN_OFF)

    def mend(self) -> None:
        """After a partition: notice that the other end has closed meanwhile, as a reset would."""
        self._incoming.mend()

    @property
    def held(self) -> tuple[Frame, ...]:
        """The frames for this end that are held at present, in their order."""
        return self._incoming.held

    def hold(self) -> None:
        """Hold back the frames for this end that have not come yet."""
        self._incoming.hold()

    def release(self, count: int | None = None) -> None:
        """Let the next ``count`` frames through, held or still to come; None ends holding."""
        self._incoming.release(count)
