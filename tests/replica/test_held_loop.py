"""A program that writes and never lets the event loop turn: it is on the disk in between."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from syncline import Replica
from syncline.engine.errors import StoreFailed
from syncline.replica.local import loop_turns
from syncline.stores import MemoryStore, Write
from tests.replica.models import Contact


def stored(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM contacts ORDER BY name")]


async def test_a_write_saves_what_has_waited_for_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_turns, "HELD_SECONDS", 0)
    path = tmp_path / "a.db"
    async with Replica.open(path, models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        for name in ("Ada", "Bob", "Eve"):
            contacts.create(name=name)
        assert stored(path) == ["Ada", "Bob"]  # and Eve with the next one


async def test_within_a_second_the_loop_is_left_to_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "a.db", 0.0
    async with Replica.open(path, models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        contacts.create(name="Ada")
        now = 0.99
        contacts.create(name="Bob")
        assert stored(path) == []
        now = 1.0
        contacts.create(name="Eve")
        assert stored(path) == ["Ada", "Bob"]
        now = 1.99
        contacts.create(name="Joe")
        assert stored(path) == ["Ada", "Bob"]
        now = 2.0
        contacts.create(name="Kim")
        assert stored(path) == ["Ada", "Bob", "Eve", "Joe"]
        await replica.flushed()
        now = 9.0
        contacts.create(name="Lou")  # the loop has turned since
        contacts.create(name="Max")
        assert len(stored(path)) == 5


async def test_a_full_disk_does_not_fail_the_line_that_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_turns, "HELD_SECONDS", 0)
    store = _Full()
    async with Replica.open(store, models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        store.full = True
        contacts.create(name="Ada")
        contacts.create(name="Bob")
        assert replica.status.error_code == StoreFailed.code
        store.full = False
        contacts.create(name="Eve")
        await replica.flushed()
        assert len(list(store.documents("local"))) == 3


class _Full(MemoryStore):
    full = False

    def write(self, writes: Sequence[Write]) -> list[int]:
        if self.full:
            raise StoreFailed("The disk is full.", hint="Free some space.")
        return super().write(writes)
