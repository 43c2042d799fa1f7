"""A connection of the websocket server, with the bounds that the library lacks.

The library parses all that a read of the socket brought before anything else happens. A read may
bring 40,000 empty pings, and each costs as much as a message. So bytes are handed on in slices, and
between frames everybody else has a turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from syncline.engine.bounded_cache import BoundedCache

from .token_bucket import TokenBucket
from .websocket import SUBPROTOCOL

FRAME_TOO_LARGE = 4413
"""The close code for a client that is no replica and sends a frame beyond the limit."""
MAX_CONTROL_FRAMES = 200
"""Pings and pongs that a peer may send at once."""
CONTROL_FRAMES_PER_SECOND = 10
"""And in the long run: peers that are well send one in some seconds."""
MAX_NEW_CONNECTIONS = 1_000
"""Connections that may come from one address at once."""
NEW_CONNECTIONS_PER_SECOND = 100
"""And in the long run. A handshake costs as much as many frames."""
MAX_ADDRESSES = 10_000
"""Addresses of which it is known how many came."""
_SLICE_BYTES = 2048
_FRAMES_AT_ONCE = 16  # after which others have a turn
_SLICES_AT_ONCE = 128  # likewise, of a large frame
_CONTROL = frozenset({Opcode.PING, Opcode.PONG})


class Arrivals:
    """How many connections came from each address; of those that ``is_exempt`` any number may. And
    their handshakes, one in each turn of the loop: when hundreds come at once, those who are here
    already have theirs in between."""

    def __init__(self, is_exempt: Callable[[str], bool]) -> None:
        self._is_exempt = is_exempt
        self._waiting: deque[Callable[[], None]] = deque()
        self._buckets = BoundedCache[str, TokenBucket](MAX_ADDRESSES)

    def too_many(self, address: str, now: float) -> bool:
        """Whether another one from there comes too soon."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = TokenBucket(NEW_CONNECTIONS_PER_SECOND, MAX_NEW_CONNECTIONS)
            self._buckets.put(address, bucket)
        return not bucket.spend(1, now) and not self._is_exempt(address)

    def in_turn(self, handshake: Callable[[], None]) -> None:
        """Call ``handshake`` when those before it are done."""
        self._waiting.append(handshake)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        handshake = self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        handshake()


def bounded_connection(
    sockets: set[ServerConnection],
    arrivals: Arrivals,
    *,
    max_sockets: int,
    close_timeout: float,
) -> type[ServerConnection]:
    """The class of connections that have these bounds; ``sockets`` collects them all."""

    class BoundedConnection(ServerConnection):
        ending = False
        flooded = False  # it is read no further
        unwelcome = False  # it was cut off as it came, and the library knows nothing of it

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            peer = transport.get_extra_info("peername")
            if peer and arrivals.too_many(str(peer[0]), self.loop.time()):
                self.unwelcome = True
                cast("asyncio.Transport", transport).abort()
                return
            super().connection_made(transport)
            setattr(self.protocol, "fail", self.fail)  # noqa: B010  mypy knows no method as a slot
            self.unparsed = bytearray()
            self.frames = 0
            self.feeding = False  # a later turn goes on with what is unparsed
            self.full = False  # frames wait for who receives
            self.recv_messages.pause = self.hold
            self.recv_messages.resume = self.go_on
            self.control = TokenBucket(CONTROL_FRAMES_PER_SECOND, MAX_CONTROL_FRAMES)
            sockets.add(self)
            if len(sockets) > max_sockets:  # most of them have not asked for anything yet
                self.transport.abort()

        def fail(self, code: int, reason: str = "") -> None:
            # y-websocket would send a frame that is too large again and again after 1009; what
            # begins with 44 it takes for final.
            if code == 1009 and self.protocol.subprotocol != SUBPROTOCOL:
                code, reason = FRAME_TOO_LARGE, "the change is too large to be sent at once"
            type(self.protocol).fail(self.protocol, code, reason)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.unwelcome:
                return
            sockets.discard(self)
            self.unparsed.clear()
            super().connection_lost(exc)

        # Turns

        def data_received(self, data: bytes) -> None:
            if self.unwelcome:
                return
            self.unparsed += data
            if self.feeding:
                return
            if self.state is State.CONNECTING:
                self.feeding = True
                arrivals.in_turn(self.feed)
            else:
                self.feed()

        def eof_received(self) -> None:
            if not self.unwelcome:
                super().eof_received()

        def hold(self) -> None:
            """Too many frames wait to be received."""
            self.full = True
            self.transport.pause_reading()

        def go_on(self) -> None:
            """There is room for frames again."""
            self.full = False
            if self.flooded:
                pass
            elif self.unparsed:
                self.feed_later()
            else:
                self.transport.resume_reading()

        def feed_later(self) -> None:
            if not self.feeding:
                self.feeding = True
                self.loop.call_soon(self.feed)

        def feed(self) -> None:
            """Parse until enough frames came."""
            self.feeding = False
            frames = self.frames
            for _ in range(_SLICES_AT_ONCE):
                if not self.unparsed or self.full or self.frames - frames >= _FRAMES_AT_ONCE:
                    break
                part = bytes(self.unparsed[:_SLICE_BYTES])
                del self.unparsed[:_SLICE_BYTES]
                self.parse(part)
            if self.flooded:
                self.transport.pause_reading()
            elif self.full:
                pass
            elif self.unparsed:
                self.transport.pause_reading()
                self.feed_later()
            else:
                self.transport.resume_reading()

        def parse(self, part: bytes) -> None:
            super().data_received(part)
            if self.control.debt and self.state is State.OPEN:
                self.fail(1008, "there are too many pings")
                self.send_data()
                self.flooded = True
                self.unparsed.clear()
            # A close frame or a broken rule has ended the connection, and the peer is to hang up.
            # The library waits for that without bound, unless somebody sends.
            if self.state is State.CLOSING and not self.ending:
                self.ending = True
                self.loop.call_later(close_timeout, self.transport.abort)

        def process_event(self, event: Frame | Request | Response) -> None:
            self.frames += 1
            if isinstance(event, Frame) and event.opcode in _CONTROL:
                self.control.take(1, self.loop.time())
            super().process_event(event)

    return BoundedConnection
