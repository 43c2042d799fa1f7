"""Backup and restore of real files, also while a relay process writes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.engine.errors import StoreBusy, StoreDamaged, StoreError
from syncline.engine.names import Address
from syncline.replica.replica import LOCAL
from syncline.stores import OutboxBatch, Receipt, RefusedUpdate, SqlStore, Write
from syncline.testing.store_case import change
from syncline.upkeep.backup import backup, restore
from tests.cli.processes import run, serving
from tests.replica.models import Contact

PATIENCE = 60.0
A = Address("pages", "a")


def filled(path: Path, rows: int = 3, size: int = 1) -> Path:
    """The closed store of a relay, with something in every table."""
    store = SqlStore(path)
    store.open()
    store.write([Write("", meta={"role": "relay", "relay": "old"})])
    for number in range(rows):
        store.write(
            [
                Write(
                    "w",
                    (change(A, b"%d" % number * size, live=True), change(Address("b", "é"), b"x")),
                    receipt=Receipt("r", number + 1, b"digest", refused=b"[]"),
                    outbox=(OutboxBatch(number + 1, b"payload"),),
                    refused=(RefusedUpdate(number, "pages/a", b"\x00", "code", "why"),),
                    meta={"key": str(number)},
                )
            ]
        )
    store.close()
    return path


def content(path: Path) -> dict[str, object]:
    store = SqlStore(path, exclusive=False)
    store.open()
    try:
        return {
            name: [
                store.since(name, 0, max_bytes=1 << 40, max_updates=1 << 40),
                list(store.documents(name)),
                [store.load(name, info.address) for info in store.documents(name)],
                store.receipt(name, "r", 2),
                store.outbox(name, limit=99),
                store.refused(name),
                store.meta(name),
            ]
            for name in store.workspaces()
        }
    finally:
        store.close()


def identity(path: Path) -> str:
    store = SqlStore(path, exclusive=False)
    store.open()
    try:
        return store.meta("")["relay"]
    finally:
        store.close()


def test_a_backup_restored_has_everything_and_another_identity(tmp_path: Path) -> None:
    path = filled(tmp_path / "relay.db")
    copy = backup(path, tmp_path / "backup.db")
    assert (copy.role, copy.heads, copy.relay) == ("relay", {"w": 6}, "old")
    assert content(tmp_path / "backup.db") == content(path)
    restored = restore(tmp_path / "backup.db", tmp_path / "new.db")
    assert content(tmp_path / "new.db") == content(path)
    assert restored.heads == {"w": 6}
    assert restored.relay == identity(tmp_path / "new.db")
    assert len({identity(path), identity(tmp_path / "new.db"), ""}) == 3
    assert identity(tmp_path / "backup.db") == "old"
    # Nothing is left lying about but what those who look at an open store leave.
    names = {file.name for file in tmp_path.iterdir()}
    assert {name for name in names if not name.endswith(("-wal", "-shm"))} == {
        *("relay.db", "relay.db.lock", "backup.db", "new.db", "new.db.lock")
    }
    # It goes on where the backup stood, under new row ids too.
    store = SqlStore(tmp_path / "new.db")
    store.open()
    assert store.write([Write("w", (change(A, b"9"), change(Address("b", "new"), b"9")))]) == [8]
    store.close()


@pytest.mark.slow
def test_rows_of_any_size_are_copied_in_chunks(tmp_path: Path) -> None:
    path = filled(tmp_path / "relay.db", rows=600, size=9000)
    backup(path, tmp_path / "backup.db")
    restore(tmp_path / "backup.db", tmp_path / "new.db")
    assert content(tmp_path / "new.db") == content(path)


@pytest.mark.slow
def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    first, second = filled(tmp_path / "one.db"), filled(tmp_path / "two.db", rows=5)
    backup(first, tmp_path / "backup.db")
    with pytest.raises(StoreError, match="There is a file"):
        backup(second, tmp_path / "backup.db")
    with pytest.raises(StoreError, match="not empty"):
        restore(tmp_path / "backup.db", second)
    assert content(second) == content(filled(tmp_path / "same.db", rows=5))
    assert identity(second) == "old"
    restore(tmp_path / "backup.db", second, force=True)
    assert content(second) == content(first)
    backup(filled(tmp_path / "three.db", rows=9), tmp_path / "backup.db", force=True)
    assert content(tmp_path / "backup.db") == content(tmp_path / "three.db")
    with pytest.raises(StoreError, match="does not exist"):
        backup(first, tmp_path / "none" / "backup.db")


def test_a_store_in_use_is_neither_restored_nor_replaced(tmp_path: Path) -> None:
    path, other = filled(tmp_path / "relay.db"), filled(tmp_path / "other.db", rows=7)
    backup(path, tmp_path / "backup.db")
    store = SqlStore(path)
    store.open()
    try:
        with pytest.raises(StoreBusy):
            restore(tmp_path / "backup.db", path, force=True)
        for source in (path, other):
            with pytest.raises(StoreBusy):
                backup(source, path, force=True)
    finally:
        store.close()
    with pytest.raises(StoreBusy):
        backup(other, other, force=True)


def test_what_is_damaged_is_no_backup(tmp_path: Path) -> None:
    path = filled(tmp_path / "relay.db", rows=40)
    backup(path, tmp_path / "backup.db")
    for statement in (
        "DELETE FROM syncline_updates WHERE seq = 7",
        "UPDATE syncline_workspaces SET head = head + 1 WHERE name = 'w'",
    ):
        damaged = tmp_path / "damaged.db"
        damaged.write_bytes((tmp_path / "backup.db").read_bytes())
        database = sqlite3.connect(damaged)
        with database:
            database.execute(statement)
        database.close()
        with pytest.raises(StoreDamaged):
            restore(damaged, tmp_path / "new.db")
        with pytest.raises(StoreDamaged):
            backup(damaged, tmp_path / "again.db")
        assert not (tmp_path / "new.db").exists()
        assert not (tmp_path / "again.db").exists()
    (tmp_path / "text.db").write_text("no database")
    with pytest.raises(StoreDamaged):
        restore(tmp_path / "text.db", tmp_path / "new.db")


async def test_a_restored_replica_takes_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Replica.open(path, models=[Contact]) as replica:
        replica.collection(Contact).create(key="x", name="kept")
    backup(path, tmp_path / "backup.db")
    before = _meta(path)
    path.unlink()
    restore(tmp_path / "backup.db", path)
    assert _meta(path)["fingerprint"] == "restored"
    async with Replica.open(path, models=[Contact]) as replica:
        assert replica.collection(Contact)["x"].name == "kept"
        await replica.flushed()
    after = _meta(path)
    assert after["client_id"] != before["client_id"]
    assert after["replica"] != before["replica"]


def _meta(path: Path) -> dict[str, str]:
    store = SqlStore(path, exclusive=False)
    store.open()
    try:
        return store.meta(LOCAL)
    finally:
        store.close()


@pytest.mark.long
async def test_a_backup_of_a_running_relay_has_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    async with serving(path) as relay, asyncio.timeout(PATIENCE):
        url = f"{relay.url}/w"
        async with Replica.open(tmp_path / "a.db", models=[Contact], relay=url) as replica:
            contacts = replica.collection(Contact)
            for number in range(200):
                contacts.create(key=f"before{number}", name="x")
            await replica.synced()
            writing = asyncio.create_task(_write_on(replica))
            results = [
                await run("backup", str(path), str(tmp_path / f"{number}.db"))
                for number in range(2)
            ]
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await replica.synced()
            names = {contact.key for contact in contacts}
        assert [code for code, _, _ in results] == [0, 0], results
        assert "workspace w, head" in results[0][1]
    copies = [_keys(tmp_path / f"{number}.db") for number in range(2)]
    assert {f"before{number}" for number in range(200)} <= copies[0] <= copies[1] <= names
    assert len(copies[0]) < len(names), "nothing was written meanwhile"
    # A relay runs on the restored store, and a new replica gets what was in it.
    code, out, err = await run("restore", str(tmp_path / "1.db"), str(tmp_path / "new.db"))
    assert (code, err) == (0, "")
    assert "new identity" in out
    async with (
        Relay(tmp_path / "new.db", port=0) as again,
        Replica.open(tmp_path / "b.db", models=[Contact], relay=f"{again.url}/w") as fresh,
        asyncio.timeout(PATIENCE),
    ):
        await fresh.synced()
        assert {contact.key for contact in fresh.collection(Contact)} == copies[1]


async def _write_on(replica: Replica) -> None:
    number = 0
    while True:
        replica.collection(Contact).create(key=f"later{number}", name="y")
        await replica.synced()
        number += 1


def _keys(path: Path) -> set[str]:
    store = SqlStore(path, exclusive=False)
    store.open()
    try:
        return {info.address.key for info in store.documents("w")}
    finally:
        store.close()


@pytest.mark.long
async def test_the_commands_say_what_is_wrong(tmp_path: Path) -> None:
    path = filled(tmp_path / "relay.db")
    code, out, _ = await run("backup", str(path), str(tmp_path / "backup.db"))
    assert code == 0
    assert "syncline restore" in out
    for arguments, sentence in (
        (("backup", str(path), str(tmp_path / "backup.db")), "There is a file"),
        (("backup", str(tmp_path / "none.db"), str(tmp_path / "x.db")), "There is no store"),
        (("restore", str(tmp_path / "backup.db"), str(path)), "is not empty"),
        (("restore", str(tmp_path / "none.db"), str(tmp_path / "x.db")), "There is no store"),
    ):
        code, _, err = await run(*arguments)
        assert code == 1
        assert sentence in err.replace("\n", " ")
        assert "Traceback" not in err
