"""Replicas that are opened at once, and openings and closings that are cancelled or fail."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import pytest
from sqlalchemy import create_engine

from syncline import Record, Relay, Replica, Text
from syncline.engine.errors import (
    SchemaMismatch,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    SynclineError,
    UsageError,
    WorkspaceMismatch,
)
from syncline.environment import Environment
from syncline.stores import SqlStore, StoreThread, Write
from tests.replica.models import Contact
from tests.stores.opening import CancelledAt, store_threads

_P = ParamSpec("_P")
_T = TypeVar("_T")

MANY = 8

Moment = Literal["waits", "runs", "is made"]


class Staged(StoreThread):
    """Has the calls of one task wait to be put in the queue, or to run, until they are let."""

    def __init__(self, moment: Moment) -> None:
        super().__init__()
        self._moment = moment
        self.owner: asyncio.Task[Any] | None = None
        self._gate, self._begun, self._made = (threading.Event() for _ in range(3))
        self._gate.set()  # there is none yet
        self._made.set()

    async def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        if asyncio.current_task() is not self.owner:
            return await super().__call__(function, *args, **kwargs)
        gate, begun, made = (threading.Event() for _ in range(3))
        self._gate, self._begun, self._made = gate, begun, made
        if self._moment == "waits":
            self._await(lambda: gate.wait(60))  # what runs before it

        def staged() -> _T:
            begun.set()
            assert gate.wait(60)
            try:
                return function(*args, **kwargs)
            finally:
                made.set()

        return await super().__call__(staged)

    def let(self) -> None:
        """The call that the task awaits goes on."""
        self._gate.set()

    def reach(self) -> None:
        """Come to the moment at which the task is cancelled."""
        if self._moment == "runs" and not self._gate.is_set():
            assert self._begun.wait(60)
        elif self._moment == "is made":
            self.let()
            assert self._made.wait(60)
        self._let_after(3)  # the task has heard of it then

    def _let_after(self, turns: int) -> None:
        if turns == 0:
            self.let()
        else:
            asyncio.get_running_loop().call_soon(self._let_after, turns - 1)


def assert_nothing_left(folder: Path) -> None:
    """No thread of a store, and no file in ``folder`` that this process has open."""
    assert store_threads() == []
    if sys.platform == "linux":
        held: list[str] = []
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                held.append(os.readlink(f"/proc/self/fd/{number}"))
        assert [name for name in held if name.startswith(str(folder))] == []


async def names(path: Path) -> list[str]:
    """Open the store as anybody would, and read it."""
    async with Replica.open(path, models=[Contact]) as replica:
        return sorted(contact.name for contact in replica.collection(Contact))


# At once


@pytest.mark.slow
async def test_new_replicas_at_once(tmp_path: Path) -> None:
    async def one(number: int) -> list[str]:
        async with Replica.open(tmp_path / f"{number}.db", models=[Contact]) as replica:
            replica.collection(Contact).create(name=str(number))
            await replica.flushed()
            return [contact.name for contact in replica.collection(Contact)]

    found = await asyncio.gather(*(one(number) for number in range(MANY)))
    assert found == [[str(number)] for number in range(MANY)]
    assert_nothing_left(tmp_path)
    for number in range(MANY):
        assert await names(tmp_path / f"{number}.db") == [str(number)]


async def test_one_new_store_opened_by_many_at_once(tmp_path: Path) -> None:
    path, told = tmp_path / "a.db", asyncio.Event()

    async def one(number: int) -> None:
        try:
            async with Replica.open(path, models=[Contact]) as replica:
                replica.collection(Contact).create(name=str(number))
                await told.wait()
        finally:
            told.set()

    outcomes = await asyncio.gather(*map(one, range(MANY)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(each, StoreBusy) for each in refused)
    assert refused
    # Who came late enough got it after the first.
    assert len(await names(path)) == MANY - len(refused)
    assert_nothing_left(tmp_path)


# Cancelled


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["waits", "runs", "is made"])
async def test_an_opening_cancelled_at_any_await(tmp_path: Path, moment: Moment) -> None:
    """While its call to the store waits for the thread, runs, or is made without its knowing."""
    for step in count(1):
        path = tmp_path / f"{step}.db"
        calls = Staged(moment)
        environment = Environment(store_thread=iter([calls, StoreThread()]).__next__)
        replica = Replica.open(path, models=[Contact], environment=environment)
        opening = CancelledAt(replica.__aenter__(), step, calls.reach, calls.let)
        task = asyncio.create_task(opening.run())
        calls.owner = task
        outcome = await task
        if not opening.reached:
            assert outcome is None
            assert step > 3
            await replica.__aexit__(None, None, None)
            break
        assert isinstance(outcome, asyncio.CancelledError)
        assert_nothing_left(tmp_path)
        assert await names(path) == []


@pytest.mark.parametrize("with_relay", [False, True])
async def test_a_closing_cancelled_at_any_await(tmp_path: Path, with_relay: bool) -> None:
    """It goes on to its end, and what was written is on the disk."""
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        before = len(store_threads())
        for step in count(1):
            path = tmp_path / f"{step}.db"
            url = f"{relay.url}/crm" if with_relay else None
            replica = await Replica.open(path, models=[Contact], relay=url).__aenter__()
            replica.collection(Contact).create(name="not flushed yet")
            closing_ = CancelledAt(replica.__aexit__(None, None, None), step)
            outcome = await closing_.run()
            assert len(store_threads()) == before
            assert "not flushed yet" in await names(path)
            if not closing_.reached:
                assert outcome is None
                assert step > 1
                break
            assert isinstance(outcome, asyncio.CancelledError)


async def test_a_closing_that_is_cancelled_again_and_again(tmp_path: Path) -> None:
    replica = await Replica.open(tmp_path / "a.db", models=[Contact]).__aenter__()
    replica.collection(Contact).create(name="Ada")
    task = asyncio.create_task(replica.__aexit__(None, None, None))
    await asyncio.sleep(0)  # it has begun
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    assert_nothing_left(tmp_path)
    assert await names(tmp_path / "a.db") == ["Ada"]


@pytest.mark.slow
def test_a_loop_that_ends_during_a_closing_frees_the_store(tmp_path: Path) -> None:
    """``asyncio.run`` cancels every task that is left, the ones of a closing too."""

    async def leave(path: Path, turns: int) -> None:
        replica = await Replica.open(path, models=[Contact]).__aenter__()
        replica.collection(Contact).create(name="Ada")
        await replica.flushed()
        leaving = asyncio.create_task(replica.__aexit__(None, None, None))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert turns > 1 or not leaving.done()

    for turns in range(1, 20):
        path = tmp_path / f"{turns}.db"
        asyncio.run(leave(path, turns))
        for thread in store_threads():
            thread.join(60)
        assert_nothing_left(tmp_path)
        assert asyncio.run(names(path)) == ["Ada"]


# Refused and failed


class Words(Record, collection="contacts"):
    name: Text


async def relays_store(path: Path) -> None:
    async with Relay(path, port=0):
        pass


async def replicas_store(path: Path) -> None:
    async with Replica.open(path, models=[Contact], relay="ws://127.0.0.1:1/crm") as replica:
        replica.collection(Contact).create(name="Ada")


async def garbage(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"garbage" * 1000)


async def foreign_table(path: Path) -> None:
    with closing(SqlStore(path)) as store:
        store.open()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE contacts (x)")
    engine.dispose()


async def folder(path: Path) -> None:
    await asyncio.to_thread(path.mkdir)


@pytest.mark.parametrize(
    ("prepare", "relay", "model", "kind"),
    [
        (relays_store, None, Contact, WorkspaceMismatch),
        (replicas_store, "ws://127.0.0.1:1/other", Contact, WorkspaceMismatch),
        (replicas_store, None, Words, SchemaMismatch),
        (garbage, None, Contact, StoreDamaged),
        (foreign_table, None, Contact, StoreError),
        (folder, None, Contact, StoreError),
    ],
)
async def test_an_opening_that_is_refused(
    tmp_path: Path,
    prepare: Callable[[Path], Awaitable[None]],
    relay: str | None,
    model: type[Record],
    kind: type[SynclineError],
) -> None:
    path = tmp_path / "a.db"
    await prepare(path)
    replica = Replica.open(path, models=[model], relay=relay)
    with pytest.raises(kind) as caught:
        await replica.__aenter__()
    assert type(caught.value) is kind
    assert_nothing_left(tmp_path)
    if prepare is relays_store:
        await relays_store(path)
    elif prepare is replicas_store:
        assert await names(path) == ["Ada"]


class FullDisk(SqlStore):
    """Takes so many writes, and no more."""

    def __init__(self, path: Path, takes: int) -> None:
        super().__init__(path)
        self.takes = takes

    def write(self, writes: Sequence[Write]) -> list[int]:
        self.takes -= 1
        if self.takes < 0:
            raise StoreFailed("The disk is full.", hint="Free some.", retry_after=0.01)
        return super().write(writes)


async def test_a_disk_that_is_full_at_any_write(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for takes in count():
        replica = Replica.open(FullDisk(path, takes), models=[Contact])
        try:
            await replica.__aenter__()
        except StoreFailed:
            assert_nothing_left(tmp_path)
        else:
            assert takes > 0
            await replica.__aexit__(None, None, None)
            break
    assert_nothing_left(tmp_path)
    assert await names(path) == []


async def test_a_replica_is_opened_once(tmp_path: Path) -> None:
    replica = Replica.open(tmp_path / "a.db", models=[Contact])
    async with replica:
        with pytest.raises(UsageError, match="was opened before") as caught:
            await replica.__aenter__()
        assert "Make another with Replica.open" in caught.value.hint
        replica.collection(Contact).create(name="Ada")
    with pytest.raises(UsageError, match="was opened before"):
        await replica.__aenter__()
    assert await names(tmp_path / "a.db") == ["Ada"]


async def test_a_store_that_another_replica_has_open_stays_open(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "a.db")
    async with Replica.open(store, models=[Contact]) as replica:
        with pytest.raises(StoreBusy):
            await Replica.open(store, models=[Contact]).__aenter__()
        replica.collection(Contact).create(name="Ada")
        await replica.flushed()
    assert_nothing_left(tmp_path)
    assert await names(tmp_path / "a.db") == ["Ada"]
