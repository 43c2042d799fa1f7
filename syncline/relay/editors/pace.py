"""What editors say about who is there, at a bounded pace.

Awareness is only about now: of what comes faster than anybody can follow, the latest is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from syncline.engine.yjs.messages import Client
from syncline.transports.token_bucket import TokenBucket

AWARENESS_PER_SECOND = 20
"""Awareness messages of one channel that are taken in, in the long run."""
MAX_AWARENESS = 40
"""The same at once."""
MAX_WAITING_BYTES = 256 << 10
"""What may wait of one channel."""
QUERIES_PER_SECOND = 1
"""Answers to the question who is there, in the long run."""
MAX_QUERIES = 10
"""The same at once."""


class Paced:
    """Does something when it is asked to, but not too often: asked several times before its time
    has come, it does it once then."""

    def __init__(self, do: Callable[[], None], rate: float, burst: float) -> None:
        self._do = do
        self._bucket = TokenBucket(rate, burst)
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._bucket.take(1, loop.time())
        if wait:
            self._timer = loop.call_later(wait, self._due)
        else:
            self._do()

    def _due(self) -> None:
        self._timer = None
        self._do()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AwarenessInbox:
    """Gives ``take_in`` what comes of one channel: the latest of each client, in its turn."""

    def __init__(self, take_in: Callable[[tuple[Client, ...]], None]) -> None:
        self._take_in = take_in
        self._waiting: dict[int, Client] = {}
        self._size = 0
        self._paced = Paced(self._flush, AWARENESS_PER_SECOND, MAX_AWARENESS)

    def put(self, clients: tuple[Client, ...]) -> None:
        """Raises what ``take_in`` raises, if it is called at once."""
        for client in clients:
            known = self._waiting.get(client.id)
            if known is None or (client.clock, client.state is None) >= (
                known.clock,
                known.state is None,
            ):
                self._size += _size(client) - (0 if known is None else _size(known))
                self._waiting[client.id] = client
        if self._size > MAX_WAITING_BYTES:
            self._flush()
        elif self._waiting:
            self._paced.ask()

    def _flush(self) -> None:
        waiting, self._waiting, self._size = tuple(self._waiting.values()), {}, 0
        self._take_in(waiting)

    def close(self) -> None:
        self._paced.cancel()


def _size(client: Client) -> int:
    return 16 + len(client.state or "")
