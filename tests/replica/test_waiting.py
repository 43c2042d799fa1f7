"""Who waits for what cannot come any more is told why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from syncline import Relay, Replica
from syncline.engine.errors import (
    Disconnected,
    NotAuthenticated,
    RelayUnreachable,
    ReplicaClosed,
    StoreError,
    SynclineError,
    UsageError,
)
from syncline.replica.local.record_index import RecordIndex
from tests.access.tokens import token_file
from tests.profiles import few_quickly
from tests.replica.models import Contact, link_of

PATIENCE = 60.0
NOWHERE = "ws://127.0.0.1:9/crm"

WAITS: dict[str, Callable[[Replica], Coroutine[Any, Any, Any]]] = {
    "synced": lambda replica: replica.synced(),
    "changes": lambda replica: anext_of(replica.collection(Contact).changes()),
    "query changes": lambda replica: anext_of(
        replica.collection(Contact).where(Contact.name == "x").changes()
    ),
}


ALL_WAITS: dict[str, Callable[[Replica], Coroutine[Any, Any, Any]]] = {
    **WAITS,
    "flushed": lambda replica: replica.flushed(),
    "connect": lambda replica: replica.connect(NOWHERE),
}


async def anext_of(stream: Any) -> Any:
    return await anext(stream)


def opened(folder: Path, relay: str | None = NOWHERE, **options: Any) -> Replica:
    return Replica.open(folder / "a.db", models=[Contact], relay=relay, **options)


async def waiting(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that has come to where it waits."""
    task = asyncio.create_task(work)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def outcome(task: asyncio.Task[Any]) -> BaseException | None:
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    assert done, "it waits for ever"
    return task.exception()


async def hold_back(replica: Replica) -> None:
    replica.collection(Contact).create(name="y")
    await replica.flushed()


@pytest.mark.parametrize("what", WAITS)
async def test_closing_ends_every_wait(tmp_path: Path, what: str) -> None:
    async with opened(tmp_path) as replica:
        await hold_back(replica)
        task = await waiting(WAITS[what](replica))
    error = await outcome(task)
    assert isinstance(error, ReplicaClosed if what == "synced" else StopAsyncIteration)


async def test_disconnecting_ends_the_wait_for_the_sync_and_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as replica:
        await hold_back(replica)
        tasks = {what: await waiting(wait(replica)) for what, wait in WAITS.items()}
        await replica.disconnect()
        error = await outcome(tasks.pop("synced"))
        assert isinstance(error, Disconnected)
        assert "Await replica.connect(url)" in error.hint
        assert not any(task.done() for task in tasks.values())
        with pytest.raises(UsageError, match="no relay to sync with"):
            await replica.synced()
        for task in tasks.values():
            task.cancel()


async def test_being_offline_ends_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as replica:
        await hold_back(replica)
        task = await waiting(replica.synced())
        async with asyncio.timeout(PATIENCE):
            while link_of(replica) != "waiting":  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert not task.done()
        task.cancel()


async def test_connecting_elsewhere_goes_on_with_the_wait(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay, opened(tmp_path) as replica:
        await hold_back(replica)
        task = await waiting(replica.synced())
        await replica.connect(f"{relay.url}/crm")
        assert await outcome(task) is None
        assert replica.pending == 0


async def test_a_connect_that_fails_ends_the_wait(tmp_path: Path) -> None:
    async with opened(tmp_path) as replica:
        await hold_back(replica)
        task = await waiting(replica.synced())
        with pytest.raises(RelayUnreachable):
            await replica.connect(NOWHERE)
        error = await outcome(task)
        assert isinstance(error, Disconnected)
        assert f"connect() to {NOWHERE} failed" in error.message
        assert link_of(replica) == "offline"


class Stalled:
    """An Environment's ``connect`` that never comes to an end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, _url: str) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("how", ["disconnect", "close", "another connect"])
async def test_a_connect_under_way_ends(tmp_path: Path, how: str) -> None:
    from syncline.environment import Environment

    stalled = Stalled()
    async with opened(tmp_path, None, environment=Environment(connect=stalled)) as replica:
        task = await waiting(replica.connect(NOWHERE))
        await stalled.asked.wait()
        other: asyncio.Task[Any] | None = None
        if how == "disconnect":
            await replica.disconnect()
        elif how == "another connect":
            other = await waiting(replica.connect(NOWHERE))
    expected = ReplicaClosed if how == "close" else Disconnected
    assert isinstance(await outcome(task), expected)
    if other is not None:
        assert isinstance(await outcome(other), ReplicaClosed)


@pytest.mark.slow
async def test_connects_at_once_leave_one_connection(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay, opened(tmp_path, None) as replica:
        before = len(asyncio.all_tasks())
        urls = [f"{relay.url}/crm"] * 5
        results = await asyncio.gather(*map(replica.connect, urls), return_exceptions=True)
        assert results[-1] is None
        assert all(each is None or isinstance(each, Disconnected) for each in results)
        async with asyncio.timeout(PATIENCE):
            await replica.synced()
            await replica.disconnect()
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_a_refusal_for_good_ends_the_wait(tmp_path: Path) -> None:
    from syncline import TokenFile

    tokens = TokenFile(token_file(tmp_path))
    async with (
        Relay(tmp_path / "relay.db", port=0, authenticator=tokens) as relay,
        opened(tmp_path, f"{relay.url}/crm", token="unknown") as replica,
    ):
        assert isinstance(await outcome(await waiting(replica.synced())), NotAuthenticated)


@pytest.mark.parametrize("what", WAITS)
async def test_the_end_of_the_writing_ends_every_wait(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a defect")

    replica = opened(tmp_path)
    await replica.__aenter__()
    await hold_back(replica)
    task = await waiting(WAITS[what](replica))
    with monkeypatch.context() as patched:
        patched.setattr(RecordIndex, "describe", fail)
        replica.document("pages/other").text("body").append("lost")
        error = await outcome(task)
        assert isinstance(error, StoreError)
        assert "A defect ended the writing of changes" in error.message
    with pytest.raises(StoreError):  # and who begins to wait now
        async with asyncio.timeout(PATIENCE):
            await WAITS[what](replica)
    with pytest.raises(ZeroDivisionError):
        await replica.__aexit__(None, None, None)


@pytest.mark.parametrize("what", few_quickly(ALL_WAITS, 1))
def test_a_second_event_loop_is_told_that_the_first_one_has_ended(
    tmp_path: Path, what: str
) -> None:
    replica = opened(tmp_path)

    async def begin() -> None:
        await replica.__aenter__()
        await hold_back(replica)

    async def wait_on() -> None:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ReplicaClosed, match=r"event loop") as caught:
                await ALL_WAITS[what](replica)
        assert "one asyncio.run(…)" in caught.value.hint
        with pytest.raises(SynclineError, match="event loop"):
            replica.collection(Contact).create(name="it would never be stored")

    asyncio.run(begin())
    asyncio.run(wait_on())
    asyncio.run(replica.__aexit__(None, None, None))
    asyncio.run(read_again(tmp_path))


async def read_again(folder: Path) -> None:
    async with opened(folder, None) as replica:
        assert len(replica.collection(Contact)) == 1


@pytest.mark.slow
async def test_what_is_written_while_a_replica_closes_is_stored_or_refused(tmp_path: Path) -> None:
    """Between the journal's end and the last of the closing nothing is taken and then lost."""
    taken = 0
    replica = opened(tmp_path, None)
    await replica.__aenter__()
    closing = asyncio.create_task(replica.__aexit__(None, None, None))
    while not closing.done():
        try:
            replica.collection(Contact).create(name=str(taken))
        except ReplicaClosed:
            break
        taken += 1
        await asyncio.sleep(0)
    await closing
    async with opened(tmp_path, None) as replica:
        assert len(replica.collection(Contact)) == taken
