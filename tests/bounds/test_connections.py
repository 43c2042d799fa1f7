"""Connections: how many there may be, and those whose other end is gone without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.engine.errors import RelayUnreachable
from syncline.environment import Environment
from syncline.relay.core import RelayCore
from syncline.stores import MemoryStore
from syncline.transports import Request, Timeouts, Transport, WebSocketServer, connect_websocket

PATIENCE = 60.0
IMPATIENT = Timeouts(ping=0.1, pong=0.1, close=0.1, stall=0.1)


async def test_beyond_the_most_connections_a_replica_waits_for_its_turn(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0, max_connections=1) as relay:
        url = f"{relay.url}/crm"
        async with Replica.open(MemoryStore()) as second:
            async with Replica.open(MemoryStore(), relay=url) as first, asyncio.timeout(PATIENCE):
                await first.synced()
                with pytest.raises(RelayUnreachable, match="HTTP status 503") as refused:
                    await second.connect(url)
                assert "try later" in refused.value.hint
                assert refused.value.retry_after == 5
            async with asyncio.timeout(PATIENCE):
                while True:  # until the relay has seen the first one go
                    try:
                        await second.connect(url)
                        break
                    except RelayUnreachable:
                        await asyncio.sleep(0)
                await second.synced()


async def connect_briefly(url: str) -> Transport:
    """Connect; closing does not wait for a relay that is gone."""
    return await connect_websocket(url, timeouts=Timeouts(close=0.1))


class Proxy:
    """A way to the relay. After ``go_dark`` the connections that there are stay open, and nothing
    comes through them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._darkened = 0
        self._tasks: list[asyncio.Task[None]] = []

    def go_dark(self) -> None:
        self._darkened += 1

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = self._darkened
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                if self._darkened == begun:
                    sink.write(data)
                    await sink.drain()
            if self._darkened == begun:
                sink.close()

        try:
            await asyncio.gather(pump(reader, ours), pump(theirs, writer))
        except ConnectionError:
            pass
        finally:
            ours.close()
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        async with server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/crm"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.slow
async def test_the_relay_drops_a_peer_that_is_gone_without_a_word() -> None:
    core = RelayCore(MemoryStore(), Environment())
    dropped = asyncio.Event()

    async def serve(transport: Transport, request: Request) -> None:
        await core.serve(transport, request)
        dropped.set()

    await core.open()
    try:
        async with WebSocketServer(serve, timeouts=IMPATIENT) as server:
            proxy = Proxy(server.port)
            async with (
                proxy.running() as url,
                Replica.open(
                    MemoryStore(), relay=url, environment=Environment(connect=connect_briefly)
                ) as replica,
                asyncio.timeout(PATIENCE),
            ):
                await replica.synced()
                proxy.go_dark()
                await dropped.wait()
    finally:
        await core.close()


@pytest.mark.slow
async def test_a_replica_leaves_a_relay_that_is_gone_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.replica.sync.conversation.PING_SECONDS", 0.1)
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        proxy = Proxy(relay.port)
        environment = Environment(connect=connect_briefly)
        async with (
            proxy.running() as url,
            Replica.open(MemoryStore(), relay=url, environment=environment) as replica,
            asyncio.timeout(PATIENCE),
        ):
            await replica.synced()
            proxy.go_dark()
            replica.document("pages/x").text("body").append("kept")
            await replica.synced()
            async with Replica.open(MemoryStore(), relay=f"{relay.url}/crm") as other:
                await other.synced()
                assert other.to_dict() == {"pages": {"x": {"body": "kept"}}}
