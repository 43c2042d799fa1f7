"""SqlStore: what is true of a SQLite file beyond the contract."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from syncline.engine.errors import InvalidUrl, StoreBusy, StoreError
from syncline.engine.names import Address
from syncline.stores import DocumentWrite, Receipt, SqlStore, Write
from syncline.stores.databases import database as databases
from syncline.stores.databases import sqlite
from syncline.stores.sql import write as sql_write

A = Address("pages", "a")


def write_of(data: bytes, address: Address = A) -> Write:
    return Write("w", (DocumentWrite(address, (data,), b""),))


@contextmanager
def opened(path: str | Path, *, exclusive: bool = True) -> Generator[SqlStore]:
    store = SqlStore(path, exclusive=exclusive)
    store.open()
    with closing(store):
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


# Where it is


@pytest.mark.parametrize(
    "given",
    ["app.db", "./app.db", "sqlite:///app.db", "sqlite+pysqlite:///app.db", "sqlite:///{}/app.db"],
)
def test_paths_and_urls_name_the_file(
    given: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with opened(given.format(path.parent)) as store:
        store.write([write_of(b"1")])
        assert store.path == path
        monkeypatch.chdir("/")
        assert store.head("w") == 1
    assert path.exists()


def test_a_file_name_may_hold_what_a_uri_may_not(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory&b#c%20d ä.db"
    with opened(path) as store:
        store.write([write_of(b"1")])
    assert path.stat().st_size > 0
    with opened(path, exclusive=False) as store:
        assert store.head("w") == 1


@pytest.mark.parametrize(
    ("given", "sentence", "hint"),
    [
        (":memory:", "':memory:' names no file.", "MemoryStore()"),
        ("sqlite://", "'sqlite://' names no file.", "MemoryStore()"),
        ("sqlite:///:memory:", "'sqlite:///:memory:' names no file.", "MemoryStore()"),
        ("", "'' names no file.", "MemoryStore()"),
        ("sqlite+aiosqlite:///app.db", "a driver that is not blocking", "sqlite:///"),
        ("oracle://me:secret@host/db", "no store for oracle", "postgresql://user@host/database"),
        ("sqlite:///app.db?mode=ro", "has more than a path", "without parameters"),
        ("sqlite:///file:app.db?uri=true", "has more than a path", "without parameters"),
        ("sqlite://host/app.db", "has more than a path", "four slashes"),
        ("post gres://me:secret@host", "cannot be read", "sqlite:///"),
    ],
)
def test_other_urls_are_refused(given: str, sentence: str, hint: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        SqlStore(given)
    assert sentence in caught.value.message
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "no" / "app.db")
    with pytest.raises(StoreError, match=r"The folder .*/no for the store app.db does not exist"):
        store.open()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a file"):
        SqlStore(tmp_path).open()


# One writer


def test_a_second_open_in_this_process_is_refused(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with opened(path) as store:
        for other in (SqlStore(path), SqlStore(link), store):
            with pytest.raises(StoreBusy) as caught:
                other.open()
            assert f"already open in this process ({os.getpid()})" in caught.value.message
            assert "exclusive=False" in caught.value.hint
        store.write([write_of(b"1")])  # the store that was opened twice still works
    with opened(link) as store:
        assert store.head("w") == 1


def test_a_failed_open_leaves_no_lock(path: Path) -> None:
    path.write_bytes(b"no database")
    store = SqlStore(path)
    with pytest.raises(StoreError):
        store.open()
    path.unlink()
    with opened(path):
        pass
    store.open()
    store.close()


def test_a_store_closed_in_another_thread_is_free(path: Path) -> None:
    store = SqlStore(path)
    store.open()
    thread = threading.Thread(target=store.close)
    thread.start()
    thread.join()
    with opened(path):
        pass


def test_another_program_that_locks_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match=r"Another program keeps the store .* locked") as caught:
            store.write([write_of(b"1")])
        assert caught.value.retry_after == 1.0
        other.execute("ROLLBACK")
        assert store.write([write_of(b"1")]) == [1]


# Looking only


def test_looking_while_another_writes(path: Path) -> None:
    with opened(path) as store, opened(path, exclusive=False) as looking:
        for n in range(3):
            store.write([write_of(b"%d" % n)])
            assert looking.head("w") == n + 1
        with pytest.raises(StoreError, match="was opened for looking only"):
            looking.write([write_of(b"x")])
        looking.open()  # already is
        assert looking.head("w") == store.head("w") == 3


def test_looking_takes_no_lock_and_changes_nothing(path: Path) -> None:
    with opened(path) as store:
        store.write([write_of(b"1")])
    path.with_name("app.db.lock").unlink()
    before = path.read_bytes()
    with opened(path, exclusive=False) as looking, opened(path, exclusive=False):
        assert looking.workspaces() == ["w"]
        assert not path.with_name("app.db.lock").exists()
        with opened(path) as store:
            assert store.head("w") == 1
    assert path.read_bytes() == before


def test_looking_leaves_the_log_of_a_crashed_store_alone(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with opened(path) as store:
        store.write([write_of(b"1")])
        for name in ("app.db", "app.db-wal"):
            shutil.copy(tmp_path / name, crashed)
    before = {name: (crashed / name).read_bytes() for name in ("app.db", "app.db-wal")}
    with opened(crashed / "app.db", exclusive=False) as looking:
        assert looking.head("w") == 1
    assert {name: (crashed / name).read_bytes() for name in before} == before
    with opened(crashed / "app.db") as store:
        assert store.write([write_of(b"2")]) == [2]


def test_closing_leaves_one_file_and_its_lock(path: Path) -> None:
    with opened(path) as store:
        store.write([write_of(b"1")])
        store.load("w", A)
        assert path.with_name("app.db-wal").exists()
    assert sorted(os.listdir(path.parent)) == ["app.db", "app.db.lock"]


@pytest.mark.parametrize("content", [None, b""])
def test_looking_needs_a_store(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"There is no store at|is empty") as caught:
        SqlStore(path, exclusive=False).open()
    assert "created when it is opened for writing" in caught.value.hint
    assert path.exists() == (content is not None)
    assert os.listdir(path.parent) == ([] if content is None else ["app.db"])


def test_more_readers_than_connections_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "READERS", 1)
    monkeypatch.setattr(databases, "READER_SECONDS", 0.01)
    with opened(path) as store:
        inside, leave = threading.Event(), threading.Event()
        taken: list[Any] = []

        def hold(_connection: object, _record: object, proxy: object) -> None:
            taken.append(proxy)
            inside.set()
            leave.wait()

        event.listen(Pool, "checkout", hold)
        thread = threading.Thread(target=store.head, args=("w",))
        try:
            thread.start()
            inside.wait()
            with pytest.raises(StoreBusy, match="threads read the store") as caught:
                store.head("w")
            assert caught.value.retry_after == 1.0
        finally:
            leave.set()
            thread.join()
            event.remove(Pool, "checkout", hold)
        assert store.head("w") == 0


# What it promises


def test_commits_are_flushed_to_the_disk(path: Path) -> None:
    connections: list[sqlite3.Connection] = []

    def keep(connection: sqlite3.Connection, _record: object) -> None:
        connections.append(connection)

    event.listen(Pool, "connect", keep)
    try:
        with opened(path):
            writer = connections[-1]
            assert writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
            assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert writer.execute("PRAGMA foreign_keys").fetchone() == (1,)
    finally:
        event.remove(Pool, "connect", keep)


def test_a_copied_file_has_another_fingerprint(path: Path) -> None:
    with opened(path) as store:
        store.write([write_of(b"1")])
        fingerprint = store.fingerprint()
    beside, moved = path.with_name("copy.db"), path.with_name("moved.db")
    shutil.copy(path, beside)
    with opened(path) as store, opened(beside) as copy:
        assert store.fingerprint() == fingerprint != copy.fingerprint()
        assert copy.head("w") == 1
    path.rename(moved)
    with opened(moved) as store:
        assert store.fingerprint() != fingerprint
    shutil.copy(moved, path)  # a backup put back in its place
    with opened(path) as restored:
        assert restored.fingerprint() != fingerprint


def test_row_ids_of_a_file_that_was_replaced_are_forgotten(path: Path) -> None:
    def two(store: SqlStore, *keys: str) -> None:
        store.write([write_of(key.encode(), Address("pages", key)) for key in keys])

    other = path.with_name("other.db")
    with opened(other) as store:
        two(store, "b", "a")
    store = SqlStore(path)
    store.open()
    two(store, "a", "b")
    store.close()
    other.replace(path)
    store.open()
    with closing(store):
        two(store, "a", "b")
        for key in "ab":
            document = store.load("w", Address("pages", key))
            assert document is not None
            assert document.updates == (key.encode(),) * 2


def test_a_file_that_vanished_has_no_fingerprint(path: Path) -> None:
    with opened(path) as store:
        path.unlink()
        with pytest.raises(StoreError, match="is gone"):
            store.fingerprint()


def test_forgotten_row_ids_are_looked_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_write, "DOCUMENT_IDS_KEPT", 5)
    monkeypatch.setattr(sql_write, "WORKSPACE_IDS_KEPT", 2)
    with opened(path) as store:
        for turn in range(3):
            store.write(
                [
                    Write(f"w{n % 7}", (DocumentWrite(Address("c", str(n)), (b"%d" % turn,), b""),))
                    for n in range(300)
                ]
            )
        for n in range(300):
            document = store.load(f"w{n % 7}", Address("c", str(n)))
            assert document is not None
            assert document.updates == (b"0", b"1", b"2")


@pytest.mark.parametrize(
    "write",
    [
        Write("w", meta={"key": "\ud800"}),
        Write("w", receipt=Receipt("r", 2**63, b"")),
        Write("w", receipt=Receipt("r", 1, cast("bytes", object()))),
    ],
    ids=["lone surrogate", "huge number", "object"],
)
def test_a_value_that_sqlite_cannot_hold(path: Path, write: Write) -> None:
    with opened(path) as store:
        with pytest.raises(StoreError, match="cannot hold a value"):
            store.write([write_of(b"1"), write])
        assert store.head("w") == 0
        assert store.write([write_of(b"1")]) == [1]
