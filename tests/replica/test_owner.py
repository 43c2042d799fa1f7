"""A replica belongs to one thread, and takes no change that could not be stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from syncline import Replica
from syncline.engine.errors import ReplicaClosed, StoreError, WrongThread
from syncline.replica.local.record_index import RecordIndex
from tests.replica.models import Contact


def doors(replica: Replica) -> dict[str, Callable[[], object]]:
    """Every way to reach into a replica, with what was got before."""
    contacts = replica.collection(Contact)
    ada = contacts.create(key="ada", name="Ada", notes="n", tags=["t"], numbers=["1"])
    page = replica.document("pages/p")
    query = contacts.where(Contact.name == "Ada")

    def transact() -> None:
        with replica.transaction():
            raise AssertionError("the block is not to run")

    def count() -> None:
        ada.visits += 1

    return {
        "read a field": lambda: ada.name,
        "write a field": lambda: setattr(ada, "name", "Eve"),
        "read a text": lambda: str(ada.notes),
        "write a text": lambda: ada.notes.append("x"),
        "count": count,
        "add to a set": lambda: ada.tags.add("x"),
        "append to a list": lambda: ada.numbers.append("x"),
        "set in a map": lambda: ada.extra.__setitem__("x", 1),
        "a record as a dict": ada.to_dict,
        "conflicts": ada.conflicts,
        "create": lambda: contacts.create(name="x"),
        "delete": lambda: contacts.delete("ada"),
        "delete what is not there": lambda: contacts.delete("nobody"),
        "get": lambda: contacts.get("ada"),
        "contains": lambda: "ada" in contacts,
        "length": lambda: len(contacts),
        "iterate": lambda: list(contacts),
        "changes": contacts.changes,
        "query": query.all,
        "count a query": query.count,
        "changes of a query": query.changes,
        "read a page": lambda: str(page.text("body")),
        "write a page": lambda: page.text("body").append("x"),
        "write an array": lambda: page.array("list").append(1),
        "transaction": transact,
        "collection": lambda: replica.collection(Contact),
        "document": lambda: replica.document("pages/p"),
        "seed": lambda: replica.seed("pages/s", lambda page: page.text("t").append("x")),
        "everything": replica.to_dict,
        "pending": lambda: replica.pending,
        "status": lambda: replica.status,
        "flushed": lambda: asyncio.run(replica.flushed()),
        "synced": lambda: asyncio.run(replica.synced()),
        "connect": lambda: asyncio.run(replica.connect("ws://127.0.0.1:1/w")),
        "disconnect": lambda: asyncio.run(replica.disconnect()),
    }


async def test_every_call_from_another_thread_is_refused(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        calls = doors(replica)
        before = replica.to_dict()
        wrong: dict[str, object] = {}
        with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
            for name, call in calls.items():
                error = await asyncio.wrap_future(pool.submit(_raised, call))
                if not isinstance(error, WrongThread):
                    wrong[name] = error
        assert wrong == {}
        assert replica.to_dict() == before
        await replica.flushed()
        assert replica.pending == 1


def _raised(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    return None


async def test_the_refusal_names_both_threads_and_the_way(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        ada = replica.collection(Contact).create(name="Ada")
        with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
            error = await asyncio.wrap_future(pool.submit(_raised, lambda: ada.name))
        assert isinstance(error, WrongThread)
        assert isinstance(error, RuntimeError)
        assert threading.current_thread().name in error.message
        assert "'worker_0'" in error.message
        assert "run_coroutine_threadsafe" in error.hint


async def test_every_call_after_the_closing_is_refused(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        calls = doors(replica)
    del calls["disconnect"]  # of no effect, as before
    calls = {name: call for name, call in calls.items() if "asyncio" not in call.__code__.co_names}  # pyright: ignore[reportFunctionMemberAccess]
    wrong = {
        name: error
        for name, call in calls.items()
        if not isinstance(error := _raised(call), ReplicaClosed)
    }
    assert wrong == {}


async def test_the_way_that_the_hint_names(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Contact]) as replica:
        loop = asyncio.get_running_loop()

        async def add(name: str) -> str:
            return replica.collection(Contact).create(name=name).name

        def work() -> list[str]:
            return [
                asyncio.run_coroutine_threadsafe(add(str(number)), loop).result()
                for number in range(20)
            ]

        assert await asyncio.to_thread(work) == [str(number) for number in range(20)]
        assert len(replica.collection(Contact)) == 20


def test_a_plain_program_between_two_runs_of_its_loop(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        replica = Replica.open(tmp_path / "a.db", models=[Contact])
        runner.run(replica.__aenter__())
        ada = replica.collection(Contact).create(key="ada", name="Ada")
        ada.visits += 1
        runner.run(replica.flushed())
        assert int(ada.visits) == 1
        runner.run(replica.__aexit__(None, None, None))


@pytest.mark.parametrize("by", ["the loop", "a query"])
async def test_nothing_is_taken_once_a_defect_has_ended_the_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    replica = Replica.open(tmp_path / "a.db", models=[Contact])
    await replica.__aenter__()
    contacts = replica.collection(Contact)
    ada = contacts.create(key="ada", name="Ada")
    await replica.flushed()

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(RecordIndex, "describe", fail)
        ada.name = "lost"
        if by == "the loop":
            with pytest.raises(StoreError, match="A defect ended the writing of changes"):
                await replica.flushed()
        else:
            with pytest.raises(ZeroDivisionError):
                contacts.where(Contact.name == "Ada").all()
    for write in (
        lambda: setattr(ada, "name", "later"),
        lambda: contacts.create(name="x"),
        lambda: replica.document("pages/p").text("t").append("x"),
        lambda: replica.seed("pages/p", lambda page: page.text("t").append("x")),
        contacts.where(Contact.name == "Ada").all,
    ):
        with pytest.raises(StoreError, match="A defect ended the writing of changes"):
            write()
    with pytest.raises(StoreError, match="A defect ended the writing of changes"):
        await replica.flushed()
    assert "A defect" in str(replica.status.error)
    assert ada.name == "lost", "it can still be read"
    with pytest.raises((StoreError, ZeroDivisionError)):
        await replica.__aexit__(None, None, None)
