"""Pace: how much a replica does by itself between two turns of the event loop.

``Turns`` looks at the program once a turn, as any other task in the loop could; what changed from
one look to the next was done without letting it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from syncline import Relay, Replica, col
from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.records.projection import Rows
from syncline.engine.updates.parse import decode_state_vector
from syncline.replica.local.pace import SLICE_DOCUMENTS, Pace, WorkSlice, slices
from syncline.stores import MemoryStore, SqlStore, Write
from tests.replica.models import Contact

TWO = WorkSlice(documents=2, unsaved=2)


class Turns:
    """``seen`` is what ``look`` returned, once a turn, without repetitions."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self.seen: list[int] = []

    async def __aenter__(self) -> Turns:
        self.seen.append(self._look())
        self._task = asyncio.create_task(self._run())
        await asyncio.sleep(0)
        return self

    async def _run(self) -> None:
        while True:
            now = self._look()
            if now != self.seen[-1]:
                self.seen.append(now)
            await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def most(self) -> int:
        return max(after - before for before, after in zip(self.seen, self.seen[1:], strict=False))


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[str]:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        yield f"{relay.url}/crm"


async def fill(url: str, tmp_path: Path, count: int) -> None:
    async with Replica.open(tmp_path / "filler.db", models=[Contact], relay=url) as replica:
        with replica.transaction():
            for number in range(count):
                replica.collection(Contact).create(key=f"{number:03}", name=f"n{number}")
        await replica.synced()


class CheckedStore(SqlStore):
    """Checks that each commit says of a document what its log makes of it, and no more."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits = 0
        self._logs: dict[Address, list[bytes]] = {}

    def write(self, writes: Sequence[Write]) -> list[int]:
        for write in writes:
            for each in write.documents:
                log = self._logs.setdefault(each.address, [])
                log += each.updates
                document = Document(1, log)
                assert document.state_vector() == decode_state_vector(each.state_vector)
                self.commits += 1
        return super().write(writes)


async def first_sync(url: str, path: Path, work_slice: WorkSlice, count: int) -> list[int]:
    async with Replica.open(path, models=[Contact], work_slice=work_slice) as replica:
        contacts = replica.collection(Contact)
        async with Turns(lambda: len(contacts)) as turns:
            await replica.connect(url)
            await replica.synced()
        assert len(contacts) == count
    assert turns.most <= work_slice.documents
    return turns.seen


async def test_a_first_sync_lets_the_loop_turn_after_every_slice(
    relay: str, tmp_path: Path
) -> None:
    await fill(relay, tmp_path, 5)
    assert await first_sync(relay, tmp_path / "two.db", TWO, 5) == [0, 2, 4, 5]
    whole = await first_sync(relay, tmp_path / "whole.db", WorkSlice(documents=5), 5)
    assert whole == [0, 5]


@pytest.mark.slow
async def test_the_slice_that_is_used_unless_another_is_set(relay: str, tmp_path: Path) -> None:
    count = 2 * SLICE_DOCUMENTS + 1
    await fill(relay, tmp_path, count)
    seen = await first_sync(relay, tmp_path / "a.db", WorkSlice(), count)
    assert seen == [0, SLICE_DOCUMENTS, 2 * SLICE_DOCUMENTS, count]


async def test_the_cursor_moves_with_the_last_slice_of_a_frame(relay: str, tmp_path: Path) -> None:
    await fill(relay, tmp_path, 5)
    async with Replica.open(tmp_path / "a.db", models=[Contact], work_slice=TWO) as replica:
        contacts = replica.collection(Contact)
        while_some_lack: set[int] = set()

        def look() -> int:
            if len(contacts) < 5:
                while_some_lack.add(replica.status.cursor)
            return len(contacts)

        async with Turns(look):
            await replica.connect(relay)
            await replica.synced()
        assert while_some_lack == {0}
        assert replica.status.cursor == 5


async def test_what_was_cut_off_in_the_middle_comes_again(relay: str, tmp_path: Path) -> None:
    await fill(relay, tmp_path, 9)
    async with Replica.open(tmp_path / "a.db", models=[Contact], work_slice=TWO) as replica:
        contacts = replica.collection(Contact)
        await replica.connect(relay)
        async with asyncio.timeout(60):
            await anext(contacts.changes())
        await replica.disconnect()
        assert len(contacts) in (2, 4, 6)
        assert replica.status.cursor == 0
        contacts["000"].name = "edited in between"
    async with Replica.open(tmp_path / "a.db", models=[Contact], relay=relay) as replica:
        await replica.synced()
        names = [record.name for record in replica.collection(Contact)]
        assert names == ["edited in between", *[f"n{number}" for number in range(1, 9)]]


async def test_changes_of_the_program_between_slices_are_kept_and_the_store_agrees(
    relay: str, tmp_path: Path
) -> None:
    await fill(relay, tmp_path, 5)
    store = CheckedStore(tmp_path / "a.db")
    async with Replica.open(store, models=[Contact], work_slice=TWO) as replica:
        contacts = replica.collection(Contact)

        def look() -> int:
            for record in contacts:  # all that is here, at every turn
                with replica.transaction():
                    record.visits += 1
                    record.phone = str(int(record.visits))
            return len(contacts)

        changes = contacts.changes()
        async with asyncio.timeout(60), Turns(look):
            await replica.connect(relay)
            while len(contacts) < 5:
                await anext(changes)
        await replica.synced()
        expected = replica.to_dict()
    assert store.commits >= 5
    assert expected["contacts"]["000"]["visits"] > 0
    async with Replica.open(tmp_path / "b.db", models=[Contact], relay=relay) as other:
        await other.synced()
        assert other.to_dict() == expected
    store.open()
    assert store.verify() == []
    store.close()


async def test_a_commit_is_prepared_slice_by_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    row = Rows.row

    def counted(self: Rows, document: Document) -> object:
        made.append("row")
        return row(self, document)

    monkeypatch.setattr(Rows, "row", counted)
    async with Replica.open(MemoryStore(), models=[Contact], work_slice=TWO) as replica:
        with replica.transaction():
            for number in range(5):
                replica.collection(Contact).create(name=str(number))
        async with Turns(lambda: len(made)) as turns:
            await replica.flushed()
    assert turns.seen == [0, 2, 4, 5]


async def test_what_changes_while_a_commit_is_prepared_is_in_the_next(tmp_path: Path) -> None:
    store = CheckedStore(tmp_path / "a.db")
    async with Replica.open(store, models=[Contact], work_slice=TWO) as replica:
        contacts = replica.collection(Contact)
        with replica.transaction():
            for key in "abcde":
                contacts.create(key=key, name=key)
        for turn in range(8):  # the first of them while it is prepared
            await asyncio.sleep(0)
            contacts["e"].phone = contacts["a"].phone = str(turn)
        # One that reads all at once finishes what was begun.
        assert list(contacts.values("phone")) == ["7", None, None, None, "7"]
    store.open()
    assert store.verify() == []
    store.close()


async def test_reading_from_the_relay_pauses_for_the_disk(relay: str, tmp_path: Path) -> None:
    count = 9
    await fill(relay, tmp_path, count)
    store = SqlStore(tmp_path / "a.db")
    async with Replica.open(store, models=[Contact], work_slice=TWO) as replica:
        contacts = replica.collection(Contact)
        ahead: list[int] = []

        def look() -> int:
            ahead.append(len(contacts) - len(store.liveness("local", "contacts")))
            return ahead[-1]

        async with Turns(look):
            await replica.connect(relay)
            await replica.synced()
        assert len(contacts) == count
    assert 0 < max(ahead) <= TWO.unsaved + TWO.documents


async def test_a_reader_of_many_changes_lets_the_loop_turn(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact], work_slice=TWO) as replica:
        contacts = replica.collection(Contact)
        changes, live = contacts.changes(), contacts.where(col(Contact.phone).is_(None)).changes()
        for number in range(5):
            contacts.create(name=str(number))
        await replica.flushed()
        for stream in (changes, live):
            taken: list[str] = []

            def count(taken: list[str] = taken) -> int:
                return len(taken)

            async with Turns(count) as turns:
                async for change in stream:
                    taken.append(change.record.name)
                    if len(taken) == 5:
                        break
            assert taken == list("01234")
            assert turns.most <= 2


async def test_pace_counts_documents_and_bytes() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    pace, turns = Pace(WorkSlice(documents=3, bytes=10)), 0
    for documents, size, expected in ((1, 0, 0), (1, 9, 0), (1, 0, 1), (1, 9, 1), (1, 1, 2)):
        await pace.spend(documents, size)
        assert turns == expected
    counting.cancel()


@pytest.mark.parametrize("sizes", [[], [1], [1, 1, 1], [9, 1, 1], [50, 1], [1, 50]])
def test_slices_leave_nothing_out(sizes: list[int]) -> None:
    address = Address("pages", "a")
    entries = [(Entry(address, b"x" * size, 0), size) for size in sizes]
    cut = list(slices(entries, WorkSlice(documents=2, bytes=10)))
    assert [each for some in cut for each in some] == entries
    assert all(some for some in cut)
    for some in cut:
        assert len(some) <= 2
        assert sum(size for _, size in some[:-1]) < 10
