"""The websocket server: connections for a handler, and a few plain HTTP pages beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.typing import Subprotocol

from syncline.engine.errors import InvalidName, TransportError
from syncline.engine.names import check_workspace

from .base import Request
from .bounded_connection import Arrivals, bounded_connection
from .certificate import Certificate
from .client_address import TrustedProxies
from .relay_url import parse_path_prefix, without_prefix
from .serving import STOPPING, end_handlers, serve_transport
from .websocket import (
    MAX_FRAME,
    MAX_QUEUE,
    SUBPROTOCOL,
    WRITE_LIMIT,
    Timeouts,
    WebSocketTransport,
    library_logger,
)

logger = logging.getLogger("syncline.transports")

MAX_CONNECTIONS = 10_000
"""Connections served at once; who comes beyond them is told to come back (503)."""
BACKLOG = 1024
"""Connections that the system takes while the relay is busy: one that finds no room is not refused
but tried again by the client's system, a second later and then ever more slowly. Linux cuts this to
``net.core.somaxconn``."""
_RETRY_SECONDS = 5  # in the answer to who finds no room
_SOCKET_SECONDS = 1.0  # for the sockets to go away once they are aborted


@dataclass(frozen=True, slots=True)
class HttpReply:
    """The answer to a plain HTTP request; ``status`` is its code, ``body`` the bytes as sent,
    ``headers`` what there is beside the usual ones."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class WebSocketServer:
    """Serves websocket connections, and plain HTTP on the same port:

        async with WebSocketServer(handler, port=0) as server:
            print(server.url)

    ``handler`` gets a transport and what the client asked for; the connection ends with it.
    ``http`` answers GET for a path, or None for one that it does not have. ``refuses`` is asked
    with the headers Origin (None if there is none) and Host of each websocket handshake; what it
    returns is the reason of a 403. Port 0 takes a free one. Beyond ``max_connections``, who asks is
    told to come back (503). ``path_prefix`` is what a proxy may leave before the paths; neither
    ``handler`` nor ``http`` sees it. With a ``certificate`` it speaks TLS. ``trusted_proxies`` are
    believed where a client is. Leaving the block closes the connections (1001) and waits for
    the handlers, for bounded time.
    """

    def __init__(
        self,
        handler: Callable[[WebSocketTransport, Request], Awaitable[None]],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        http: Callable[[str], HttpReply | None] = lambda _path: None,
        refuses: Callable[[str | None, str], str | None] = lambda _origin, _host: None,
        max_frame: int = MAX_FRAME,
        max_connections: int = MAX_CONNECTIONS,
        timeouts: Timeouts | None = None,
        path_prefix: str = "",
        certificate: Certificate | None = None,
        trusted_proxies: TrustedProxies = TrustedProxies(),  # noqa: B008 - it trusts nobody
    ) -> None:
        self._path_prefix = parse_path_prefix(path_prefix)
        self._handler = handler
        self._host = host
        self._asked_port = port
        self._http = http
        self._refuses = refuses
        self._max_frame = max_frame
        self._max_connections = max_connections
        self._timeouts = timeouts or Timeouts()
        self._certificate = certificate
        self._trusted_proxies = trusted_proxies
        self._following: asyncio.Task[None] | None = None
        self._server: Server | None = None
        self._stopping = False
        self._sockets: set[ServerConnection] = set()
        self._serving: dict[WebSocketTransport, asyncio.Task[None]] = {}

    # Running

    async def __aenter__(self) -> WebSocketServer:
        """Start listening. Raises TransportError when the address cannot be had."""
        timeouts = self._timeouts
        if not 0 <= self._asked_port <= 65535:  # uvloop takes the remainder
            raise TransportError(
                f"Cannot listen at {self._host}, port {self._asked_port}.",
                hint="Choose a port from 1 to 65535; port 0 takes a free one.",
            )
        try:
            self._server = await serve(
                self._serve,
                self._host,
                self._asked_port,
                backlog=BACKLOG,
                select_subprotocol=_select_subprotocol,
                compression=None,
                process_request=self._process_request,
                server_header="Syncline",
                open_timeout=timeouts.open,
                close_timeout=timeouts.close,
                ping_interval=timeouts.ping,
                ping_timeout=timeouts.pong,
                max_size=self._max_frame,
                max_queue=MAX_QUEUE,
                write_limit=WRITE_LIMIT,
                logger=library_logger,
                **self._tls(),
                create_connection=bounded_connection(
                    self._sockets,
                    Arrivals(self._trusted_proxies.trusts),
                    max_sockets=2 * self._max_connections,
                    close_timeout=timeouts.close,
                ),
            )
        except OSError as error:
            raise TransportError(
                f"Cannot listen at {self._host}, port {self._asked_port}: {error}.",
                hint="Stop what listens there, or choose another port; port 0 takes a free one.",
            ) from error
        if self._certificate is not None:
            self._following = asyncio.create_task(self._certificate.follow())
        return self

    def _tls(self) -> dict[str, Any]:
        if self._certificate is None:
            return {}
        return {
            "ssl": self._certificate.context,
            "ssl_handshake_timeout": self._timeouts.open,
            "ssl_shutdown_timeout": self._timeouts.close,
        }

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        # Port 0 on several addresses takes several; ``url`` is about the one of IPv4.
        first = min(self._running.sockets, key=lambda listening: listening.family)
        port: int = first.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The address to connect to, without a workspace: ``ws://host:port``, or ``wss://`` with a
        certificate, and the prefix."""
        # What listens on every address is reached, on this machine, at the loopback one.
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        scheme = "ws" if self._certificate is None else "wss"
        return f"{scheme}://{host}:{self.port}{self._path_prefix}"

    @property
    def _running(self) -> Server:
        if self._server is None or self._stopping:
            raise RuntimeError("the server is not running: use `async with WebSocketServer(…)`")
        return self._server

    async def close(self) -> None:
        """Stop listening, close the connections (1001), wait for the handlers, in bounded time."""
        if self._server is None or self._stopping:
            return
        self._stopping = True
        if self._following is not None:
            self._following.cancel()
        self._server.close(close_connections=False)
        try:
            tasks = list(self._serving.values())
            closes = [transport.close(1001, STOPPING) for transport in self._serving]
            await asyncio.gather(*closes)
            await end_handlers(tasks)
        finally:
            for connection in list(self._sockets):
                connection.transport.abort()
        try:
            async with asyncio.timeout(_SOCKET_SECONDS):
                await self._server.wait_closed()
        except TimeoutError:
            logger.error("%d sockets do not go away.", len(self._sockets))

    # Connections

    async def _serve(self, connection: ServerConnection) -> None:
        task, request = asyncio.current_task(), connection.request
        assert task is not None  # noqa: S101  # it runs as one
        assert request is not None  # noqa: S101  # the handshake is over
        address = connection.remote_address
        peer = f"{address[0]}:{address[1]}" if address else "a client that has left"
        client = str(address[0]) if address else ""
        forwarded = self._trusted_proxies.client(client, request.headers.get_all("X-Forwarded-For"))
        if forwarded != client:
            peer = f"{forwarded}, through {peer}"
        transport = WebSocketTransport(connection, peer=peer, timeouts=self._timeouts)
        self._serving[transport] = task
        try:
            asked = _request(
                request,
                transport.subprotocol,
                self._path_prefix,
                forwarded,
            )
            await serve_transport(self._handler, transport, asked)
        finally:
            del self._serving[transport]

    # Plain HTTP

    def _process_request(self, _: ServerConnection, request: HttpRequest) -> Response | None:
        """Answer what is no websocket handshake; None lets the handshake go on."""
        upgrades = ", ".join(request.headers.get_all("Upgrade")).lower()
        if "websocket" in upgrades:
            return self._refuse_connection() or self._refuse_origin(request.headers)
        if request.method not in ("GET", "HEAD"):
            return _text(405, "Only GET and HEAD are answered here.", ("Allow", "GET, HEAD"))
        path = without_prefix(request.path.partition("?")[0], self._path_prefix)
        reply = self._http(path)
        if reply is None:
            response = _upgrade_required() if _names_workspace(path) else _text(404, "Not found.")
        else:
            response = _response(reply)
        if request.method == "HEAD":
            response.body = b""
        return response

    def _refuse_connection(self) -> Response | None:
        # Nothing is awaited between here and the handler, so the count is exact.
        if self._stopping:
            reason = "The relay is stopping."
        elif len(self._serving) >= self._max_connections:
            reason = "The relay has as many connections as it takes."
        else:
            return None
        return _text(503, reason, ("Retry-After", str(_RETRY_SECONDS)))

    def _refuse_origin(self, headers: Headers) -> Response | None:
        # Several are none that a browser sends, and joined they are no origin.
        origins, hosts = headers.get_all("Origin"), headers.get_all("Host")
        reason = self._refuses(", ".join(origins) if origins else None, ", ".join(hosts))
        return None if reason is None else _text(403, reason)


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # Browsers give up a connection that takes none of what they offer. Programs that speak Yjs
    # offer what they like, and expect the first, as the library "ws" answers.
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return offered[0] if offered else None


def _request(request: HttpRequest, subprotocol: str | None, prefix: str, address: str) -> Request:
    path, _, query = request.path.partition("?")
    return Request(
        without_prefix(path, prefix),
        dict(parse_qsl(query, keep_blank_values=True)),
        {name.lower(): value for name, value in request.headers.raw_items()},
        subprotocol,
        address,
    )


def _names_workspace(path: str) -> bool:
    try:
        check_workspace(path.removeprefix("/").removesuffix("/"))
    except InvalidName:
        return False
    return True


def _upgrade_required() -> Response:
    # RFC 9110, 15.5.22: the answer says which protocol to upgrade to.
    return _text(426, "A workspace is reached with a websocket.", ("Upgrade", "websocket"))


def _text(status: int, line: str, *headers: tuple[str, str]) -> Response:
    return _response(HttpReply(status, "text/plain; charset=utf-8", f"{line}\n".encode()), *headers)


def _response(reply: HttpReply, *extra: tuple[str, str]) -> Response:
    headers = Headers(
        [
            ("Date", formatdate(usegmt=True)),
            ("Connection", "Upgrade, close" if reply.status == 426 else "close"),
            ("Content-Length", str(len(reply.body))),
            ("Content-Type", reply.content_type),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
            *reply.headers,
            *extra,
        ]
    )
    return Response(reply.status, HTTPStatus(reply.status).phrase, headers, reply.body)
