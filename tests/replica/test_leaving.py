"""Programs that end, or hold up the event loop, without closing or flushing: what they wrote is on
disk."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from syncline import Replica
from syncline.engine.errors import StoreError
from syncline.environment import Environment
from syncline.stores import MemoryStore, Write

from .models import Contact

PROGRAM = """
import asyncio, os, sys
from syncline import Record, Replica

class Contact(Record, collection="contacts"):
    name: str

def start():
    return Replica.open(sys.argv[1], models=[Contact]).__aenter__()

"""
ENDINGS = {
    "the loop ends": """
async def main():
    replica = await start()
    replica.collection(Contact).create(key="x", name="Ada")
asyncio.run(main())
""",
    "an exception ends it": """
async def main():
    replica = await start()
    replica.collection(Contact).create(key="x", name="Ada")
    raise SystemExit(0)
asyncio.run(main())
""",
    "nobody ends the loop": """
loop = asyncio.new_event_loop()
replica = loop.run_until_complete(start())
replica.collection(Contact).create(key="x", name="Ada")
""",
    "a child process ends first": """
loop = asyncio.new_event_loop()
replica = loop.run_until_complete(start())
replica.collection(Contact).create(key="x", name="Ada")
import sqlite3
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    rows = sqlite3.connect(sys.argv[1]).execute("SELECT * FROM contacts").fetchall()
    assert rows == [], rows  # it is this process that has it to write
else:
    sys.exit(0)
""",
}


def run(path: Path, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM + program, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM contacts ORDER BY name")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_that_does_not_close(tmp_path: Path, ending: str) -> None:
    run(tmp_path / "a.db", ENDINGS[ending])
    assert names(tmp_path / "a.db") == ["Ada"]


@pytest.mark.slow
def test_what_cannot_be_saved_any_more_is_told(tmp_path: Path) -> None:
    said = run(
        tmp_path / "a.db",
        """
import threading
def serve():
    loop = asyncio.new_event_loop()
    replica = loop.run_until_complete(start())
    replica.collection(Contact).create(key="x", name="Ada")
    there.set()
    threading.Event().wait()
there = threading.Event()
threading.Thread(target=serve, daemon=True, name="beside").start()
there.wait()
""",
    )
    assert (
        "changes are lost: the replica was not closed, and its thread 'beside' still runs" in said
    )


async def test_a_program_that_never_awaits(tmp_path: Path) -> None:
    """Each change saves the one before it that has waited for a second."""
    now = 1_764_345_600_000
    path = tmp_path / "a.db"
    async with Replica.open(
        path, models=[Contact], environment=Environment(now=lambda: now)
    ) as replica:
        contacts = replica.collection(Contact)
        for number in range(5):
            contacts.create(name=str(number))
            assert names(path) == [str(earlier) for earlier in range(number - number % 2)]
            now += 500


class Full(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.full = False

    def write(self, writes: Sequence[Write]) -> list[int]:
        if self.full:
            raise StoreError("The disk is full.", hint="Free some space.")
        return super().write(writes)


def error_of(replica: Replica) -> str | None:
    return replica.status.error


async def test_one_that_never_awaits_and_a_disk_that_is_full() -> None:
    """It goes on, as while the loop writes: nothing is lost, and the status tells."""
    now = 1_764_345_600_000
    store = Full()
    async with Replica.open(
        store, models=[Contact], environment=Environment(now=lambda: now)
    ) as replica:
        contacts = replica.collection(Contact)
        store.full = True
        for number in range(3):
            contacts.create(name=str(number))
            now += 1000
        assert error_of(replica) == "The disk is full. Hint: Free some space."
        store.full = False
        contacts.create(name="3")
        await replica.flushed()
        assert (error_of(replica), len(contacts)) == (None, 4)


@pytest.mark.slow
def test_a_replica_outlives_no_event_loop(tmp_path: Path) -> None:
    run(
        tmp_path / "a.db",
        """
from syncline.engine.errors import ReplicaClosed

async def first():
    replica = await start()
    replica.collection(Contact).create(name="Ada")
    return replica

async def second():
    try:
        replica.collection(Contact).create(name="Bob")
    except ReplicaClosed as error:
        assert "the event loop that it was opened in has ended" in str(error), error
    try:
        await replica.flushed()
    except ReplicaClosed as error:
        assert "opened in another event loop" in str(error), error
    assert [each.name for each in replica.collection(Contact)] == ["Ada"]

replica = asyncio.run(first())
asyncio.run(second())
""",
    )
    assert names(tmp_path / "a.db") == ["Ada"]
