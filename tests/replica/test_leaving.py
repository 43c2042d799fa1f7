"""Programs that end without closing or flushing: what they wrote is on disk."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

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
