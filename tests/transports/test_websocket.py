"""The websocket client: what it makes of servers that are no relay, and of peers that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import cast
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.protocol import State

from syncline.engine.errors import InvalidUrl, RelayUnreachable, TransportClosed
from syncline.transports import (
    Request,
    Timeouts,
    Transport,
    WebSocketServer,
    WebSocketTransport,
    connect_websocket,
)
from tests.transports.raw_client import finish, raw_websocket
from tests.transports.virtual_clock import run_virtually


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncGenerator[str, None]:
    """A server that gives this answer to whatever it is asked, or none; yields its URL."""

    handled = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(4096)
            if answer is not None:
                writer.write(answer)
                writer.write_eof()
            await reader.read()  # until the client hangs up
        await finish(writer)
        handled.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/crm"
        await handled.wait()


async def unreachable(url: str, timeouts: Timeouts | None = None) -> RelayUnreachable:
    with pytest.raises(RelayUnreachable) as caught:
        await connect_websocket(url, timeouts=timeouts)
    assert url in caught.value.message
    assert caught.value.hint
    assert caught.value.__cause__ is not None or "subprotocol" in caught.value.message
    return caught.value


# No relay


async def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/crm"
        error = await unreachable(url)
    assert f"{url} cannot be reached: Connect" in error.message
    assert error.retry_after == 1.0


async def test_a_url_is_checked_first() -> None:
    with pytest.raises(InvalidUrl):
        await connect_websocket("http://127.0.0.1:1/crm")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "the answer is HTTP status 200"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "the answer is HTTP status 404"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n",
            "it redirects to http://portal.example, which is no websocket",
        ),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "did not receive a valid HTTP response"),
        (b"", "did not receive a valid HTTP response"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the websocket handshake failed: "),
    ],
    ids=["page", "not-found", "captive-portal", "other-protocol", "hangs-up", "bad-handshake"],
)
async def test_what_answers_is_no_relay(answer: bytes, problem: str) -> None:
    async with answering(answer) as url:
        error = await unreachable(url)
    assert error.message.startswith(f"What answers at {url} is no Syncline relay: ")
    assert problem in error.message
    assert error.retry_after == 30.0


@pytest.mark.parametrize(
    ("status", "header", "retry_after"),
    [
        ("503 Service Unavailable", "Retry-After: 7\r\n", 7.0),
        ("502 Bad Gateway", "", 1.0),
        ("429 Too Many Requests", "Retry-After: 99999999999999999999\r\n", 3600.0),
        ("503 Service Unavailable", "Retry-After: tomorrow\r\n", 1.0),
    ],
)
async def test_a_relay_that_is_busy(status: str, header: str, retry_after: float) -> None:
    async with answering(f"HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\n\r\n".encode()) as url:
        error = await unreachable(url)
    assert f"takes no connection at present: HTTP status {status[:3]}" in error.message
    assert error.retry_after == retry_after


async def test_a_server_that_does_not_answer() -> None:
    async with answering(None) as url:
        error = await unreachable(url, Timeouts(open=0.05))
    assert error.message == f"{url} did not answer within 0.05 seconds."


async def test_encryption_where_there_is_none() -> None:
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        error = await unreachable(url.replace("ws:", "wss:"), Timeouts(open=5))
    assert "cannot be reached" in error.message
    assert "scheme" in error.hint


async def test_a_websocket_server_without_our_subprotocol() -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.put_nowait(connection.close_code)

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        error = await unreachable(f"ws://127.0.0.1:{port}/crm")
        assert 'does not speak the subprotocol "syncline"' in error.message
        assert await codes.get() == 1002


# Proxies


async def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("socks_proxy", "socks5://127.0.0.1:9")
    error = await unreachable("ws://relay.invalid/crm")
    assert "the websocket handshake failed: " in error.message


async def test_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ws_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with echo() as (url, _):
        for host in ("127.0.0.1", "localhost"):
            transport = await connect_websocket(url.replace("127.0.0.1", host))
            await transport.close()
        await unreachable("ws://relay.invalid/crm")


# Closing


async def test_a_frame_that_comes_while_closing_is_dropped() -> None:
    accepted: asyncio.Queue[Transport] = asyncio.Queue()

    async def handler(transport: Transport, _request: Request) -> None:
        accepted.put_nowait(transport)
        with pytest.raises(TransportClosed):
            await transport.receive()

    async with WebSocketServer(handler) as server:
        transport = await connect_websocket(f"{server.url}/crm")
        theirs = await accepted.get()
        receiving = asyncio.create_task(transport.receive())
        await asyncio.sleep(0)  # it waits
        await theirs.send("too late")
        await transport.close(4001)
        with pytest.raises(TransportClosed) as caught:
            await receiving
        assert caught.value.close_code == 4001


async def test_closing_does_not_wait_behind_what_nobody_receives() -> None:
    flooding = asyncio.Event()

    async def handler(transport: Transport, _request: Request) -> None:
        while True:
            await transport.send(bytes(1 << 20))
            flooding.set()

    async with WebSocketServer(handler) as server:
        transport = await connect_websocket(f"{server.url}/crm", timeouts=Timeouts(close=60))
        await flooding.wait()
        async with asyncio.timeout(5):
            await transport.close()


# Peers that misbehave


@asynccontextmanager
async def echo(
    *, max_frame: int = 1 << 20, timeouts: Timeouts | None = None
) -> AsyncGenerator[tuple[str, asyncio.Queue[TransportClosed]], None]:
    """A server that sends back what it gets; yields its URL, and how its connections end."""
    ends: asyncio.Queue[TransportClosed] = asyncio.Queue()

    async def handler(transport: Transport, _request: Request) -> None:
        try:
            while True:
                await transport.send(await transport.receive())
        except TransportClosed as closed:
            ends.put_nowait(closed)

    async with WebSocketServer(handler, max_frame=max_frame, timeouts=timeouts) as server:
        yield f"{server.url}/crm", ends


async def test_a_frame_too_large_for_the_server() -> None:
    async with echo(max_frame=1000) as (url, ends):
        transport = await connect_websocket(url)
        await transport.send("ä" * 500)
        assert await transport.receive() == "ä" * 500
        await transport.send("ä" * 500 + "x")
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.close_code == 1009
        assert "closed the connection (1009: " in caught.value.message
        assert "smaller frames" in caught.value.hint
        at_server = await ends.get()
        assert at_server.close_code == 1009
        assert "was closed at this end (1009: " in at_server.message


async def test_a_frame_too_large_for_the_client() -> None:
    async with echo() as (url, ends):
        transport = await connect_websocket(url, max_frame=1000)
        await transport.send(bytes(1001))
        with pytest.raises(TransportClosed) as caught:
            await transport.receive()
        assert caught.value.close_code == 1009
        assert (await ends.get()).close_code == 1009


async def test_a_frame_of_the_largest_size_passes() -> None:
    async with echo(max_frame=16 << 20) as (url, _):
        transport = await connect_websocket(url)
        sending = asyncio.create_task(transport.send(bytes(16 << 20)))
        assert await transport.receive() == bytes(16 << 20)
        await sending
        await transport.close()


async def test_a_peer_that_does_not_answer_pings() -> None:
    async with echo(timeouts=Timeouts(ping=0.02, pong=0.02, close=0.1)) as (url, ends):
        port = urlsplit(url).port
        assert port is not None
        async with raw_websocket(port):
            ended = await ends.get()
    assert ended.close_code == 1011
    assert "ping timeout" in ended.message


class StuckConnection:
    """As much of a websocket connection as the watch for stalled peers looks at."""

    def __init__(self) -> None:
        self.state = State.OPEN
        self.unsent = 0
        self.aborted_at: float | None = None
        self.transport = self

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.state = State.CLOSED
        self.aborted_at = asyncio.get_running_loop().time()


def watched(connection: StuckConnection) -> WebSocketTransport:
    return WebSocketTransport(
        cast("Connection", connection), peer="peer", timeouts=Timeouts(stall=20)
    )


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    async def main() -> None:
        connection = StuckConnection()
        watched(connection)
        await asyncio.sleep(30)
        connection.unsent = 5000
        await asyncio.sleep(100)
        # Seen waiting at 40, and no less at 60.
        assert connection.aborted_at == pytest.approx(60)

    run_virtually(main())


def test_a_peer_that_takes_a_little_is_not_given_up() -> None:
    async def main() -> None:
        connection = StuckConnection()
        watched(connection)
        connection.unsent = 1000
        for _ in range(900):
            await asyncio.sleep(1)
            connection.unsent -= 1
        assert connection.aborted_at is None
        connection.state = State.CLOSED

    run_virtually(main())


@pytest.mark.slow
async def test_a_reader_that_is_stuck_ends_what_waits_for_it() -> None:
    ends: asyncio.Queue[TransportClosed] = asyncio.Queue()

    async def handler(transport: Transport, _request: Request) -> None:
        async def receive() -> None:
            await transport.receive()

        async def send() -> None:
            await transport.send(bytes(64 << 20))

        for task in [asyncio.create_task(receive()), asyncio.create_task(send())]:
            try:
                await task
            except TransportClosed as closed:
                ends.put_nowait(closed)

    async with (
        WebSocketServer(handler, timeouts=Timeouts(stall=0.05)) as server,
        raw_websocket(server.port, receive_buffer=4096),
    ):
        received, sent = await ends.get(), await ends.get()
    assert received.close_code == sent.close_code == 1006
    assert "broke off (1006: it took nothing of what waited for it)" in received.message
