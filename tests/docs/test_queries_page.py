"""Every snippet of docs/queries.md runs as it stands."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from syncline import Record, SetOf
from syncline.engine.records.projection import projected
from syncline.stores.tables.projection import sql_table
from tests.cli.processes import run
from tests.docs.test_examples import output_of
from tests.stores.servers import database

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
STATEMENTS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    tags: SetOf[str]


@pytest.mark.long
async def test_the_programs(tmp_path: Path) -> None:
    queries, many, live, made, renamed, missing, migrated, pandas = PROGRAMS
    assert await output_of(queries, tmp_path) == (
        "['Grace Hopper']\n2 ['Ada Lovelace', 'Grace Hopper']\nNone\n"
    )
    printed = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[0]
    assert await output_of(many, tmp_path) == printed
    assert await output_of(live, tmp_path) == "created\nupdated\ndeleted\n"
    assert await output_of(made, tmp_path) == (
        'True True\n{"title": "every night", "ident": "\\u2026", "made": "\\u2026", '
        '"options": {"retries": 5}, "notes": "", "runs": 0, "tags": ["sql"]}\n'
    )
    assert await output_of(missing, tmp_path) == ""
    assert await output_of(migrated, tmp_path) == "['Ada Lovelace']\n"
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


@pytest.mark.services
def test_psql() -> None:
    _, statement = STATEMENTS
    table = sql_table(projected(Contact.__schema__, by_workspace=True))
    with database("postgresql") as made, made.engine.begin() as connection:
        table.create(connection)
        for key, tags in (("ada", ["math"]), ("grace", ["math", "navy"])):
            connection.execute(
                insert(table), {"workspace": "crm", "key": key, "name": key, "tags": tags}
            )
        rows = connection.execute(text(statement)).all()
    assert [tuple(row) for row in rows] == [("crm", "math", 2), ("crm", "navy", 1)]


@pytest.mark.slow
async def test_the_command(tmp_path: Path) -> None:
    (command,) = COMMANDS
    package = tmp_path / "myapp"
    package.mkdir()
    _, _, live, _, renamed, *_ = PROGRAMS
    classes = renamed + re.findall(r"class Task.*?\n\n", live, re.DOTALL)[0]
    (package / "records.py").write_text(classes)
    # All is read and imported before the store is, which is not there.
    arguments = [*command.split()[2:], "--store", "no/folder/relay.db"]
    code, _, error = await run(*arguments, cwd=tmp_path)
    assert (code, "The folder" in error) == (1, True), error
