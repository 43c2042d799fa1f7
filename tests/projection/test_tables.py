"""Projected tables in a store: written with the log, made anew when they must be."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from syncline import Counter, Record, Replica, SetOf, Text
from syncline.engine.errors import StoreBusy, StoreError, UsageError
from syncline.engine.records.projection import projected
from syncline.stores import SqlStore
from syncline.stores.tables.projection import sql_table
from tests.cli.processes import run


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    notes: Text
    visits: Counter
    tags: SetOf[str]


class Odd(Record, collection="select.from-1"):
    order: str
    group: int = 0


MODELS: list[type[Record]] = [Contact, Odd]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "phone.db"


def sql(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(statement).fetchall()
        connection.commit()
    return rows


def rows(path: Path) -> list[tuple[Any, ...]]:
    return sql(path, "SELECT key, name, phone, notes, visits, tags FROM contacts ORDER BY key")


async def fill(path: Path) -> None:
    async with Replica.open(path, models=MODELS) as replica:
        contacts = replica.collection(Contact)
        ada = contacts.create(key="ada", name="Ada", tags=["z", "a"])
        ada.visits += 2
        contacts.create(key="bob", name="Bob")
        contacts.delete("bob")
        replica.collection(Odd).create(key="o", order="by", group=1)


ADA = ("ada", "Ada", None, "", 2, '["a","z"]')


async def test_a_table_is_there_for_other_programs(path: Path) -> None:
    await fill(path)
    assert rows(path) == [ADA]
    assert sql(path, 'SELECT * FROM "select.from-1"') == [("o", "by", 1)]


async def test_a_row_is_in_the_transaction_of_its_change(path: Path) -> None:
    """A reader never sees a log without its row, nor a row without its log."""
    async with Replica.open(path, models=MODELS) as replica:
        contacts = replica.collection(Contact)
        with closing(sqlite3.connect(path)) as reader:
            for number in range(20):
                contacts.create(name=str(number))
                await replica.flushed()
                counts = reader.execute(
                    "SELECT (SELECT count(*) FROM contacts), "
                    "(SELECT value FROM syncline_meta WHERE key = 'last_batch')"
                ).fetchone()
                assert counts == (number + 1, str(number + 1))


async def test_a_table_somebody_dropped_is_made_again(path: Path) -> None:
    await fill(path)
    sql(path, "DROP TABLE contacts")
    async with Replica.open(path, models=MODELS) as replica:
        assert replica.collection(Contact).where().count() == 1
    assert rows(path) == [ADA]


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE contacts",
        "ALTER TABLE contacts DROP COLUMN phone",
        "CREATE UNIQUE INDEX one ON contacts(notes)",
        "CREATE TRIGGER no BEFORE INSERT ON contacts BEGIN SELECT RAISE(ABORT, 'no'); END",
    ],
)
async def test_a_table_that_takes_no_rows_never_holds_up_a_change(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(path)
    async with Replica.open(path, models=MODELS) as replica:
        contacts = replica.collection(Contact)
        sql(path, damage)
        contacts.create(key="eve", name="Eve")
        contacts.create(key="fay", name="Fay")
        await replica.flushed()
        with pytest.raises(StoreError, match="does not show the latest changes"):
            contacts.where().all()
        contacts["ada"].phone = "1"
        await replica.flushed()
        assert replica.collection(Odd).where(Odd.order == "by").count() == 1
    assert "the table contacts takes no rows" in caplog.text
    async with Replica.open(path, models=MODELS) as replica:
        contacts = replica.collection(Contact)
        assert [record.key for record in contacts.where().all()] == ["ada", "eve", "fay"]
        assert contacts.where(Contact.phone == "1").count() == 1


async def test_a_table_of_somebody_else_is_left_alone(path: Path) -> None:
    async with Replica.open(path):
        pass
    sql(path, "CREATE TABLE contacts (mine TEXT)")
    sql(path, "INSERT INTO contacts VALUES ('precious')")
    with pytest.raises(StoreError, match="a table contacts that Syncline did not make"):
        async with Replica.open(path, models=MODELS):
            pass
    assert sql(path, "SELECT * FROM contacts") == [("precious",)]


async def test_a_rebuild_that_is_cut_short_is_made_up_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(path)
    store = SqlStore(path)
    store.open()
    table = projected(Contact.__schema__)
    with monkeypatch.context() as patch:
        patch.setattr("syncline.stores.sql.projection_keeper._stored_rows", _fail)
        with pytest.raises(KeyboardInterrupt):
            store.project([table], anew=True)
    store.close()
    assert rows(path) == [ADA]  # rolled back
    store = SqlStore(path)
    store.open()
    assert store.project([table]) == {"contacts": 1}
    assert store.project([table]) == {}
    found = store.select(select(sql_table(table).c.name))
    assert found == [("Ada",)]
    with pytest.raises(UsageError, match="cannot be executed"):
        store.select(select(sql_table(projected(Odd.__schema__)).c.key).where(_nonsense()))
    store.close()
    looking = SqlStore(path, exclusive=False)
    looking.open()
    assert looking.select(select(sql_table(table).c.name)) == [("Ada",)]
    with pytest.raises(StoreError, match="looking only"):
        looking.project([table])
    looking.close()


def _fail(*_: Any) -> Iterator[dict[str, Any]]:
    raise KeyboardInterrupt


def _nonsense() -> Any:
    from sqlalchemy import literal_column

    return literal_column("nonsense") == 1


MODULE = """
from syncline import Record
class Contact(Record, collection="contacts"):
    name: str
    nickname: str | None = None
"""


@pytest.mark.long
async def test_rebuild_projection(path: Path) -> None:
    async def rebuild(*words: str) -> tuple[int, str, str]:
        code, out, err = await run("rebuild-projection", *words, cwd=path.parent)
        return code, out, " ".join(err.split())

    await fill(path)
    sql(path, "UPDATE contacts SET name = 'tampered'")
    assert await rebuild("phone.db") == (0, "contacts: 1 rows\nselect.from-1: 1 rows\n", "")
    assert rows(path) == [ADA]

    (path.parent / "records.py").write_text(MODULE)
    done = await rebuild("phone.db", "--models", "records:Contact")
    assert done == (0, "contacts: 1 rows\n", "")
    assert sql(path, "SELECT * FROM contacts") == [("ada", "Ada", None)]

    for wrong, sentence in (
        ("nowhere:Contact", "cannot be imported"),
        ("records:Nobody", "no record class 'Nobody'"),
        ("records", "names no record class"),
    ):
        code, _, err = await rebuild("phone.db", "--models", wrong)
        assert code == 1
        assert sentence in err
    code, _, err = await rebuild("other.db")
    assert (code, "There is no store" in err) == (1, True)
    assert not (path.parent / "other.db").exists()

    async with Replica.open(path, models=MODELS):
        code, _, err = await rebuild("phone.db")
        assert (code, StoreBusy.code in err) == (1, True)
    assert rows(path) == [ADA]


async def test_a_document_that_cannot_be_read_has_no_row(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(path)
    sql(path, "UPDATE syncline_updates SET data = x'ff' WHERE seq = 1")
    caplog.set_level(logging.ERROR)
    store = SqlStore(path)
    store.open()
    assert store.project([projected(Contact.__schema__)], anew=True) == {"contacts": 0}
    store.close()
    assert "contacts/ada has no row" in caplog.text
