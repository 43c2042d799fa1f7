"""SqlStore in front of files that are no store, damaged, too new, or out of reach."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncline.engine.errors import StoreDamaged, StoreError, StoreVersion
from syncline.engine.names import Address
from syncline.stores import DocumentWrite, Receipt, SqlStore, Write
from syncline.stores.databases import sqlite

DOCUMENTS = 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store of some hundred pages."""
    path = tmp_path / "app.db"
    store = SqlStore(path)
    store.open()
    with closing(store):
        for half in range(2):
            store.write(
                [
                    Write(
                        "w",
                        (DocumentWrite(_address(n), (b"%06d" % n * 50,), b"%d" % n, live=True),),
                        receipt=Receipt("r", half * DOCUMENTS + n + 1, b"digest"),
                        meta={"last": str(n)},
                    )
                    for n in range(DOCUMENTS)
                ]
            )
    return path


def _address(n: int) -> Address:
    return Address("pages", f"{n:06}")


def _read_all(store: SqlStore) -> list[object]:
    """Everything in the store; whatever is read is read in full."""
    return [
        store.workspaces(),
        store.meta("w"),
        list(store.documents("w")),
        [store.load("w", _address(n)) for n in range(0, DOCUMENTS, 10)],
        store.since("w", 0, max_bytes=2**40, max_updates=2**40),
        [store.receipt("w", "r", n) for n in range(0, DOCUMENTS, 10)],
        store.refused("w"),
        store.outbox("w", limit=9),
    ]


def _contents(path: Path) -> list[object]:
    store = SqlStore(path)
    store.open()
    with closing(store):
        return _read_all(store)


def _execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def _assert_refused(path: Path, kind: type[StoreError], message: str, hint: str) -> None:
    before = path.read_bytes()
    for exclusive in (True, False):
        store = SqlStore(path, exclusive=exclusive)
        with pytest.raises(kind) as caught:
            store.open()
        assert message in caught.value.message
        assert str(path) in caught.value.message
        assert hint in caught.value.hint
        assert type(caught.value) is kind
    assert path.read_bytes() == before


# Damage


@pytest.mark.parametrize("size", [1, 15, 16, 100, 4096, 50_000])
def test_garbage_is_no_store(path: Path, size: int) -> None:
    path.write_bytes(random.Random(size).randbytes(size))
    _assert_refused(path, StoreDamaged, "it does not begin as a SQLite database", "backup")


@pytest.mark.parametrize("kept", [16, 99, 100, 4096, 4097, 0.5, 0.99])
def test_a_file_cut_off_is_damaged(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    _assert_refused(path, StoreDamaged, "is damaged", "the relay sends again everything")


def test_an_emptied_file_beside_its_log_is_damaged(path: Path) -> None:
    path.write_bytes(b"")
    path.with_name("app.db-wal").write_bytes(b"the log of a database that is gone")
    _assert_refused(path, StoreDamaged, "it does not begin as a SQLite database", "backup")


def test_a_file_that_was_only_created_is_a_new_store(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    path.touch()
    store = SqlStore(path)
    store.open()
    assert store.workspaces() == []
    store.close()


def test_a_store_whose_creation_was_cut_short_is_created_again(tmp_path: Path) -> None:
    half, path = tmp_path / "half.db", tmp_path / "app.db"
    with closing(sqlite3.connect(half, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")  # so that pages get to the file before the commit
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE meta (key TEXT)")
        connection.executemany("INSERT INTO meta VALUES (?)", [("k" * 100,)] * 1000)
        journal = half.with_name("half.db-journal").read_bytes()
        written = half.read_bytes()
    assert len(written) > 4096
    path.write_bytes(bytes(4096) + written[4096:])
    path.with_name("app.db-journal").write_bytes(journal)
    store = SqlStore(path)
    store.open()
    with closing(store):
        assert store.workspaces() == []


@pytest.mark.long
@pytest.mark.parametrize("checked_bytes", [sqlite.CHECKED_BYTES, 0], ids=["small", "large"])
def test_no_flipped_byte_does_more_than_harm_what_it_hits(
    path: Path, checked_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the damage is, it surfaces as StoreDamaged or changes data, and nothing else."""
    monkeypatch.setattr(sqlite, "CHECKED_BYTES", checked_bytes)
    content = path.read_bytes()
    sound = _contents(path)
    rng = random.Random(7)
    offsets = [*range(100), *(rng.randrange(100, len(content)) for _ in range(60))]
    outcomes = {"refused": 0, "sound": 0, "changed": 0}
    for offset in offsets:
        damaged = bytearray(content)
        damaged[offset] ^= rng.randrange(1, 256)
        for name in ("app.db-wal", "app.db-shm"):
            path.with_name(name).unlink(missing_ok=True)
        path.write_bytes(damaged)
        try:
            outcomes["sound" if _contents(path) == sound else "changed"] += 1
        except StoreError as error:
            assert "damaged" in str(error) or "layout" in str(error), (offset, error)  # noqa: PT017
            outcomes["refused"] += 1
    assert outcomes["refused"] > 20, outcomes


def test_a_damaged_page_of_a_large_file_is_met_where_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKED_BYTES", 0)
    content = bytearray(path.read_bytes())
    page = content.rindex(b"000050" * 50) // 4096 * 4096
    content[page : page + 8] = b"\xff" * 8
    path.write_bytes(content)
    store = SqlStore(path)
    store.open()
    with closing(store):
        with pytest.raises(StoreDamaged, match="is damaged") as caught:
            store.load("w", _address(50))
        assert "Restore a backup" in caught.value.hint
        assert store.load("w", _address(1)) is not None
        assert store.head("w") == 2 * DOCUMENTS
    monkeypatch.undo()
    _assert_refused(path, StoreDamaged, "is damaged", "backup")


@pytest.mark.parametrize("column", ["data", "state_vector"])
@pytest.mark.parametrize("value", ["5", "'text'"])
def test_a_value_of_another_type_is_damage(path: Path, column: str, value: str) -> None:
    table = "syncline_updates" if column == "data" else "syncline_documents"
    _execute(path, f"UPDATE {table} SET {column} = {value}")
    store = SqlStore(path)
    store.open()
    with closing(store):
        with pytest.raises(StoreDamaged, match=f"where bytes were written it has {value}"):
            store.load("w", _address(1))
        if column == "data":
            with pytest.raises(StoreDamaged, match="where bytes were written"):
                store.since("w", 0, max_bytes=9, max_updates=9)


def test_text_that_is_no_text_is_damage(path: Path) -> None:
    _execute(path, "UPDATE syncline_documents SET key = CAST(x'ff' AS TEXT) WHERE key = '000001'")
    store = SqlStore(path)
    store.open()
    with closing(store), pytest.raises(StoreDamaged, match="UTF-8"):
        list(store.documents("w"))


# Other databases and other layouts


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    _execute(path, "CREATE TABLE customers (id INTEGER)")
    _assert_refused(path, StoreError, "is a database of another program", "another path")
    assert sorted(os.listdir(tmp_path)) == ["other.db", "other.db.lock"]


def test_a_newer_layout_asks_for_an_upgrade(path: Path) -> None:
    _execute(path, "UPDATE syncline_layout SET version_num = '0003'", "DROP TABLE syncline_refused")
    _assert_refused(
        path, StoreVersion, "has layout 0003, and this Syncline knows layouts up to 0002", "Upgrade"
    )


@pytest.mark.parametrize("value", ["'new'", "''", "'-1'"])
def test_a_layout_that_is_no_number_is_damage(path: Path, value: str) -> None:
    _execute(path, f"UPDATE syncline_layout SET version_num = {value}")
    _assert_refused(path, StoreDamaged, "its layout version is", "backup")


def test_a_missing_layout_or_table_is_damage(path: Path) -> None:
    _execute(path, "DROP TABLE syncline_outbox")
    _assert_refused(path, StoreDamaged, "it has no table syncline_outbox", "backup")
    _execute(path, "DELETE FROM syncline_layout")
    _assert_refused(path, StoreDamaged, "its layout version is None", "backup")


# Rights. Root has them all, so these tests go on as nobody.


@pytest.fixture
def locked(path: Path) -> Iterator[Path]:
    """The store, where one may read and not write."""
    if sys.platform == "win32":
        pytest.skip("rights of files work differently on Windows")
    path.with_name("app.db.lock").unlink()
    ways = [path, *path.parents]
    modes = {way: stat.S_IMODE(way.stat().st_mode) for way in ways}
    path.chmod(0o444)
    path.parent.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        for way in ways[2:]:
            if modes[way] & 0o055 != 0o055:
                way.chmod(modes[way] | 0o055)
        os.seteuid(65534)
    yield path
    if root:
        os.seteuid(0)
    for way in ways if root else ways[:2]:
        way.chmod(modes[way])


def test_a_folder_without_the_right_to_write(locked: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened: Permission denied") as caught:
        SqlStore(locked).open()
    assert "rights" in caught.value.hint
    with pytest.raises(StoreError, match="cannot be locked: Permission denied") as caught:
        SqlStore(locked.with_name("new.db")).open()
    assert "exclusive=False" in caught.value.hint
    store = SqlStore(locked, exclusive=False)
    store.open()
    with closing(store):
        assert store.head("w") == 2 * DOCUMENTS
    assert os.listdir(locked.parent) == ["app.db"]
