"""SqlStore when the disk is full or fails, and when processes die or meet."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from syncline.engine.errors import StoreBusy, StoreFailed
from syncline.stores import SqlStore
from tests.stores.numbered import assert_holds, numbered


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = SqlStore(tmp_path / "app.db")
    store.open()
    yield store
    store.close()


@pytest.fixture
def connections() -> Iterator[list[sqlite3.Connection]]:
    """The driver's connections of stores opened from now on, to tell SQLite of a small disk."""
    made: list[sqlite3.Connection] = []

    def keep(connection: sqlite3.Connection, _record: object) -> None:
        made.append(connection)

    event.listen(Pool, "connect", keep)
    yield made
    event.remove(Pool, "connect", keep)


# The disk


def _write_until_refused(store: SqlStore, first: int) -> tuple[int, StoreFailed]:
    """Store the numbered writes from ``first`` on; return the last stored, and what ended it."""
    for n in range(first, 1000):
        try:
            store.write([numbered(n)])
        except StoreFailed as error:
            return n - 1, error
    raise AssertionError("the disk refused nothing")


def test_a_full_disk_refuses_writes_and_keeps_reads(
    connections: list[sqlite3.Connection], store: SqlStore
) -> None:
    writer = connections[-1]
    writer.execute("PRAGMA max_page_count=100").close()
    stored, error = _write_until_refused(store, 1)
    assert "The disk is full: nothing was written to the store" in error.message
    assert str(store.path) in error.message
    assert error.retry_after == 5.0
    assert stored > 1
    for _ in range(3):
        assert_holds(store, stored)
        with pytest.raises(StoreFailed, match="The disk is full"):
            store.write([numbered(stored + 1, size=50_000)])
    writer.execute("PRAGMA max_page_count=1000000").close()
    _goes_on(store, stored)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on files to set")
def test_a_failing_disk_refuses_writes_and_keeps_reads(store: SqlStore) -> None:
    import resource  # not there on Windows

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert store.path is not None
    log = store.path.with_name(store.path.name + "-wal")
    store.write([numbered(1)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 100_000, limits[1]))
    try:
        stored, error = _write_until_refused(store, 2)
        assert f"The store {store.path} failed: disk I/O error." == error.message
        assert error.retry_after == 5.0
        assert stored > 1
        assert_holds(store, stored)
        with pytest.raises(StoreFailed, match="disk I/O error"):
            store.write([numbered(stored + 1, size=50_000)])
        assert_holds(store, stored)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    _goes_on(store, stored)


def _goes_on(store: SqlStore, stored: int) -> None:
    """After the disk has recovered, everything stored is there and writing goes on."""
    assert_holds(store, stored)
    for n in range(stored + 1, stored + 20):
        store.write([numbered(n)])
    assert_holds(store, stored + 19)
    store.close()
    store.open()
    assert_holds(store, stored + 19)


# Processes

_HOLD = """
import sys
from syncline.stores import SqlStore
store = SqlStore(sys.argv[1])
store.open()
print("open", flush=True)
sys.stdin.read()
store.close()
"""

_WRITE = """
import sys
from tests.stores.numbered import numbered
from syncline.stores import SqlStore
store = SqlStore(sys.argv[1])
store.open()
n = store.last_batch("w", "r")
while True:
    store.write([numbered(n + 1), numbered(n + 2), numbered(n + 3)])
    n += 3
    print(n, flush=True)
"""


def _start(code: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_store_open_in_another_process(tmp_path: Path, end: str) -> None:
    path = tmp_path / "app.db"
    with _start(_HOLD, path) as process:
        assert _line(process) == "open"
        with pytest.raises(StoreBusy) as caught:
            SqlStore(path).open()
        assert f"is already open in process {process.pid}." in caught.value.message
        looking = SqlStore(path, exclusive=False)
        looking.open()
        with closing(looking):
            assert looking.workspaces() == []
        if end == "kill":
            process.kill()
        else:
            process.communicate()
        process.wait()
        store = SqlStore(path)
        store.open()
        store.close()


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    acknowledged = 0
    for rounds in (1, 7, 60):
        with _start(_WRITE, path) as process:
            for _ in range(rounds):
                acknowledged = int(_line(process))
            process.kill()
            assert process.stdout is not None
            for line in process.stdout:  # what it said before it died
                if line.endswith("\n"):
                    acknowledged = int(line)
        store = SqlStore(path)
        store.open()
        with closing(store):
            held = store.last_batch("w", "r")
            # One transaction may have been committed without the process living to say so.
            assert held in (acknowledged, acknowledged + 3)
            assert_holds(store, held)
