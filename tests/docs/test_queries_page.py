"""Every snippet of docs/queries.md runs as it stands."""

from __future__ import annotations

import os
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, text
from sqlalchemy.exc import NoSuchModuleError, OperationalError

from syncline import Record, SetOf
from syncline.engine.records.projection import projected
from syncline.stores.tables.projection import sql_table
from tests.cli.processes import run
from tests.docs.test_examples import output_of

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
STATEMENTS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
POSTGRES = os.environ.get(
    "SYNCLINE_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
)


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    tags: SetOf[str]


async def test_the_programs(tmp_path: Path) -> None:
    queries, live, renamed, pandas = PROGRAMS
    assert await output_of(queries, tmp_path) == (
        "['Grace Hopper']\n2 ['Ada Lovelace', 'Grace Hopper']\nNone\n"
    )
    assert await output_of(live, tmp_path) == "created\nupdated\ndeleted\n"
    assert await output_of(renamed, tmp_path) == ""

    sqlite, _ = STATEMENTS
    with closing(sqlite3.connect(tmp_path / "phone.db")) as connection:
        assert connection.execute(sqlite).fetchall() == [
            ("Ada Lovelace", "math"),
            ("Grace Hopper", "math"),
            ("Grace Hopper", "navy"),
        ]
    if find_spec("pandas") is None:
        pytest.skip("pandas is not installed")
    lines = (await output_of(pandas, tmp_path)).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["Ada", "Lovelace"], ["Grace", "Hopper"]]


@pytest.fixture
def database() -> Iterator[str]:
    try:
        server = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
        with server.connect():
            pass
    except (OperationalError, NoSuchModuleError, ImportError) as error:
        if os.environ.get("SYNCLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"PostgreSQL is not reachable: {error}")
    name = f"syncline_test_{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    server.dispose()


def test_psql(database: str) -> None:
    _, statement = STATEMENTS
    table = sql_table(projected(Contact.__schema__, by_workspace=True))
    engine = create_engine(database)
    with engine.begin() as connection:
        table.create(connection)
        for key, tags in (("ada", ["math"]), ("grace", ["math", "navy"])):
            connection.execute(
                insert(table), {"workspace": "crm", "key": key, "name": key, "tags": tags}
            )
        rows = connection.execute(text(statement)).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("crm", "math", 2), ("crm", "navy", 1)]


async def test_the_command(tmp_path: Path) -> None:
    (command,) = COMMANDS
    package = tmp_path / "myapp"
    package.mkdir()
    _, live, renamed, _ = PROGRAMS
    classes = renamed + re.findall(r"class Task.*?\n\n", live, re.DOTALL)[0]
    (package / "records.py").write_text(classes)
    # All is read and imported before the store is, which is not there.
    arguments = [*command.split()[2:], "--store", "no/folder/relay.db"]
    code, _, error = await run(*arguments, cwd=tmp_path)
    assert (code, "The folder" in error) == (1, True), error
