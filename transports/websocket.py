"""Transports over websockets: the connection, and the client's way to it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.protocol import State
from websockets.proxy import get_proxy
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from .base import Frame
from .closing import ABNORMAL, BROKEN_OFF, Closing
from .loopback import is_loopback
from .relay_url import parse_relay_url
from .unreachable import other_protocol, unreachable

SUBPROTOCOL = Subprotocol("syncline")
"""What the two ends agree on in the websocket handshake."""
MAX_FRAME = 16 << 20
"""Largest frame taken, in bytes."""
MAX_QUEUE = 2
"""Frames read ahead of ``receive``: a connection holds at most a few of the largest size."""
WRITE_LIMIT = 64 << 10
"""Unsent bytes at which ``send`` waits."""

# The library logs every frame's content at DEBUG, and a log must hold none of it.
library_logger = logging.getLogger("syncline.transports.websocket")
library_logger.setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds in seconds. ``open`` is for the handshake, ``close`` for the closing handshake.

    A ping goes out every ``ping`` seconds and is answered within ``pong``. A peer that takes
    nothing of what waits for it for ``stall``, at most twice that, is given up: pings cannot find
    it out, since they queue behind what it does not take.
    """

    open: float = 10.0
    close: float = 5.0
    ping: float = 20.0
    pong: float = 20.0
    stall: float = 20.0


class WebSocketTransport:
    """One end of a websocket connection."""

    def __init__(self, connection: Connection, *, peer: str, timeouts: Timeouts) -> None:
        self._connection = connection
        self._peer = peer
        self._timeouts = timeouts
        self._closed_here: Closing | None = None
        self._stalled = False
        # One frame at a time waits in the library's buffer, which grows with each that is sent.
        self._sending = asyncio.Lock()
        self._receiving = asyncio.Lock()  # the library refuses a second reader
        self._sent = 0
        self._watch(0, 0)

    @property
    def peer(self) -> str:
        """The URL of the server, or the address of the client."""
        return self._peer

    @property
    def subprotocol(self) -> str | None:
        """What the handshake agreed on, if anything."""
        return self._connection.subprotocol

    async def send(self, frame: Frame) -> None:
        """Send one frame; waits until the peer has taken enough. Raises TransportClosed."""
        async with self._sending:
            self._check_open()
            try:
                # First what a cancelled send has left behind, else these would pile up.
                await self._connection.drain()
                self._sent += 1
                await self._connection.send(frame)
            except ConnectionClosed as error:
                raise self._closing(error).error(self._peer) from error
            except OSError as error:
                raise BROKEN_OFF.error(self._peer) from error
            # The library ends a wait for a connection that breaks off as if all had been sent.
            self._check_open()
            if self._connection.state is State.CLOSED:
                raise BROKEN_OFF.error(self._peer)

    async def receive(self) -> Frame:
        """The next frame. Raises TransportClosed."""
        async with self._receiving:
            self._check_open()
            try:
                frame = await self._connection.recv()
            except ConnectionClosed as error:
                raise self._closing(error).error(self._peer) from error
            self._check_open()
            return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a closing handshake, or without one when the peer takes too long."""
        closing = Closing.here(code, reason)
        ended_before = self._closed_here is None and self._connection.state is not State.OPEN
        if self._closed_here is None:
            self._closed_here = closing
        # The peer's close frame comes behind what nobody is going to receive.
        draining = asyncio.create_task(self._drain())
        try:
            async with asyncio.timeout(self._timeouts.close):
                await self._connection.close(closing.code, closing.reason)
        except TimeoutError:
            self._connection.transport.abort()
            await self._connection.wait_closed()
        except asyncio.CancelledError:
            self._connection.transport.abort()
            raise
        finally:
            draining.cancel()
            if ended_before and self._connection.close_code is not None:
                code, reason = self._connection.close_code, self._connection.close_reason or ""
                by: Literal["network", "peer"] = "network" if code == ABNORMAL else "peer"
                self._closed_here = Closing(code, reason, by)

    async def _drain(self) -> None:
        async with self._receiving:
            try:
                while True:
                    await self._connection.recv()
            except ConnectionClosed:
                pass  # what close() waits for

    def _check_open(self) -> None:
        if self._closed_here is not None:
            raise self._closed_here.error(self._peer)

    def _closing(self, error: ConnectionClosed) -> Closing:
        if self._closed_here is not None:
            return self._closed_here
        if self._stalled:
            return Closing(ABNORMAL, "it took nothing of what waited for it", "network")
        received, sent = error.rcvd, error.sent
        if received is not None and (sent is None or error.rcvd_then_sent):
            return Closing(int(received.code), received.reason, "peer")
        if sent is not None:
            return Closing(int(sent.code), sent.reason, "us")
        return BROKEN_OFF

    def _watch(self, sent: int, unsent: int) -> None:
        """Give up a peer that took nothing since the last look, when ``unsent`` bytes waited."""
        connection = self._connection
        if connection.state is State.CLOSED:
            return
        waiting = connection.transport.get_write_buffer_size()
        if 0 < unsent <= waiting and sent == self._sent:
            self._stalled = True
            connection.transport.abort()
            return
        loop = asyncio.get_running_loop()
        loop.call_later(self._timeouts.stall, self._watch, self._sent, waiting)


async def connect_websocket(
    url: str, *, max_frame: int = MAX_FRAME, timeouts: Timeouts | None = None
) -> WebSocketTransport:
    """Connect to the relay at ``url``, such as ``wss://relay.example/crm``.

    ``max_frame`` is the largest frame to receive, in bytes; a larger one ends the connection
    (1009). Raises InvalidUrl, and RelayUnreachable whenever there is no relay to talk to: also for
    a wrong answer, since a captive portal answers for every server until it is passed.
    """
    parse_relay_url(url)
    timeouts = timeouts or Timeouts()
    proxy = _proxy_for(url)
    try:
        connection = await connect(
            url,
            subprotocols=[SUBPROTOCOL],
            compression=None,
            proxy=proxy,
            open_timeout=timeouts.open,
            close_timeout=timeouts.close,
            ping_interval=timeouts.ping,
            ping_timeout=timeouts.pong,
            max_size=max_frame,
            max_queue=MAX_QUEUE,
            write_limit=WRITE_LIMIT,
            logger=library_logger,
        )
    # ImportError: a SOCKS proxy is configured and the package for it is missing. ValueError: what
    # is configured is no URL of a proxy.
    except (OSError, WebSocketException, ImportError, ValueError) as error:
        raise unreachable(url, error, seconds=timeouts.open, proxy=proxy) from error
    transport = WebSocketTransport(connection, peer=url, timeouts=timeouts)
    if connection.subprotocol != SUBPROTOCOL:
        await transport.close(1002, f'the subprotocol "{SUBPROTOCOL}" is needed')
        raise other_protocol(url, SUBPROTOCOL)
    return transport


def _proxy_for(url: str) -> str | None:
    """The URL of the proxy that the environment names for ``url``."""
    if is_loopback(urlsplit(url).hostname or ""):
        return None
    return get_proxy(parse_uri(url))
