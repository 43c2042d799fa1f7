"""What goes wrong at opening and connecting: each a SynclineError that says what to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Relay, Replica, SynclineError
from syncline.engine.errors import (
    InvalidUrl,
    ProtocolError,
    RelayUnreachable,
    StoreBusy,
    StoreDamaged,
    StoreError,
    VersionMismatch,
)
from syncline.engine.protocol.codec import decode, encode
from syncline.engine.protocol.messages import LIMITS, Error, Hello, Message, Welcome
from syncline.transports import Request, Transport, WebSocketServer
from tests.replica.models import Contact, link_of

PATIENCE = 60.0


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:8765/crm", "is not a websocket URL"),
        ("127.0.0.1:8765/crm", "does not begin with ws:// or wss://"),
        ("ws://127.0.0.1:8765", "names no workspace"),
        ("ws://127.0.0.1:8765/a//b", "has an empty part"),
        ("ws:///crm", "host|ws://"),
        ("ws://127.0.0.1:99999/crm", "no valid host and port"),
        ("ws://127.0.0.1:8765/Crm!", "cannot name a workspace"),
        ("ws://user:secret@127.0.0.1:8765/crm", "contains credentials"),
    ],
)
async def test_a_wrong_url_is_refused_at_once(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(InvalidUrl, match=sentence) as caught:
        Replica.open(tmp_path / "a.db", relay=url)
    assert caught.value.hint
    assert "secret" not in str(caught.value)
    async with Replica.open(tmp_path / "a.db") as replica:
        with pytest.raises(InvalidUrl, match=sentence):
            await replica.connect(url)


async def test_an_unreachable_relay(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nothing can answer there
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/crm"
        async with Replica.open(tmp_path / "a.db", models=[Contact], relay=url) as replica:
            replica.collection(Contact).create(name="offline")
            await replica.flushed()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await replica.synced()
            assert link_of(replica) in ("connecting", "waiting")
            assert "cannot be reached" in str(replica.status.error)
            with pytest.raises(RelayUnreachable, match="cannot be reached") as caught:
                await replica.connect(url)
            assert caught.value.retry_after is not None
            assert link_of(replica) == "offline"
            assert replica.pending == 1


@asynccontextmanager
async def strange_relay(answer: Message) -> AsyncGenerator[str]:
    """A websocket server that answers every hello in its own way; yields its URL."""

    async def serve(transport: Transport, _request: Request) -> None:
        assert isinstance(decode(await transport.receive()), Hello)
        await transport.send(encode(answer))
        await transport.receive()

    async with WebSocketServer(serve, host="127.0.0.1", port=0) as server:
        yield f"{server.url}/crm"


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (
            Error("version-mismatch", "The relay speaks version 9.", "Upgrade the replica.", None),
            VersionMismatch,
            "refused protocol version 1 of this replica: The relay speaks version 9",
        ),
        (
            Welcome(9, "r" * 32, 0, 0, 0, LIMITS),
            VersionMismatch,
            "The relay chose protocol version 9, and this replica speaks 1",
        ),
        (Error("denied", "Not you.", "Ask the owner.", None), ProtocolError, "Not you"),
    ],
)
async def test_a_relay_that_cannot_be_used(
    tmp_path: Path, answer: Message, error: type[SynclineError], sentence: str
) -> None:
    async with strange_relay(answer) as url:
        async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
            with pytest.raises(error, match=sentence) as caught:
                await replica.connect(url)
            assert caught.value.hint
        async with Replica.open(tmp_path / "a.db", models=[Contact], relay=url) as replica:
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(error, match=sentence):
                    await replica.synced()
            assert link_of(replica) == "failed"
            replica.collection(Contact).create(name="still works")
            await replica.flushed()


async def test_a_relay_that_talks_nonsense_is_left(tmp_path: Path) -> None:
    async def serve(transport: Transport, _request: Request) -> None:
        await transport.receive()
        await transport.send("{}")
        await transport.receive()

    async with (
        WebSocketServer(serve, host="127.0.0.1", port=0) as server,
        Replica.open(tmp_path / "a.db") as replica,
    ):
        with pytest.raises(ProtocolError):
            await replica.connect(f"{server.url}/crm")


async def test_a_store_opens_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Replica.open(path):
        with pytest.raises(StoreBusy, match=r"a\.db"):
            async with Replica.open(path):
                pass
        with pytest.raises(StoreBusy):
            async with Relay(path, port=0):
                pass
    async with Replica.open(path):
        pass


async def test_a_damaged_store(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database at all " * 500)
    with pytest.raises(StoreDamaged, match=r"a\.db") as caught:
        async with Replica.open(path):
            pass
    assert caught.value.hint
    with pytest.raises(StoreError):
        async with Replica.open(tmp_path / "missing" / "a.db"):
            pass
    with pytest.raises(InvalidUrl):
        Replica.open("oracle://host/db")
