"""Presence: who is at a document, as the relay knows it from their awareness.

The clients run the awareness protocol of y-protocols 1.0.7 among themselves; the relay keeps the
latest state of each, tells it to who comes, and takes away who goes. So it knows what no client
does: through which channel each one speaks, and for which principal. A client that is known to be
at one channel is not heard through another (clients send on what they hear), unless it introduces
itself there, having lost its connection before the relay noticed. It can do so only for the same
principal: nobody takes over a client of somebody else who is there.

A client that loses its connection forgets who was there, but not their clocks, and ignores what it
is told of them when it is back, until they raise those. So whoever it may have known is asked to.

Times are seconds of any clock that does not go back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from syncline.engine.errors import LimitExceeded

from .messages import Client

EXPIRY_SECONDS = 30.0
"""A client that has not renewed its awareness for this long has gone; they do so after 15 s."""
MAX_PRESENT = 2000
"""Most clients at one document, present or remembered."""
MAX_PRESENT_PER_CHANNEL = 64
"""Most clients that one channel speaks for."""
MAX_STATES_PER_CHANNEL = 256 << 10
"""What they say together, in bytes of JSON."""


@dataclass(slots=True)
class _Known:
    channel: object
    principal: str
    clock: int
    state: str | None
    renewed: float
    told: int  # when others were last told of it, or it left: a count of such events


class Presence:
    """The awareness of everybody at one document. A channel is any hashable object."""

    def __init__(self) -> None:
        self._clients: dict[int, _Known] = {}
        self._counts = Counter[object]()  # clients, by channel
        self._sizes = Counter[object]()  # of their states
        self._told = 0

    def present(self) -> Iterator[int]:
        """The ids of all clients that are present."""
        return (id_ for id_, known in self._clients.items() if known.state is not None)

    def clients(self, ids: Iterable[int], *, besides: object) -> tuple[Client, ...]:
        """The latest awareness of clients, without those that speak through ``besides``."""
        return tuple(
            Client(id_, known.clock, known.state)
            for id_ in ids
            if (known := self._clients.get(id_)) is not None and known.channel is not besides
        )

    def update(
        self,
        channel: object,
        clients: Iterable[Client],
        now: float,
        *,
        principal: str = "",
        introduction: bool = False,
    ) -> list[int]:
        """Take in what came through ``channel`` from ``principal``; return the ids of whom there is
        news.

        An ``introduction`` is what a client says of itself when it connects: it is news also at the
        clock that it had before. Raises LimitExceeded.
        """
        news: list[int] = []
        for client in clients:
            known = self._clients.get(client.id)
            if known is None:
                if client.state is not None:
                    self._admit(channel, principal, client, now)
                    news.append(client.id)
            elif self._is_news(
                known,
                channel,
                client,
                introduction=introduction and self.may_introduce(client.id, principal),
            ):
                self._say(channel, principal, client, now)
                news.append(client.id)
        return news

    def may_introduce(self, id_: int, principal: str) -> bool:
        """Whether a client ``id_`` may come for ``principal``: not while it is there for somebody
        else."""
        known = self._clients.get(id_)
        return known is None or known.state is None or known.principal == principal

    @staticmethod
    def _is_news(known: _Known, channel: object, client: Client, *, introduction: bool) -> bool:
        if known.state is None:
            # It has gone; only itself says at an unchanged clock that it is here again.
            return client.state is not None and (
                client.clock > known.clock or (introduction and client.clock == known.clock)
            )
        if introduction:
            return client.clock >= known.clock
        if known.channel is not channel:
            return False
        return client.clock > known.clock or (client.clock == known.clock and client.state is None)

    def _admit(self, channel: object, principal: str, client: Client, now: float) -> None:
        if len(self._clients) >= MAX_PRESENT:
            self._forget(now)
        if len(self._clients) >= MAX_PRESENT:
            raise LimitExceeded(
                f"{MAX_PRESENT} clients are at this document, which is the most.",
                hint="Connect again when some have left, or without awareness.",
            )
        self._say(channel, principal, client, now)

    def _say(self, channel: object, principal: str, client: Client, now: float) -> None:
        known = self._clients.get(client.id)
        mine = known is not None and known.channel is channel
        if not mine and self._counts[channel] >= MAX_PRESENT_PER_CHANNEL:
            raise LimitExceeded(
                f"One connection speaks for {MAX_PRESENT_PER_CHANNEL} clients at this document, "
                "which is the most.",
                hint="Give every client a connection.",
            )
        before = _size(known.state) if known is not None and mine else 0
        if self._sizes[channel] - before + _size(client.state) > MAX_STATES_PER_CHANNEL:
            raise LimitExceeded(
                f"The awareness of one connection has more than {MAX_STATES_PER_CHANNEL:,} bytes "
                "at this document, which is the most.",
                hint="Keep in it who somebody is and where the cursor stands.",
            )
        self._set(channel, principal, client, now)

    def _set(self, channel: object, principal: str, client: Client, renewed: float) -> None:
        self._drop(client.id)
        self._told += 1
        self._clients[client.id] = _Known(
            channel, principal, client.clock, client.state, renewed, self._told
        )
        if channel is not None:
            self._counts[channel] += 1
            self._sizes[channel] += _size(client.state)

    def _drop(self, id_: int) -> None:
        known = self._clients.pop(id_, None)
        if known is None or known.channel is None:
            return
        self._counts[known.channel] -= 1
        self._sizes[known.channel] -= _size(known.state)
        if not self._counts[known.channel]:
            del self._counts[known.channel], self._sizes[known.channel]

    def invisible_to(self, id_: int) -> Iterator[tuple[object, int]]:
        """Who is at a clock that the client ``id_``, which is about to introduce itself, may know
        from before: their channels and ids."""
        known = self._clients.get(id_)
        if known is not None:
            # Of a client that is back before it was missed nobody knows when it went.
            went = self._told if known.state is not None else known.told
            for other, there in self._clients.items():
                if there.state is not None and there.told <= went and other != id_:
                    yield there.channel, other

    def leave(self, channel: object) -> list[int]:
        """``channel`` has closed; return the ids of the clients that have gone with it."""
        return self._remove(
            id_
            for id_, known in self._clients.items()
            if known.channel is channel and known.state is not None
        )

    def expire(self, now: float) -> list[int]:
        """Return the ids of clients that have gone without a word."""
        self._forget(now)
        return self._remove(
            id_
            for id_, known in self._clients.items()
            if known.state is not None and now - known.renewed >= EXPIRY_SECONDS
        )

    def _remove(self, ids: Iterable[int]) -> list[int]:
        gone = list(ids)
        for id_ in gone:
            known = self._clients[id_]
            # At the same clock, so that it may come back at the next.
            self._set(None, known.principal, Client(id_, known.clock, None), known.renewed)
        return gone

    def _forget(self, now: float) -> None:
        """Drop those who have gone so long ago that nobody repeats what they last said."""
        old = [
            id_
            for id_, known in self._clients.items()
            if known.state is None and now - known.renewed >= 2 * EXPIRY_SECONDS
        ]
        for id_ in old:
            self._drop(id_)


def _size(state: str | None) -> int:
    return 0 if state is None else len(state.encode())
