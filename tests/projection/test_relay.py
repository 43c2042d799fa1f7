"""A relay keeps tables of the record classes it is given, for all its workspaces."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncline import Record, Relay, Replica
from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.values import encode_value
from syncline.engine.errors import DocumentBroken, StoreFailed
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.records.liveness import write_live
from syncline.engine.records.projection import projected
from syncline.engine.records.schema import REGISTERS
from syncline.relay.log import table_rows as relay_rows
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.submission import PushedBatch, Settled
from syncline.stores import SqlStore, StoredDocument, Write
from tests.cli.processes import run
from tests.replica.models import Contact, Draft


class WatchedStore(SqlStore):
    """Remembers which documents were loaded, and fails when told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.loaded: list[str] = []
        self.failures = 0

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        self.loaded.append(str(address))
        return super().load(workspace, address)

    def write(self, writes: Sequence[Write]) -> list[int]:
        if self.failures and any(write.documents for write in writes):
            self.failures -= 1
            raise StoreFailed("The disk is full.", hint="Free some space.", retry_after=0.01)
        return super().write(writes)


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


MODELS: list[type[Record]] = [Contact, Draft]
NAMES = "SELECT workspace, key, name, visits, tags FROM contacts ORDER BY workspace, key"


@pytest.mark.slow
async def test_tables_of_a_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_rows, "MAX_DOCUMENTS", 2)
    store = WatchedStore(tmp_path / "relay.db")
    async with Relay(store, port=0, models=[Contact]) as relay:
        for workspace in ("crm", "shop"):
            url = f"{relay.url}/{workspace}"
            async with Replica.open(
                tmp_path / f"{workspace}.db", models=MODELS, relay=url
            ) as replica:
                contacts = replica.collection(Contact)
                for key in "abcd":
                    contacts.create(key=key, name=f"{key} of {workspace}", tags=["y", "x"])
                replica.collection(Draft).create(key="d", title="not declared")
                await replica.synced()
                contacts["a"].visits += 1
                await replica.synced()
                contacts["a"].visits += 1
                with replica.transaction():
                    contacts.delete("b")
                    contacts["c"].name = "twice"
                    contacts["c"].name = "changed"
                await replica.synced()
                store.failures = 3  # the documents kept open must not run ahead of the store
                contacts["a"].visits += 1
                contacts["d"].name = "last"
                await replica.synced()
                assert store.failures == 0
    expected: list[tuple[Any, ...]] = []
    for workspace in ("crm", "shop"):
        expected += [
            (workspace, "a", f"a of {workspace}", 3, '["x","y"]'),
            (workspace, "c", "changed", 0, '["x","y"]'),
            (workspace, "d", "last", 0, '["x","y"]'),
        ]
    assert rows(tmp_path / "relay.db", NAMES) == expected
    tables = {row[0] for row in rows(tmp_path / "relay.db", "SELECT name FROM sqlite_master")}
    assert "drafts" not in tables
    # Without the state vector: only its document, of which the relay knows none, is looked for.
    assert store.loaded.count("drafts/d") <= 2

    code, out, _ = await run("rebuild-projection", str(tmp_path / "relay.db"))
    assert (code, out) == (0, "contacts: 6 rows\n")
    assert rows(tmp_path / "relay.db", NAMES) == expected


@pytest.mark.slow
async def test_a_hot_document_is_opened_once(tmp_path: Path) -> None:
    store = WatchedStore(tmp_path / "relay.db")
    async with Relay(store, port=0, models=[Contact]) as relay:
        url = f"{relay.url}/crm"
        async with Replica.open(tmp_path / "crm.db", models=MODELS, relay=url) as replica:
            ada = replica.collection(Contact).create(key="ada", name="Ada")
            await replica.synced()
            before = len(store.loaded)
            for _ in range(20):
                ada.visits += 1
                await replica.synced()
            assert len(store.loaded) == before
    assert rows(tmp_path / "relay.db", NAMES) == [("crm", "ada", "Ada", 20, "[]")]


@pytest.mark.slow
async def test_models_declared_later_get_their_rows(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with Replica.open(tmp_path / "crm.db", models=MODELS, relay=url) as replica:
            replica.collection(Contact).create(key="ada", name="Ada")
            await replica.synced()
    async with Relay(tmp_path / "relay.db", port=0, models=[Contact]):
        pass
    assert rows(tmp_path / "relay.db", NAMES) == [("crm", "ada", "Ada", 0, "[]")]


@pytest.mark.slow
async def test_serve_takes_models(tmp_path: Path) -> None:
    code, _, err = await run("serve", "--port", "0", "--models", "nowhere:Contact", cwd=tmp_path)
    assert code == 1
    assert "cannot be imported" in " ".join(err.split())


def written(client: int, log: list[bytes], stamp: int, **values: str) -> bytes:
    """The update by which ``client`` writes registers of a record that has ``log``."""
    document = Document(client, log)
    with document.transaction():
        write_live(document, True, "delete-wins", stamp)
        for name, value in values.items():
            cells_of(document, REGISTERS).write(name, encode_value(value, where=""), stamp)
    (update,) = document.take_captured()
    document.close()
    return update


def test_a_row_shows_nothing_that_was_not_committed(tmp_path: Path) -> None:
    store = WatchedStore(tmp_path / "relay.db")
    store.open()
    table = projected(Contact.__schema__, by_workspace=True)
    store.project([table])
    ledger = Ledger(store, [table])
    address = Address("contacts", "ada")
    made = written(1, [], 1 << 16, name="Ada")

    def push(replica: str, number: int, *updates: bytes) -> None:
        entries = tuple(Entry(address, update) for update in updates)
        digest = bytes([number])
        outcomes, _ = ledger.commit([PushedBatch("crm", replica, entries, number, digest)])
        assert isinstance(outcomes[0], Settled)
        assert not outcomes[0].refusals

    push("one", 1, made)
    store.failures = 1
    with pytest.raises(StoreFailed):
        push("one", 2, written(1, [made], 3 << 16, name="never committed"))
    push("two", 1, written(2, [made], 2 << 16, phone="1"))
    ledger.close()
    store.close()
    assert rows(tmp_path / "relay.db", "SELECT name, phone FROM contacts") == [("Ada", "1")]


def test_what_is_no_document_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = WatchedStore(tmp_path / "relay.db")
    store.open()
    table = projected(Contact.__schema__, by_workspace=True)
    store.project([table])
    ledger = Ledger(store, [table])
    monkeypatch.setattr(Document, "apply", _break)
    update = written(1, [], 1 << 16, name="Ada")
    entry = Entry(Address("contacts", "ada"), update)
    outcomes, _ = ledger.commit([PushedBatch("crm", "one", (entry,), 1, b"1")])
    assert outcomes == [Settled(1)]
    assert "the table of contacts/ada does not follow it" in caplog.text
    store.close()


def _break(*_: object) -> bool:
    raise DocumentBroken("The CRDT library failed.", hint="Open it again.")
