"""A relay whose start or end is cancelled or fails leaves its store, port and threads free."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.engine.errors import (
    StoreBusy,
    SynclineError,
    TransportError,
    UsageError,
    WorkspaceMismatch,
)
from tests.replica.models import Contact
from tests.stores.opening import CancelledAt, store_threads


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert store_threads() == []


async def test_a_start_cancelled_at_any_await(tmp_path: Path, port: int) -> None:
    path = tmp_path / "relay.db"
    for step in count(1):
        relay = Relay(path, port=port, models=[Contact])
        starting = CancelledAt(relay.__aenter__(), step)
        outcome = await starting.run()
        if not starting.reached:
            assert outcome is None
            assert step > 3
            await relay.__aexit__(None, None, None)
            break
        assert isinstance(outcome, asyncio.CancelledError)
        assert store_threads() == []
        async with Relay(path, port=port, models=[Contact]):
            pass


async def test_an_end_cancelled_at_any_await(tmp_path: Path, port: int) -> None:
    path = tmp_path / "relay.db"
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        replica.collection(Contact).create(name="Ada")
        before = len(store_threads())
        for step in count(1):
            relay = await Relay(path, port=port, models=[Contact]).__aenter__()
            await replica.connect(f"{relay.url}/crm")
            await replica.synced()
            ending = CancelledAt(relay.__aexit__(None, None, None), step)
            outcome = await ending.run()
            assert len(store_threads()) == before
            if not ending.reached:
                assert outcome is None
                assert step > 1
                break
            assert isinstance(outcome, asyncio.CancelledError)


async def test_a_start_that_fails(tmp_path: Path, port: int) -> None:
    path = tmp_path / "relay.db"
    async with Relay(path, port=port):
        with pytest.raises(StoreBusy):
            await Relay(path, port=0).__aenter__()
        with pytest.raises(TransportError, match="Cannot listen"):
            await Relay(tmp_path / "other.db", port=port).__aenter__()
    async with Relay(tmp_path / "other.db", port=port):
        pass
    async with Replica.open(tmp_path / "replica.db"):
        pass
    with pytest.raises(WorkspaceMismatch):
        await Relay(tmp_path / "replica.db", port=port).__aenter__()
    async with Replica.open(tmp_path / "replica.db"), Relay(path, port=port):
        pass


async def test_a_relay_is_started_once(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "relay.db", port=0)
    async with relay:
        with pytest.raises(UsageError, match="was started before") as caught:
            await relay.__aenter__()
        assert "Make another Relay" in caught.value.hint
        async with Replica.open(tmp_path / "a.db", relay=f"{relay.url}/crm") as replica:
            await replica.synced()  # it still serves
    with pytest.raises(SynclineError, match="was started before"):
        await relay.__aenter__()
