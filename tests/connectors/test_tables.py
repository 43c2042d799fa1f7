"""What tables of connected databases are found to be."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from syncline.connectors.database.tables import reflect

from .two_sides import Side, empty


@pytest.mark.parametrize(
    ("declared", "numbered"),
    [
        ("id INTEGER PRIMARY KEY, body TEXT)", True),
        ("id integer primary key autoincrement, body TEXT)", True),
        ("body TEXT, id INTEGER, PRIMARY KEY (id)) STRICT", True),
        # Here a row that is inserted without a key has NULL for one.
        ("id INT PRIMARY KEY, body TEXT)", False),
        ("id INTEGER PRIMARY KEY, body TEXT) WITHOUT ROWID", False),
        ("id INTEGER PRIMARY KEY, body TEXT) without rowid, strict", False),
        ("id INTEGER, body TEXT, PRIMARY KEY (id, body))", False),
    ],
)
def test_sqlite_numbers_rows_by_their_rowid_only(declared: str, numbered: bool) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE TABLE Notes ({declared}")
        assert reflect(connection, "Notes").autokey is numbered
    engine.dispose()


@pytest.mark.parametrize(
    ("kind", "declared", "numbered"),
    [
        ("postgresql", "serial", True),
        ("postgresql", "integer GENERATED ALWAYS AS IDENTITY", True),
        ("postgresql", "integer", False),
        ("mariadb", "integer AUTO_INCREMENT", True),
        ("mariadb", "integer", False),
    ],
)
def test_servers_number_rows_where_they_are_told_to(
    kind: str, declared: str, numbered: bool, tmp_path: Path
) -> None:
    with empty(kind, tmp_path, "a") as url:
        side = Side("a", kind, url)
        side.execute(f"CREATE TABLE notes (id {declared} PRIMARY KEY, body varchar(10))")
        with side.engine.connect() as connection:
            assert reflect(connection, "notes").autokey is numbered
        side.close()
