"""The tables on every database: their types hold what goes in, exactly, and compare as they
should."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from syncline.engine.names import Address
from syncline.engine.records.projection import ProjectedColumn, ProjectedTable
from syncline.stores import DocumentWrite, Write
from syncline.stores.sql import projection_keeper as keeper
from syncline.stores.tables.projection import sql_table
from tests.stores.servers import SERVERS, database

KINDS = (
    *("text", "integer", "float", "boolean", "decimal"),
    *("datetime", "date", "bytes", "uuid", "json"),
)


@pytest.fixture(params=["sqlite", *SERVERS])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    kind: str = request.param
    if kind == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path}/tables.db")
        yield engine
        engine.dispose()
        return
    with database(kind) as made:
        engine = create_engine(made.engine.url)
        yield engine
        engine.dispose()


TABLE = ProjectedTable(
    "every.kind-1",
    tuple(ProjectedColumn(f"a_{kind}", kind, "register", kind) for kind in KINDS),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    by_workspace=True,
)
NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
VALUES: dict[str, Any] = {
    "a_text": "Zoë 🙂 'quoted' \\ %s :x",
    "a_integer": -(2**63),
    "a_float": 0.1,
    "a_boolean": True,
    "a_decimal": Decimal("12345678901234567890123456789012345.123456789012345678901234567891"),
    "a_datetime": NOON,
    "a_date": date(1, 1, 1),
    "a_bytes": bytes(range(256)),
    "a_uuid": uuid.UUID(int=7),
    "a_json": {"b": [1, "é", None, {"$x": 2**70}], "a": True},
}
LARGEST: dict[str, Any] = {
    "a_text": "x" * 200_000,
    "a_integer": 2**63 - 1,
    "a_float": 1.7976931348623157e308,
    "a_decimal": Decimal("-1E-30"),
    "a_datetime": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    "a_date": date(9999, 12, 31),
    "a_bytes": b"x" * (1 << 20),
    "a_json": ["x" * 100_000],
}


def change(key: str, row: dict[str, Any] | None) -> tuple[Any, DocumentWrite]:
    address = Address(TABLE.collection, key)
    return ("crm", address), DocumentWrite(address, (), b"", live=row is not None, row=row)


def _no_rows(*_: object) -> Iterator[dict[str, Any]]:
    return iter(())


def opened(connection: Connection) -> keeper.ProjectionKeeper:
    kept = keeper.ProjectionKeeper("The store")
    kept.load(connection)
    connection.rollback()
    return kept


def test_values_come_back_and_compare(engine: Engine) -> None:
    table = sql_table(TABLE)
    absent = dict.fromkeys(VALUES)
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(insert(table), {"workspace": "crm", "key": "ada", **VALUES})
        connection.execute(insert(table), {"workspace": "crm", "key": "Ada", **absent, **LARGEST})
        connection.execute(insert(table), {"workspace": "crm", "key": "ada ", **absent})
        for column, value in VALUES.items():
            criteria = table.c[column] == value
            found = keeper.query(connection, select(table.c.key).where(criteria))
            # MariaDB compares its JSON as the text that it is, and PostgreSQL as JSON.
            assert found == [("ada",)], column
        for column, value in LARGEST.items():
            if column != "a_bytes":
                found = keeper.query(
                    connection, select(table.c.key).where(table.c[column] == value)
                )
                assert found == [("Ada",)], column
        ordered = keeper.query(connection, select(table.c.key).order_by(table.c.key))
        assert ordered == [("Ada",), ("ada",), ("ada ",)]  # by code point, spaces count


def test_exactly_what_other_programs_see(engine: Engine) -> None:
    table = sql_table(TABLE)
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(insert(table), {"workspace": "crm", "key": "ada", **VALUES})
        quote = engine.dialect.identifier_preparer.quote
        row = connection.execute(text(f"SELECT * FROM {quote(table.name)}")).one()
    seen = dict(zip(("workspace", "key", *VALUES), row, strict=True))
    decimal = Decimal(seen["a_decimal"])
    assert decimal == VALUES["a_decimal"]
    assert seen["a_float"] == 0.1
    assert seen["a_integer"] == -(2**63)
    instant = seen["a_datetime"]
    if isinstance(instant, str):
        assert instant == "2026-01-01 07:00:00.123456+00:00"
    else:
        utc = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        assert utc == NOON
    assert str(seen["a_uuid"]) == str(uuid.UUID(int=7))
    assert str(seen["a_date"]) == "0001-01-01"
    assert bytes(seen["a_bytes"]) == bytes(range(256))


def test_decimals_order_as_numbers_and_lists_hold_elements(engine: Engine) -> None:
    table = sql_table(TABLE)
    with engine.begin() as connection:
        table.create(connection)
        for number, items in (("9", ["a", 1]), ("10", ["b"]), ("-1.5", []), ("100", [True, "%"])):
            connection.execute(
                insert(table),
                {
                    **dict.fromkeys(VALUES),
                    "workspace": "crm",
                    "key": number,
                    "a_decimal": Decimal(number),
                    "a_json": items,
                },
            )
        above = select(table.c.key).where(table.c.a_decimal > 9).order_by(table.c.a_decimal.desc())
        assert keeper.query(connection, above) == [("100",), ("10",)]
        for element, key in (("a", "9"), (1, "9"), (True, "100"), ("%", "100"), ("b", "10")):
            holding = select(table.c.key).where(table.c.a_json.contains(element))
            assert keeper.query(connection, holding) == [(key,)], element
        like = select(table.c.key).where(table.c.key.contains("0"))
        assert len(keeper.query(connection, like)) == 2


def test_the_keeper_replaces_and_deletes_rows(engine: Engine) -> None:
    with engine.connect() as connection:
        kept = opened(connection)
        # No documents are stored here, so only what creates and signs the table is met.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keeper, "_stored_rows", _no_rows)
            assert kept.declare(connection, [TABLE], anew=False) == {TABLE.collection: 0}
            assert opened(connection).declare(connection, [TABLE], anew=False) == {}
            assert opened(connection).declared() == [TABLE]
        many = [change(f"k{number}", VALUES) for number in range(1000)]
        for changes in (many, many, [change("k1", None), change("k2", {**VALUES, "a_text": "t"})]):
            writes = [Write("crm", documents=tuple(document for _, document in changes))]
            with connection.begin():
                assert kept.write(connection, writes) == set()
        table = sql_table(TABLE)
        with connection.begin():
            found = keeper.query(connection, select(table.c.key).where(table.c.a_text == "t"))
            assert found == [("k2",)]
            assert len(keeper.query(connection, select(table.c.key))) == 999
        assert inspect(connection).has_table(TABLE.collection)


def test_a_table_that_was_altered_is_left_behind_and_the_rest_committed(engine: Engine) -> None:
    table = sql_table(TABLE)
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper, "_stored_rows", _no_rows)
        kept = opened(connection)
        kept.declare(connection, [TABLE], anew=False)
        with connection.begin():
            connection.execute(text("CREATE TABLE log (entry INTEGER)"))
            connection.execute(text(f"ALTER TABLE {quote(table.name)} DROP COLUMN a_text"))
        with connection.begin():
            connection.execute(text("INSERT INTO log VALUES (1)"))
            writes = [Write("crm", documents=(change("ada", VALUES)[1],))]
            left = kept.write(connection, writes)
        kept.left_behind(left)
        assert kept.stale == left == {TABLE.collection}
        with connection.begin():
            assert connection.execute(text("SELECT entry FROM log")).all() == [(1,)]
            with pytest.raises(DBAPIError):
                connection.execute(select(table.c.a_text))
        assert opened(connection).declare(connection, [TABLE], anew=False) == {TABLE.collection: 0}
