"""A relay under a path of a site, behind a proxy that takes the path off or passes it on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.engine.errors import InvalidUrl
from syncline.engine.yjs.messages import SyncStep1, SyncStep2
from tests.relay.editors import NOTHING, hocuspocus_at, y_websocket_at
from tests.replica.models import Contact
from tests.transports.raw_client import http

PATIENCE = 60.0


@asynccontextmanager
async def proxy(port: int, *, strip: bytes) -> AsyncGenerator[str]:
    """Passes on what comes for /sync, as nginx does; yields its address. ``strip`` is taken off the
    path."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", port)
        first = await reader.readline()
        method, path, version = first.split(b" ")
        assert path.startswith(b"/sync")
        to_there.write(b" ".join((method, path.removeprefix(strip), version)))
        await asyncio.gather(pump(reader, to_there), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/sync"


async def write_and_read(tmp_path: Path, url: str) -> None:
    """A replica and an editor of each kind meet at ``url``."""
    async with (
        asyncio.timeout(PATIENCE),
        Replica.open(tmp_path / "a.db", models=[Contact], relay=f"{url}/crm/") as replica,
    ):
        replica.document("pages/welcome").text("body").append("hello")
        await replica.synced()
        async with y_websocket_at(f"{url}/crm/pages/welcome") as editor:
            await editor.say(SyncStep1(NOTHING[:1]))
            while not isinstance(answer := await editor.told(), SyncStep2):
                pass
            assert b"hello" in answer.update
        async with hocuspocus_at(f"{url}/crm") as editor:
            await editor.authenticate("pages/welcome")
            await editor.say("pages/welcome", SyncStep1(NOTHING[:1]))
            while b"hello" not in await editor.hear():
                pass


@pytest.mark.parametrize("strip", [b"", b"/sync"], ids=["passed on", "taken off"])
async def test_replicas_and_editors_come_through_a_proxy(tmp_path: Path, strip: bytes) -> None:
    prefix = "" if strip else "/sync"
    async with (
        Relay(tmp_path / "relay.db", port=0, path_prefix=prefix) as relay,
        proxy(relay.port, strip=strip) as url,
    ):
        await write_and_read(tmp_path, url)


async def test_beside_the_proxy_the_relay_is_reached_with_the_prefix_and_without(
    tmp_path: Path,
) -> None:
    async with Relay(tmp_path / "relay.db", port=0, path_prefix="sync/") as relay:
        assert relay.url == f"ws://127.0.0.1:{relay.port}/sync"
        await write_and_read(tmp_path, relay.url)
        for number, url in enumerate((relay.url, relay.url.removesuffix("/sync"))):
            async with (
                asyncio.timeout(PATIENCE),
                Replica.open(tmp_path / f"{number}.db", relay=f"{url}/crm") as replica,
            ):
                await replica.synced()
                assert str(replica.document("pages/welcome").text("body")) == "hello"
        for path, status in {
            "/healthz": 200,
            "/sync/healthz": 200,
            "/": 200,
            "/sync": 200,
            "/sync/": 200,
            "/sync/crm": 426,
            "/other/crm": 404,
        }.items():
            assert (await http(relay.port, "GET", path)).status == status, path
        page = await http(relay.port, "GET", "/sync/")
        assert f"{relay.url}/crm" in page.body.decode()


async def test_a_prefix_that_the_relay_does_not_know_is_told(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(tmp_path / "a.db", relay=f"{relay.url}/sync/crm") as replica,
    ):
        async with asyncio.timeout(PATIENCE):
            while "--path-prefix" not in str(replica.status.error):  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_a_prefix_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidUrl, match="cannot be the path prefix"):
        Relay(tmp_path / "relay.db", path_prefix="/a b")
