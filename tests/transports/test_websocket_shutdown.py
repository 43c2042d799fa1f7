"""The websocket server's beginning and end: addresses, shutdown."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from syncline.engine.errors import RelayUnreachable, TransportError
from syncline.transports import (
    Request,
    Timeouts,
    Transport,
    WebSocketServer,
    connect_websocket,
    serving,
)
from tests.transports.endpoints import closed, hung_up, until_closed
from tests.transports.raw_client import raw_stream, raw_websocket, read_close

MIB = 1 << 20

# Shutdown


async def test_leaving_closes_the_connections_and_waits_for_the_handlers() -> None:
    ended: list[str] = []

    async def handler(transport: Transport, request: Request) -> None:
        try:
            await until_closed(transport, request)
        finally:
            await asyncio.sleep(0)
            ended.append(request.path)

    async with WebSocketServer(handler) as server:
        url = server.url
        transports = [await connect_websocket(f"{url}/{name}") for name in ("a", "b", "c")]
    assert sorted(ended) == ["/a", "/b", "/c"]
    for transport in transports:
        error = await closed(transport)
        assert error.close_code == 1001
        assert "relay is stopping" in error.message
    with pytest.raises(RelayUnreachable):
        await connect_websocket(f"{url}/a")
    await server.close()  # again, of no effect
    with pytest.raises(RuntimeError, match="not running"):
        assert server.url


async def test_a_peer_that_holds_the_socket_does_not_hold_up_the_shutdown() -> None:
    async with (
        WebSocketServer(until_closed, timeouts=Timeouts(close=0.1)) as server,
        raw_stream(server.port) as (reader, _),  # asks for nothing
        raw_websocket(server.port) as raw,
    ):
        async with asyncio.timeout(2):
            await server.close()
        assert await read_close(raw) == (1001, "relay is stopping")
        assert await asyncio.get_running_loop().sock_recv(raw, 1) == b""
        assert await hung_up(reader)


async def test_a_handler_that_goes_on_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_HANDLER_SECONDS", 0.05)
    cancelled = asyncio.Event()

    async def handler(_transport: Transport, _request: Request) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with WebSocketServer(handler) as server:
        transport = await connect_websocket(f"{server.url}/crm")
    assert cancelled.is_set()
    assert (await closed(transport)).close_code == 1001
    assert "1 handlers went on after their connections ended." in caplog.text


@pytest.mark.slow
async def test_a_handler_that_cannot_be_cancelled_does_not_hold_up_the_shutdown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_HANDLER_SECONDS", 0.05)
    monkeypatch.setattr(serving, "_CANCEL_SECONDS", 0.05)
    release = asyncio.Event()

    async def handler(_transport: Transport, _request: Request) -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    async with WebSocketServer(handler) as server:
        await connect_websocket(f"{server.url}/crm")
        try:
            async with asyncio.timeout(5):
                await server.close()
        finally:
            release.set()
    assert "1 handlers do not end although they were cancelled." in caplog.text


async def test_a_shutdown_with_a_reader_that_is_stuck() -> None:
    flooding = asyncio.Event()

    async def handler(transport: Transport, _request: Request) -> None:
        flooding.set()
        while True:
            await transport.send(bytes(MIB))

    async with (
        WebSocketServer(handler, timeouts=Timeouts(close=0.1)) as server,
        raw_websocket(server.port, receive_buffer=4096),
    ):
        await flooding.wait()
        async with asyncio.timeout(2):
            await server.close()


# Addresses


async def test_a_port_that_is_taken() -> None:
    async with WebSocketServer(until_closed) as server:
        with pytest.raises(TransportError, match=f"Cannot listen at 127.0.0.1, port {server.port}"):
            async with WebSocketServer(until_closed, port=server.port):
                pass
    with pytest.raises(TransportError, match="port 70000"):
        async with WebSocketServer(until_closed, port=70000):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "", "localhost", "::1", "::"])  # noqa: S104
async def test_the_url_can_be_connected_to(host: str) -> None:
    if ":" in host:
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError:
            pytest.skip("this machine has no IPv6")
    async with WebSocketServer(until_closed, host=host) as server:
        assert f":{server.port}" in server.url
        transport = await connect_websocket(f"{server.url}/crm")
        await transport.close()


def test_a_server_that_is_not_running_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        assert WebSocketServer(until_closed).port
