"""A network inside one process, with faults drawn from a seed.

Theory of operation. A listener's handler and whoever connects get the two ends of an in-memory
connection. Each connection's frames ask it, as their Route, what befalls them. All chance comes
from the one ``random.Random``, all time from the running loop: the same seed, calls and loop order
give the same run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias
from urllib.parse import urlsplit

from syncline.engine.errors import RelayUnreachable
from syncline.engine.protocol.messages import SUBPROTOCOL
from syncline.transports.base import Connect, Request, Transport
from syncline.transports.relay_url import parse_relay_url
from syncline.transports.serving import STOPPING, end_handlers, serve_transport

from .memory import CAPACITY, MemoryTransport, connect_pair

Handler: TypeAlias = Callable[[MemoryTransport, Request], Awaitable[None]]
"""Serves one connection."""

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What befalls frames on their way: probabilities from 0 to 1, delays in seconds.

    ``reorder`` lets frames overtake each other, as far as their delays differ. The end of a
    connection is delayed too, but never lost, doubled or overtaken.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    min_delay: float = 0.0
    max_delay: float = 0.0
    reorder: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.drop <= 1 and 0 <= self.duplicate <= 1):
            raise ValueError(f"Probabilities are from 0 to 1: {self}.")
        if not 0 <= self.min_delay <= self.max_delay:
            raise ValueError(f"Delays are 0 <= min_delay <= max_delay: {self}.")
        if self.reorder and self.min_delay == self.max_delay:
            raise ValueError(f"Frames overtake each other only when delays differ: {self}.")


class _Connection:
    """One connection, and the route of its frames."""

    def __init__(
        self, network: MemoryNetwork, client: str, listener: str, *, reliable: bool
    ) -> None:
        self.names = (client, listener)
        self._reliable = reliable
        self._network = network
        self.ends = connect_pair(self, network.capacity, peers=(listener, client))
        self.task: asyncio.Task[None] | None = None

    @property
    def finished(self) -> bool:
        return all(end.closed for end in self.ends) and self.task is not None and self.task.done()

    @property
    def cut(self) -> bool:
        return self._network.is_cut(*self.names)

    @property
    def ordered(self) -> bool:
        return self._reliable or not self._network.faults.reorder

    def delays(self) -> Sequence[float]:
        faults, rng = self._network.faults, self._network.rng
        if self._reliable:
            return (self.delay(),)
        if rng.random() < faults.drop:
            return ()
        copies = 2 if rng.random() < faults.duplicate else 1
        return [self.delay() for _ in range(copies)]

    def delay(self) -> float:
        faults = self._network.faults
        return self._network.rng.uniform(faults.min_delay, faults.max_delay)


class MemoryNetwork:
    """Connects replicas and relays of one process:

        async with MemoryNetwork(random.Random(seed), Faults(drop=0.1, max_delay=0.2)) as network:
            network.listen("ws://relay", core.serve)
            environment = Environment(connect=network.connector("phone"))

    ``faults`` may be replaced at any time; it counts for what is sent from then on. Leaving the
    block closes the connections and waits for the handlers.
    """

    def __init__(
        self, rng: random.Random, faults: Faults | None = None, *, capacity: int = CAPACITY
    ) -> None:
        self.rng = rng
        self.faults = faults or Faults()
        self.capacity = capacity
        self._handlers: dict[str, Handler] = {}
        self._connections: list[_Connection] = []
        self._cut: set[str] = set()
        self._all_cut = False

    async def __aenter__(self) -> MemoryNetwork:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handlers.clear()
        for connection in self._connections:
            for end in connection.ends:
                await end.close(1001, STOPPING)
        await end_handlers({connection.task for connection in self._connections if connection.task})

    # Connecting

    def listen(self, name: str, handler: Handler) -> None:
        """Serve connections to ``name``, a URL without its path, with ``handler``."""
        if name in self._handlers:
            raise ValueError(f"{name!r} is taken: something listens there.")
        self._handlers[name] = handler

    def stop_listening(self, name: str) -> None:
        """Take no more connections to ``name``; those that are open stay."""
        del self._handlers[name]

    async def connect(
        self,
        url: str,
        *,
        client: str = "client",
        request: Request | None = None,
        reliable: bool = False,
    ) -> MemoryTransport:
        """Connect to who listens at ``url``. Raises RelayUnreachable, InvalidUrl.

        ``client`` names this end, for ``partition`` and ``drop_connections``; ``request`` is what
        it asks for, if not what a replica asks for at this URL. The frames of a ``reliable``
        connection are only delayed, and lost only while one end is cut off.
        """
        parse_relay_url(url)
        parts = urlsplit(url)
        listener = f"{parts.scheme}://{parts.netloc}"
        connection = _Connection(self, client, listener, reliable=reliable)
        await asyncio.sleep(connection.delay())
        handler = self._handlers.get(listener)
        if handler is None or connection.cut:
            raise RelayUnreachable(
                f"Nothing answers at {listener}.",
                hint="Listen there first, or heal the network.",
                retry_after=_RETRY_SECONDS,
            )
        ours, theirs = connection.ends
        request = request or Request(parts.path, subprotocol=SUBPROTOCOL)
        connection.task = asyncio.create_task(serve_transport(handler, theirs, request))
        self._connections = [other for other in self._connections if not other.finished]
        self._connections.append(connection)
        return ours

    def connector(self, client: str) -> Connect:
        """``connect`` for a replica called ``client``."""

        async def connect(url: str) -> Transport:
            return await self.connect(url, client=client)

        return connect

    # Faults at will

    def partition(self, *names: str) -> None:
        """Cut off clients or listeners, by name; without names, all from all.

        Frames are dropped both ways without a word, and nobody can connect, until ``heal``.
        """
        self._cut.update(names)
        self._all_cut = self._all_cut or not names

    def is_cut(self, *names: str) -> bool:
        """Whether one of ``names`` is cut off."""
        return self._all_cut or not self._cut.isdisjoint(names)

    def heal(self) -> None:
        """End all partitions. Connections that one end has closed meanwhile break off (1006)."""
        self._cut.clear()
        self._all_cut = False
        for connection in self._connections:
            for end in connection.ends:
                end.mend()

    def drop_connections(self, *names: str) -> None:
        """Break off the connections of clients or listeners, by name; without names, all.

        As in a crash: both ends see 1006, and what was on its way is lost.
        """
        for connection in self._connections:
            if not names or not set(names).isdisjoint(connection.names):
                connection.ends[0].break_off()
