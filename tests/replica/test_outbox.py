"""The outbox in memory: what was just committed is sent from there, and the rest from the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from syncline import Access, Relay, Replica
from syncline.engine.document.document import Document
from syncline.engine.errors import StoreDamaged
from syncline.engine.names import Address
from syncline.engine.protocol.binary_frames import decode_binary, encode_binary
from syncline.engine.protocol.messages import DocumentUpdate, Entry, Push
from syncline.replica.local.outbox import Outbox
from syncline.replica.replica import LOCAL
from syncline.stores import InlineCalls, MemoryStore, OutboxBatch, Write
from syncline.stores.pending_pushes import PAGE_BATCHES, pending_pushes
from tests.access.rules import Rules

_P = ParamSpec("_P")
_T = TypeVar("_T")

PATIENCE = 60.0
PAD = "pages/pad"


class WatchedStore(MemoryStore):
    """Keeps what the outbox was read for: the thread, and the numbers that came back."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, list[int]]] = []

    def outbox(self, workspace: str, *, after: int = 0, limit: int) -> list[OutboxBatch]:
        found = super().outbox(workspace, after=after, limit=limit)
        self.reads.append((threading.current_thread().name, [batch.number for batch in found]))
        return found

    def close(self) -> None:
        """To be opened again, as a file is."""


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    rules = Rules({"ada": {"*": Access.WRITE}, "bob": {"*": Access.READ}})
    async with Relay(tmp_path / "relay.db", port=0, authenticator=rules, authorizer=rules) as relay:
        yield relay


@pytest.fixture
def two_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    two = partial(Outbox, max_batches=2)
    monkeypatch.setattr("syncline.replica.local.workspace.Outbox", two)


async def write(replica: Replica, batches: int) -> None:
    """So many batches, because a commit lies between each two."""
    for number in range(batches):
        replica.document(PAD).text("body").append(f"{number} ")
        await replica.flushed()
    assert replica.pending == batches


async def synced(replica: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        await replica.synced()
        await replica.flushed()


async def arrived(relay: Relay) -> str:
    async with Replica.open(MemoryStore(), relay=f"{relay.url}/w", token="ada") as other:
        await synced(other)
        return str(other.document(PAD).text("body"))


async def test_what_was_just_committed_is_not_read_back(relay: Relay) -> None:
    store = WatchedStore()
    async with Replica.open(store) as replica:
        await write(replica, 5)
        store.reads.clear()
        await replica.connect(f"{relay.url}/w", token="ada")
        await synced(replica)
        await write(replica, 1)
        await synced(replica)
        assert store.reads == []
    assert await arrived(relay) == "0 1 2 3 4 0 "


async def test_a_commit_wakes_a_link_that_is_at_rest(relay: Relay) -> None:
    async with Replica.open(MemoryStore(), relay=f"{relay.url}/w", token="ada") as replica:
        await synced(replica)
        await write(replica, 1)
        async with asyncio.timeout(PATIENCE / 2):  # nobody asks, and the next ping is later
            while replica.pending:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.usefixtures("two_in_memory")
async def test_of_a_longer_queue_stretches_are_read_in_the_stores_thread(relay: Relay) -> None:
    store = WatchedStore()
    async with Replica.open(store) as replica:
        await write(replica, 5)
        store.reads.clear()
        await replica.connect(f"{relay.url}/w", token="ada")
        await synced(replica)
        # 1 and 2 are in memory; then two come at once, and the last one.
        assert {thread for thread, _ in store.reads} == {"syncline-store"}
        assert [numbers[0] for _, numbers in store.reads] == [3, 5]
    assert await arrived(relay) == "0 1 2 3 4 "


@pytest.mark.usefixtures("two_in_memory")
async def test_after_a_restart_the_queue_is_read(relay: Relay) -> None:
    store = WatchedStore()
    async with Replica.open(store) as replica:
        await write(replica, 5)
    async with Replica.open(store) as replica:
        assert replica.pending == 5
        store.reads.clear()
        await replica.connect(f"{relay.url}/w", token="ada")
        await synced(replica)
        assert [(thread, numbers[0]) for thread, numbers in store.reads] == [
            ("syncline-store", number) for number in (1, 3, 5)
        ]
    assert await arrived(relay) == "0 1 2 3 4 "


@pytest.mark.parametrize("kept", [2, 5])
async def test_a_refused_batch_is_found(
    relay: Relay, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "syncline.replica.local.workspace.Outbox", partial(Outbox, max_batches=kept)
    )
    store = WatchedStore()
    async with Replica.open(store) as replica:
        await write(replica, 5)
        sent = store.outbox(LOCAL, limit=9)
        store.reads.clear()
        await replica.connect(f"{relay.url}/w", token="bob")
        await synced(replica)
        assert {thread for thread, _ in store.reads} == ({"syncline-store"} if kept == 2 else set())
    pushes = [decode_binary(batch.payload) for batch in sent]
    assert [(each.batch, each.update, each.code) for each in store.refused(LOCAL)] == [
        (push.batch, push.entries[0].update, "not-allowed")
        for push in pushes
        if isinstance(push, Push)
    ]
    assert len(store.refused(LOCAL)) == 5


async def test_a_link_that_ended_is_told_nothing_more(relay: Relay) -> None:
    async with Replica.open(MemoryStore()) as replica:
        journal = replica._workspace.journal  # pyright: ignore[reportPrivateUsage]
        listeners = journal._listeners  # pyright: ignore[reportPrivateUsage]
        before = list(listeners)
        for _ in range(3):
            await replica.connect(f"{relay.url}/w", token="ada")
            await synced(replica)
            assert len(listeners) == len(before) + 1
            await replica.disconnect()
        assert listeners == before


def update(length: int) -> bytes:
    document = Document(2**40)
    document.text("body").insert(0, "x" * length)
    (update,) = document.take_captured()
    document.close()
    return update


ENTRY = Entry(Address("pages", "a"), update(100))


class Calls(InlineCalls):
    """``then`` happens before the result of a call arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], None] = lambda: None

    async def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        result = await super().__call__(function, *args, **kwargs)
        self.then()
        return result


class Device:
    """An outbox over a store, whose batches hold one update each."""

    def __init__(self, max_batches: int = 2, max_bytes: int = 1 << 20) -> None:
        self.store = WatchedStore()
        self.store.open()
        self.calls = Calls()
        self.outbox = Outbox(
            self.store, self.calls, "w", max_batches=max_batches, max_bytes=max_bytes
        )
        self.store.reads.clear()

    def commit(self, count: int, entry: Entry = ENTRY) -> None:
        for _ in range(count):
            batches = self.outbox.pack([entry])
            self.store.write([Write("w", outbox=batches)])
            self.outbox.committed(batches)

    def acknowledge(self, number: int) -> None:
        assert self.outbox.acknowledge(number)
        self.store.write([Write("w", acknowledged=number)])

    def kept(self) -> list[int]:
        return [number for number in range(1, 99) if self.outbox.get(number) is not None]


async def test_the_oldest_are_kept_in_a_row() -> None:
    device = Device(max_batches=2)
    device.commit(3)
    assert device.kept() == [1, 2]
    device.acknowledge(1)
    device.commit(1)
    assert device.kept() == [2]  # not 4, because 3 comes before it
    await device.outbox.read(3)
    assert device.kept() == [3, 4]
    device.acknowledge(2)
    device.acknowledge(3)
    device.commit(1)
    assert device.kept() == [4, 5]
    assert (device.outbox.acknowledged, device.outbox.durable, device.outbox.pending) == (3, 5, 2)
    assert not device.outbox.acknowledge(3)


async def test_bytes_are_bounded_too_but_a_large_batch_comes_alone() -> None:
    device = Device(max_batches=99, max_bytes=1000)
    device.commit(20)
    count = len(device.kept())
    size = len(encode_binary(Push(1, (ENTRY,))))
    assert count == 1000 // size
    await device.outbox.read(count + 1)
    assert device.kept() == list(range(count + 1, 2 * count + 1))

    device.commit(1, Entry(ENTRY.address, update(5000)))
    device.commit(1)
    await device.outbox.read(21)
    assert device.kept() == [21]


async def test_what_was_acknowledged_while_it_was_read_is_not_kept() -> None:
    device = Device(max_batches=3)
    device.commit(5)
    device.calls.then = lambda: device.acknowledge(1)
    await device.outbox.read(1)
    assert device.kept() == [2, 3]


async def test_a_batch_that_the_store_has_lost_is_an_error() -> None:
    device = Device(max_batches=1)
    device.commit(3)
    device.store.write([Write("w", acknowledged=2)])
    with pytest.raises(StoreDamaged) as caught:
        await device.outbox.read(2)
    assert caught.value.message == "Batch 2 of the outbox is missing."
    assert await device.outbox.find(2) is None


@pytest.mark.parametrize("kept", [1, 9])
async def test_a_sent_batch_is_found_in_memory_or_in_the_store(kept: int) -> None:
    device = Device(max_batches=kept)
    device.commit(3)
    assert [await device.outbox.find(number) for number in (1, 2, 3, 4)] == [
        *(Push(number, (ENTRY,)) for number in (1, 2, 3)),
        None,
    ]
    assert len(device.store.reads) == (1 if kept == 9 else 3)


def test_every_pending_push_is_walked_over_in_order() -> None:
    device = Device()
    device.commit(2 * PAGE_BATCHES + 1)
    device.acknowledge(1)
    pushes = list(pending_pushes(device.store, "w"))
    assert pushes == [Push(number, (ENTRY,)) for number in range(2, 2 * PAGE_BATCHES + 2)]
    assert len(device.store.reads) <= 4


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (
            encode_binary(DocumentUpdate(ENTRY.address, 0, ENTRY.update)),
            'It is the message "document"',
        ),
        (b"", "A binary frame"),
    ],
)
def test_a_batch_that_is_none_is_an_error(payload: bytes, reason: str) -> None:
    store = MemoryStore()
    store.open()
    store.write([Write("w", outbox=(OutboxBatch(7, payload),))])
    with pytest.raises(StoreDamaged) as caught:
        list(pending_pushes(store, "w"))
    assert caught.value.message.startswith(f"Batch 7 of the outbox is no batch: {reason}")
