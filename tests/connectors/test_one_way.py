"""One-way pipelines: what the destination shows after the source's users did something."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from syncline.connectors import open_run
from syncline.connectors.database import system
from syncline.connectors.file.spec import SystemSpec
from syncline.engine.errors import PipelineStopped, SystemRefused, UsageError
from tests.stores.servers import database

from .one_way_cases import ITEMS, KINDS, Pair, everything, items, ours, pair, rows


@pytest.fixture
def local(tmp_path: Path) -> Generator[Pair]:
    """Ten items, from SQLite to SQLite."""
    with pair(("sqlite", "sqlite"), tmp_path, "", ITEMS, items(10)) as made:
        yield made


@pytest.mark.parametrize("destination", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_any_database_goes_to_any_other(source: str, destination: str, tmp_path: Path) -> None:
    orders = (
        "CREATE TABLE orders (customer INTEGER NOT NULL, code VARCHAR(20) NOT NULL, note TEXT,"
        " PRIMARY KEY (customer, code))"
    )
    entered = "INSERT INTO orders VALUES (1, 'a', 'x'), (1, 'A', NULL), (2, 'a', 'y')"
    if source == "mariadb":
        orders += " COLLATE utf8mb4_bin"
    with pair((source, destination), tmp_path, "", ITEMS, items(20), orders, entered) as shop:
        report = shop.sync()
        assert report.flow("items", "items").inserted == 20
        assert report.flow("orders", "orders").inserted == 3
        shop.settled()

        shop.source.execute("UPDATE items SET name = 'first' WHERE id = 1")
        shop.source.execute("UPDATE items SET price = NULL WHERE id = 2")
        shop.source.execute("DELETE FROM items WHERE id = 3")
        shop.source.execute("UPDATE items SET id = 30 WHERE id = 4")
        shop.source.execute("UPDATE orders SET code = 'b' WHERE code = 'A'")
        shop.source.execute(items(2, 40))
        assert shop.run.pending()["source"] >= 7
        report = shop.sync()
        assert report.flow("items", "items").inserted == 3
        assert report.flow("items", "items").updated == 2
        assert report.flow("items", "items").fields == 2
        assert report.flow("items", "items").deleted == 2
        assert set(shop.rows("orders", "code")) == set(rows(shop.source, "orders", "code"))
        assert shop.rows("items", columns="id, name") == rows(
            shop.source, "items", columns="id, name"
        )
        assert shop.run.pending() == {"source": 0}
        shop.settled()

        shop.source.execute("TRUNCATE items" if source == "postgresql" else "DELETE FROM items")
        with pytest.raises(PipelineStopped, match="21 of 21 rows of items were deleted"):
            shop.sync()
        assert len(shop.rows("items")) == 21
        report = shop.sync(allow_deletes=True)
        assert report.flow("items", "items").deleted == 21
        shop.settled()


@pytest.mark.services
@pytest.mark.slow
def test_a_row_that_is_written_while_a_sync_runs_is_not_missed(tmp_path: Path) -> None:
    with pair(("postgresql", "sqlite"), tmp_path, "", ITEMS, items(3)) as shop:
        with shop.source.engine.connect() as early, early.begin():
            early.execute(sa.text("SELECT 1"))
            shop.sync()
            early.execute(sa.text("UPDATE items SET name = 'late' WHERE id = 1"))
            shop.source.execute("UPDATE items SET name = 'soon' WHERE id = 2")
            shop.sync()
            assert [name for _, name, _ in shop.rows("items")] == ["item 1", "soon", "item 3"]
        assert shop.sync().changed == 1
        assert shop.rows("items")[0][1] == "late"
        shop.settled()


@pytest.mark.slow
def test_a_dropped_trigger_is_made_again_and_what_went_by_is_found(local: Pair) -> None:
    local.sync()
    before = everything(local.source)["triggers"]
    local.source.execute(f'DROP TRIGGER "{before[0]}"')
    local.source.execute(f'DROP TRIGGER "{before[1]}"')
    local.source.execute("DELETE FROM items WHERE id = 1")
    local.source.execute("INSERT INTO items VALUES (70, 'new', 1)")
    expected = local.run.sync(dry_run=True).flows
    report = local.sync()
    assert report.flows == expected
    assert (report.flow("items", "items").inserted, report.flow("items", "items").deleted) == (1, 1)
    assert everything(local.source)["triggers"] == before
    local.settled()


@pytest.mark.slow
def test_a_row_that_sqlite_replaced_goes(tmp_path: Path) -> None:
    table = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"
    entered = "INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, NULL)"
    with pair(("sqlite", "sqlite"), tmp_path, "", table, entered) as shop:
        shop.sync()
        shop.source.execute("INSERT OR REPLACE INTO items VALUES (3, 'a')")
        expected = shop.run.sync(dry_run=True).flow("items", "items")
        assert shop.sync().flow("items", "items") == expected
        assert shop.rows("items") == [(2, "b"), (3, "a")]
        shop.settled()


@pytest.mark.slow
def test_a_row_that_sqlite_replaced_goes_although_others_are_in_quarantine(tmp_path: Path) -> None:
    table = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE, age INTEGER)"
    entered = "INSERT INTO items VALUES (1, 'a', 1), (2, 'b', 'no'), (3, NULL, 'no'), (4, 'd', 4)"
    with pair(("sqlite", "sqlite"), tmp_path, "", table, entered) as shop:
        shop.sync()
        assert shop.held() == {"2": "type", "3": "type"}
        shop.source.execute("INSERT OR REPLACE INTO items VALUES (4, 'a', 4)")
        shop.sync()
        assert shop.rows("items") == [(4, "a", 4)]
        shop.settled()
        shop.source.execute("INSERT OR REPLACE INTO items VALUES (4, 'b', 4)")
        shop.sync()
        shop.run.resync("items")
        shop.sync()
        assert shop.held() == {"3": "type"}


@pytest.mark.services
@pytest.mark.slow
def test_rows_that_mariadb_changes_along_with_others_follow(tmp_path: Path) -> None:
    parent = "id INTEGER PRIMARY KEY, parent INTEGER, FOREIGN KEY (parent) REFERENCES parents (id)"
    setup = (
        "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
        f"CREATE TABLE kept ({parent} ON DELETE SET NULL ON UPDATE CASCADE)",
        f"CREATE TABLE gone ({parent} ON DELETE CASCADE)",
        "INSERT INTO parents VALUES (1), (2), (3)",
        "INSERT INTO kept VALUES (1, 1), (2, 2)",
        "INSERT INTO gone VALUES (1, 1), (2, 2)",
    )
    with pair(("mariadb", "sqlite"), tmp_path, "", *setup) as shop:
        shop.sync()
        shop.source.execute("DELETE FROM parents WHERE id = 1")
        shop.sync()
        assert shop.rows("kept") == [(1, None), (2, 2)]
        assert shop.rows("gone") == [(2, 2)]
        shop.source.execute("DELETE FROM gone")
        shop.source.execute("UPDATE parents SET id = 9 WHERE id = 2")
        shop.sync(allow_deletes=True)
        assert shop.rows("kept") == [(1, None), (2, 9)]
        shop.settled()


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("restored", ["src", "dst"])
def test_a_database_restored_from_an_older_copy_is_noticed(
    restored: str, batches: int, local: Pair, tmp_path: Path
) -> None:
    local.sync()
    local.source.execute("UPDATE items SET name = 'second' WHERE id = 2")
    local.sync()
    shutil.copy(tmp_path / f"{restored}.db", tmp_path / "backup.db")
    for number in range(batches):
        local.source.execute("UPDATE items SET name = :name WHERE id = 1", name=f"n{number}")
        local.source.execute("DELETE FROM items WHERE id = :id", id=3 + number)
        local.source.execute(items(1, 20 + number))
        local.sync()
    local.restart()
    shutil.copy(tmp_path / "backup.db", tmp_path / f"{restored}.db")
    assert local.sync().changed > 0
    local.settled()
    assert rows(local.source, "items") == local.rows("items")


def test_a_table_that_was_dropped_at_the_destination_is_copied_again(local: Pair) -> None:
    local.sync()
    local.destination.execute("DROP TABLE items")
    assert local.run.sync(dry_run=True).flow("items", "items").inserted == 10
    assert local.sync().flow("items", "items").inserted == 10
    local.settled()


@pytest.mark.slow
@pytest.mark.parametrize("busy", ["source", "destination"])
def test_a_database_that_others_hold_is_named_and_nothing_is_lost(
    busy: str, local: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "LOCK_SECONDS", 0)
    local.sync()
    local.source.execute("UPDATE items SET name = 'new' WHERE id = 1")
    with closing(sqlite3.connect(tmp_path / {"source": "src.db"}.get(busy, "dst.db"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        report = local.run.sync()
        assert list(report.waiting) == [busy]
        assert f"{busy} (sqlite) cannot be used at the moment" in report.waiting[busy]
        assert local.run.pending() == ({} if busy == "source" else {"source": 1})
    assert local.sync().changed == 1
    local.settled()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_is_away_is_named_and_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    with pair(("sqlite", kind), tmp_path, "", ITEMS, items(2)) as shop:
        shop.sync()
        shop.source.execute("UPDATE items SET name = 'new' WHERE id = 1")
        url = sa.make_url(shop.destination.spec.url).set(host="127.0.0.1", port=1)
        away = SystemSpec("destination", url.render_as_string(hide_password=False))
        systems = {**shop.pipeline.systems, "destination": away}
        run = open_run(replace(shop.pipeline, systems=systems))
        assert list(run.sync().waiting) == ["destination"]
        assert run.pending() == {"source": 1}
        run.close()
        assert shop.sync().changed == 1
        shop.settled()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_connection_that_ends_in_a_sync_is_named_and_nothing_is_lost(
    kind: str, tmp_path: Path
) -> None:
    with (
        database(kind) as server,
        pair(("sqlite", "sqlite"), tmp_path, "", ITEMS, items(9)) as shop,
    ):
        spec = SystemSpec("destination", server.url)
        shop.pipeline = replace(shop.pipeline, systems={**shop.pipeline.systems, spec.name: spec})
        shop.restart()
        shop.sync()
        shop.source.execute("UPDATE items SET name = 'new'")

        def cut(*_: object) -> None:
            server.end_connections()

        engine = shop.run.systems["destination"].engine
        event.listen(engine, "before_cursor_execute", cut)
        assert list(shop.run.sync().waiting) == ["destination"]
        event.remove(engine, "before_cursor_execute", cut)
        assert shop.sync().changed == 9
        shop.settled()


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("destination", KINDS)
def test_a_dry_run_says_what_the_sync_then_does_and_writes_nothing(
    destination: str, tmp_path: Path
) -> None:
    text = '[[table]]\nname = "items"\non_delete = "mark"\nhistory = true\n'
    kept = "CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT)"
    with pair(("postgresql", destination), tmp_path, text, ITEMS, items(20), kept) as shop:
        for change in (
            "SELECT 1",
            "UPDATE items SET name = 'changed' WHERE id < 5",
            "DELETE FROM items WHERE id > 18",
            "INSERT INTO other VALUES (1, 'x')",
            "ALTER TABLE items ADD COLUMN fresh INTEGER DEFAULT 7; UPDATE items SET fresh = 8",
            "TRUNCATE other",
        ):
            shop.source.execute(change)
            before = everything(shop.source), everything(shop.destination)
            planned = shop.run.sync(dry_run=True, allow_deletes=True)
            assert (everything(shop.source), everything(shop.destination)) == before
            assert planned.dry_run
            report = shop.sync(allow_deletes=True)
            flows = {names: flow for names, flow in report.flows.items() if flow.rows}
            assert planned.flows == flows, change
            shop.settled()


def test_a_first_dry_run_makes_no_tables(local: Pair) -> None:
    assert local.run.sync(dry_run=True).flow("items", "items").inserted == 10
    assert ours(local.source) == []
    assert everything(local.destination) == {"triggers": [], "columns": {}}
    with pytest.raises(UsageError, match="has not run yet"):
        local.run.verify()


def test_check_names_what_does_not_fit(tmp_path: Path) -> None:
    text = '[[table]]\nname = "itemz"\n[[table]]\nname = "items"\nrename = { nme = "x" }\n'
    there = ("CREATE TABLE items (id INTEGER PRIMARY KEY, name INTEGER)",)
    with pair(("sqlite", "sqlite"), tmp_path, text, ITEMS, there=there) as shop:
        found = {finding.where: finding for finding in shop.run.check()}
        assert "no table 'itemz'" in found["table itemz"].message
        assert "no column 'nme'" in found["table items.rename"].message
        assert "items.name is of the type int" in found["table items"].message
        with pytest.raises(SystemRefused):
            shop.sync()
        assert ours(shop.source) == []


def test_changes_are_told_once_they_are_committed(local: Pair) -> None:
    local.sync()
    told: list[tuple[str, str, str]] = []
    local.source.execute("UPDATE items SET name = 'x' WHERE id = 1")
    local.source.execute("DELETE FROM items WHERE id = 2")
    local.source.execute(items(1, 50))
    local.run.sync(changed=lambda change: told.append((change.name, change.key, change.kind)))
    assert sorted(told) == [
        ("items", "1", "updated"),
        ("items", "2", "deleted"),
        ("items", "50", "created"),
    ]


def test_a_one_way_pipeline_has_no_conflicts(local: Pair) -> None:
    assert local.run.conflicts() == []
    with pytest.raises(UsageError, match="no conflicts"):
        local.run.resolve("r", "f", take="source")
    local.sync()
    with pytest.raises(UsageError, match="no table 'itemz'"):
        local.run.resync("itemz")


@pytest.mark.slow
def test_verify_names_what_differs(local: Pair) -> None:
    local.sync()
    local.destination.execute("UPDATE items SET name = 'ours' WHERE id = 1")
    local.destination.execute("DELETE FROM items WHERE id = 2")
    local.destination.execute(items(1, 99))
    result = local.run.verify()
    assert not result.equal
    assert result.count == 3
    found = {tuple(each.keys.values()): each for each in result.differences}
    assert found["1", "1"].fields == {"name": {"source": "item 1", "destination": "ours"}}
    assert found[("2",)].missing_in == "destination"
    assert found[("99",)].missing_in == "source"
    local.run.resync("items")
    assert local.sync().changed == 3
    local.settled()
