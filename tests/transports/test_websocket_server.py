"""The websocket server: pages, limits, failures, shutdown."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from functools import partial

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from syncline.engine.errors import RelayUnreachable, TransportClosed
from syncline.transports import (
    HttpReply,
    Request,
    Timeouts,
    Transport,
    WebSocketServer,
    WebSocketTransport,
    connect_websocket,
)
from syncline.transports.bounded_connection import (
    MAX_ADDRESSES,
    MAX_CONTROL_FRAMES,
    MAX_NEW_CONNECTIONS,
    NEW_CONNECTIONS_PER_SECOND,
    Arrivals,
)
from syncline.transports.client_address import TrustedProxies
from tests.transports.endpoints import closed, hung_up, until_closed
from tests.transports.raw_client import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    frame,
    http,
    raw_stream,
    raw_websocket,
    read_close,
    read_exactly,
)

MIB = 1 << 20


def page(path: str) -> HttpReply | None:
    if path == "/fail":
        raise LookupError("the page's own")
    return HttpReply(200, "text/html", "<p>ä".encode()) if path in ("/", "/healthz") else None


# Pages


@pytest.mark.parametrize("target", ["/", "/healthz", "/?a=b"])
async def test_pages(target: str) -> None:
    async with WebSocketServer(until_closed, http=page) as server:
        answer = await http(server.port, "GET", target)
        assert (answer.status, answer.body) == (200, "<p>ä".encode())
        assert answer.headers["content-type"] == "text/html"
        assert answer.headers["content-length"] == "5"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["server"] == "Syncline"
        head = await http(server.port, "HEAD", target)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == "5"


async def test_what_is_no_page_is_not_found() -> None:
    async with WebSocketServer(until_closed, http=page) as server:
        for target in ("/a/b", "/favicon.ico/", "/NO", "/%00"):
            expected = 426 if target == "/favicon.ico/" else 404
            assert (await http(server.port, "GET", target)).status == expected
    async with WebSocketServer(until_closed) as server:
        assert (await http(server.port, "GET", "/")).status == 404


async def test_a_workspace_asks_for_a_websocket() -> None:
    async with WebSocketServer(until_closed, http=page) as server:
        answer = await http(server.port, "GET", "/crm")
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert "Upgrade" in answer.headers["connection"]
    assert b"websocket" in answer.body


async def test_other_methods_are_refused() -> None:
    async with WebSocketServer(until_closed, http=page) as server:
        answer = await http(server.port, "DELETE", "/")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


async def test_a_page_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with WebSocketServer(until_closed, http=page) as server:
        assert (await http(server.port, "GET", "/fail")).status == 500
        assert (await http(server.port, "GET", "/")).status == 200
    assert "the page's own" in caplog.text


async def test_garbage_is_no_event_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with WebSocketServer(until_closed, http=page) as server:
        for garbage in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"\xff" * 9000):
            async with raw_stream(server.port) as (reader, writer):
                writer.write(garbage)
                writer.write_eof()
                await reader.read()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Connections


async def test_the_handler_gets_the_transport_and_what_was_asked_for() -> None:
    seen: asyncio.Queue[tuple[str | None, str, Request]] = asyncio.Queue()

    async def handler(transport: WebSocketTransport, request: Request) -> None:
        seen.put_nowait((transport.subprotocol, transport.peer, request))

    async with WebSocketServer(handler) as server:
        transport = await connect_websocket(f"{server.url}/crm")
        subprotocol, peer, request = await seen.get()
        assert (subprotocol, request.subprotocol) == ("syncline", "syncline")
        assert (request.path, request.query) == ("/crm", {})
        assert peer.startswith("127.0.0.1:")
        assert transport.subprotocol == "syncline"
        assert transport.peer == f"{server.url}/crm"
        assert (await closed(transport)).close_code == 1000  # since the handler has returned


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [([], None), (["yjs", "other"], "yjs"), (["yjs", "syncline"], "syncline")],
)
async def test_other_clients_get_the_first_subprotocol_that_they_offer(
    offered: list[str], chosen: str | None
) -> None:
    requests: asyncio.Queue[Request] = asyncio.Queue()

    async def handler(_transport: Transport, request: Request) -> None:
        requests.put_nowait(request)

    async with WebSocketServer(handler) as server:
        async with connect(
            f"{server.url}/crm/pages/caf%C3%A9?token=a%20b&token=c&empty=",
            subprotocols=[Subprotocol(name) for name in offered] or None,
            additional_headers={"Authorization": "Bearer x"},
        ) as client:
            request = await requests.get()
            assert client.subprotocol == chosen
        assert request.subprotocol == chosen
        assert request.path == "/crm/pages/caf%C3%A9"
        assert request.query == {"token": "c", "empty": ""}
        assert request.headers["authorization"] == "Bearer x"


async def test_a_handler_that_fails_is_logged_and_ends_only_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(transport: Transport, _request: Request) -> None:
        while True:
            frame = await transport.receive()
            if frame == "fail":
                raise LookupError("the handler's own")
            await transport.send(frame)

    async with WebSocketServer(handler) as server:
        other = await connect_websocket(f"{server.url}/crm")
        transport = await connect_websocket(f"{server.url}/crm")
        await transport.send("fail")
        error = await closed(transport)
        assert error.close_code == 1011
        assert "the relay failed" in error.message
        assert "the handler's own" not in error.message
        await other.send("still served")
        assert await other.receive() == "still served"
        await other.close()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (record.name, record.levelno) == ("syncline.transports", logging.ERROR)
    assert record.exc_info is not None
    assert "LookupError: the handler's own" in caplog.text


async def test_the_log_holds_no_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with WebSocketServer(until_closed) as server:
        transport = await connect_websocket(f"{server.url}/crm")
        await transport.send("my secret")
        await transport.close()
    assert caplog.records
    assert "secret" not in caplog.text


# Limits


async def test_beyond_the_most_connections_who_asks_is_told_to_come_back() -> None:
    gone = asyncio.Event()

    async def handler(transport: Transport, request: Request) -> None:
        try:
            await until_closed(transport, request)
        finally:
            gone.set()

    async with WebSocketServer(handler, http=page, max_connections=2) as server:
        url = f"{server.url}/crm"
        first, second = await connect_websocket(url), await connect_websocket(url)
        with pytest.raises(RelayUnreachable, match="HTTP status 503") as caught:
            await connect_websocket(url)
        assert caught.value.retry_after == 5
        assert (await http(server.port, "GET", "/healthz")).status == 200
        await first.close()
        await gone.wait()
        third = await connect_websocket(url)
        await second.close()
        await third.close()


async def test_sockets_that_ask_for_nothing_are_bounded() -> None:
    async with (
        WebSocketServer(until_closed, max_connections=1) as server,
        raw_stream(server.port) as (_, first),
        raw_stream(server.port) as (_, second),
        raw_stream(server.port) as (reader, _),
    ):
        assert await hung_up(reader)
        assert not first.is_closing()
        assert not second.is_closing()


async def test_a_socket_that_asks_for_nothing_is_closed_in_time() -> None:
    async with (
        WebSocketServer(until_closed, timeouts=Timeouts(open=0.05)) as server,
        raw_stream(server.port) as (reader, _),
    ):
        assert await hung_up(reader)


@pytest.mark.slow
async def test_a_flood_of_pings_is_ended_and_read_no_further() -> None:
    async def flood(raw: socket.socket) -> None:
        pings = frame(PING, bytes(125)) * 8000
        for _ in range(100):
            await asyncio.get_running_loop().sock_sendall(raw, pings)

    async with (
        WebSocketServer(until_closed, timeouts=Timeouts(close=0.1)) as server,
        raw_websocket(server.port) as raw,
    ):
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await flood(raw)


@pytest.mark.parametrize("most", [2, MAX_CONTROL_FRAMES])
async def test_pings_are_answered_up_to_the_limit(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.transports.bounded_connection.MAX_CONTROL_FRAMES", most)
    monkeypatch.setattr("syncline.transports.bounded_connection.CONTROL_FRAMES_PER_SECOND", 1e-9)
    loop = asyncio.get_running_loop()
    async with (
        WebSocketServer(until_closed, timeouts=Timeouts(close=0.1)) as server,
        raw_websocket(server.port) as raw,
    ):
        await loop.sock_sendall(raw, frame(PING, b"") * most)
        assert await read_exactly(raw, 2 * most) == b"\x8a\x00" * most
        await loop.sock_sendall(raw, frame(PING, b""))
        await read_exactly(raw, 2)  # the last one is answered, too
        assert await read_close(raw) == (1008, "there are too many pings")


@pytest.mark.parametrize("trusted", [False, True])
async def test_connections_that_come_too_fast_are_cut_off(
    trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.transports.bounded_connection.MAX_NEW_CONNECTIONS", 2)
    monkeypatch.setattr("syncline.transports.bounded_connection.NEW_CONNECTIONS_PER_SECOND", 1e-6)
    proxies = TrustedProxies(["127.0.0.1"] if trusted else [])
    async with (
        WebSocketServer(until_closed, trusted_proxies=proxies) as server,
        raw_websocket(server.port),
        raw_websocket(server.port),
        raw_stream(server.port) as (reader, writer),
    ):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        if trusted:
            assert (await reader.readline()).startswith(b"HTTP/1.1 426")
        else:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)


@pytest.mark.parametrize("most", [2, MAX_NEW_CONNECTIONS])
def test_connections_from_one_address(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.transports.bounded_connection.MAX_NEW_CONNECTIONS", most)
    arrivals = Arrivals(lambda _address: False)
    assert [arrivals.too_many("10.0.0.1", 0.0) for _ in range(most + 2)] == [
        *([False] * most),
        True,
        True,
    ]
    assert not arrivals.too_many("10.0.0.2", 0.0)
    in_a_second = min(NEW_CONNECTIONS_PER_SECOND, most)
    assert [arrivals.too_many("10.0.0.1", 1.0) for _ in range(in_a_second + 1)] == [
        *([False] * in_a_second),
        True,
    ]


async def test_handshakes_have_a_turn_of_the_loop_each() -> None:
    arrivals, done = Arrivals(lambda _address: False), list[int]()
    for number in range(3):
        arrivals.in_turn(partial(done.append, number))
    for turns in range(4):
        assert done == list(range(turns))
        await asyncio.sleep(0)
    arrivals.in_turn(partial(done.append, 3))
    await asyncio.sleep(0)
    assert done == [0, 1, 2, 3]


@pytest.mark.parametrize("most", [2, MAX_ADDRESSES])
def test_addresses_that_are_known(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.transports.bounded_connection.MAX_ADDRESSES", most)
    monkeypatch.setattr("syncline.transports.bounded_connection.MAX_NEW_CONNECTIONS", 1)
    arrivals = Arrivals(lambda _address: False)
    for number in range(most):
        assert not arrivals.too_many(str(number), 0.0)
    assert arrivals.too_many("0", 0.0)
    assert not arrivals.too_many("another", 0.0)
    assert not arrivals.too_many("1", 0.0)


async def test_small_frames_do_not_hold_up_the_loop() -> None:
    """All of a read would take a second, and others wait meanwhile."""
    frames = 100_000
    longest = 0.0

    async def handler(transport: Transport, _request: Request) -> None:
        for _ in range(frames):
            await transport.receive()
        await transport.send("all")

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    loop = asyncio.get_running_loop()
    async with WebSocketServer(handler) as server, raw_websocket(server.port) as raw:
        watching = asyncio.create_task(watch())
        await loop.sock_sendall(raw, frame(TEXT, b"") * frames)
        assert await read_exactly(raw, 5) == b"\x81\x03all"
        watching.cancel()
    assert longest < 0.04


async def test_a_text_frame_that_is_not_utf8_ends_the_connection() -> None:
    async with WebSocketServer(until_closed) as server, raw_websocket(server.port) as raw:
        await asyncio.get_running_loop().sock_sendall(raw, frame(TEXT, b"\xff"))
        assert (await read_close(raw))[0] == 1007


async def test_a_peer_that_leaves_without_a_word() -> None:
    ends: asyncio.Queue[TransportClosed] = asyncio.Queue()

    async def handler(transport: Transport, _request: Request) -> None:
        ends.put_nowait(await closed(transport))

    async with WebSocketServer(handler, timeouts=Timeouts(close=0.05)) as server:
        async with raw_websocket(server.port):
            pass
        error = await ends.get()
        assert error.close_code == 1006
        assert "broke off (1006)" in error.message
        async with raw_websocket(server.port) as raw:
            await asyncio.get_running_loop().sock_sendall(raw, frame(CLOSE, b""))
            async with asyncio.timeout(5):  # although the peer holds the socket
                assert (await ends.get()).close_code == 1005  # a close frame without a code


@pytest.mark.parametrize(
    ("subprotocol", "code"),
    # y-websocket tries again after all codes but those from 4400 to 4499.
    [("syncline", 1009), (None, 4413), ("yjs", 4413)],
)
async def test_a_frame_that_is_too_large_ends_the_connection(
    subprotocol: str | None, code: int
) -> None:
    async with (
        WebSocketServer(until_closed, max_frame=1000) as server,
        raw_websocket(server.port, subprotocol=subprotocol) as raw,
        asyncio.timeout(10),
    ):
        announced = bytes([0x80 | BINARY, 0x80 | 126]) + (1001).to_bytes(2) + bytes(4)
        await asyncio.get_running_loop().sock_sendall(raw, announced)
        assert (await read_close(raw))[0] == code
