"""Migrations make the declared tables, from nothing and from an older layout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from syncline.engine.errors import StoreError, StoreVersion
from syncline.stores import SqlStore, migrations
from syncline.stores.databases.from_url import database_of
from syncline.stores.tables import schema
from tests.stores.numbered import assert_holds, numbered
from tests.stores.servers import TestDatabase

_SECOND = """
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"


def upgrade(op) -> None:
    op.add_column("syncline_meta", sa.Column("note", sa.Integer))
    if {broken}:
        raise RuntimeError("in the middle")
"""


def opened(location: str) -> SqlStore:
    store = SqlStore(location)
    store.open()
    return store


def columns(location: str, table: str) -> set[str]:
    from sqlalchemy import inspect

    with database_of(location).writer_engine().connect() as connection:
        return {column["name"] for column in inspect(connection).get_columns(table)}


def test_the_layout_is_the_last_migration() -> None:
    script = ScriptDirectory(str(migrations.FOLDER))
    assert script.get_heads() == [schema.LAYOUT]
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert revisions == [f"{n:04}" for n in range(len(revisions), 0, -1)]


def test_migrations_make_the_declared_tables(location: str) -> None:
    opened(location).close()

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in schema.tables.tables

    options: dict[str, Any] = {"compare_type": True, "include_name": ours}
    with database_of(location).writer_engine().connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.tables) == []
        found = [dialect_options(connection, table) for table in sorted(schema.tables.tables)]
    assert all(found)


def dialect_options(connection: Any, table: str) -> bool:
    """What Alembic does not compare: the collation of every text column."""
    match connection.dialect.name:
        case "postgresql":
            query = (
                "SELECT collation_name FROM information_schema.columns WHERE table_name = %s"
                " AND data_type = 'character varying'"
            )
            expected = {"C"}
        case "mariadb":
            query = (
                "SELECT collation_name FROM information_schema.columns WHERE table_name = %s"
                " AND table_schema = DATABASE() AND collation_name IS NOT NULL"
            )
            expected = {"utf8mb4_nopad_bin"}
        case _:
            return True
    found = {row[0] for row in connection.exec_driver_sql(query, (table,))}
    return found <= expected


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second migration, as a later Syncline might have; returns its file."""
    folder = tmp_path / "migrations"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(migrations.FOLDER, folder, ignore=ignore)
    file = folder / "versions" / "0003_second.py"
    file.write_text(_SECOND.format(broken=False))
    monkeypatch.setattr(migrations, "FOLDER", folder)
    return file


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this is the Syncline that knows the second migration."""
    monkeypatch.setattr(schema, "LAYOUT", "0003")
    monkeypatch.setattr("syncline.stores.databases.database.LAYOUT", "0003")


def test_an_older_layout_is_upgraded_and_keeps_its_content(
    location: str, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second.rename(second.with_suffix(".later"))
    with closing(opened(location)) as store:
        store.write([numbered(1), numbered(2)])
    second.with_suffix(".later").rename(second)
    later(monkeypatch)
    with pytest.raises(StoreError, match="has the older layout 0002") as caught:
        SqlStore(location, exclusive=False).open()
    assert "Open it once for writing" in caught.value.hint
    with closing(opened(location)) as store:
        assert_holds(store, 2)
        store.write([numbered(3)])
    assert "note" in columns(location, "syncline_meta")
    with closing(SqlStore(location, exclusive=False)) as store:
        store.open()
        assert_holds(store, 3)
    monkeypatch.undo()
    with pytest.raises(StoreVersion, match="has layout 0003, and this Syncline knows") as refused:
        SqlStore(location).open()
    assert "Upgrade Syncline" in refused.value.hint


def test_an_upgrade_that_fails_changes_nothing(
    location: str, second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if location.startswith("mariadb"):
        pytest.skip("MariaDB commits every change of a table by itself")
    second.rename(second.with_suffix(".later"))
    with closing(opened(location)) as store:
        store.write([numbered(1)])
    second.with_suffix(".later").rename(second)
    second.write_text(_SECOND.format(broken=True))
    with monkeypatch.context() as patch:
        later(patch)
        with pytest.raises(RuntimeError, match="in the middle"):
            SqlStore(location).open()
    assert "note" not in columns(location, "syncline_meta")
    with closing(opened(location)) as store:
        assert_holds(store, 1)


def test_tables_that_were_only_begun_are_completed(server: TestDatabase) -> None:
    """As MariaDB leaves them when it dies in the first migration."""
    with closing(opened(server.url)):
        pass
    server.execute(
        "DELETE FROM syncline_layout",
        "DROP TABLE syncline_updates",
        "DROP TABLE syncline_refused",
    )
    with closing(opened(server.url)) as store:
        store.write([numbered(1)])
        assert_holds(store, 1)


@pytest.mark.slow
def test_opening_an_existing_store_imports_no_alembic(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    opened(str(path)).close()
    program = (
        "import sys; from syncline.stores import SqlStore; s = SqlStore(sys.argv[1]); s.open();"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
