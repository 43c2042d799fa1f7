"""What the settings of a one-way pipeline do: capture, columns, deletions, history, rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncline.engine.errors import PipelineStopped

from .one_way_cases import ITEMS, items, ours, pair, rows

LOCAL = ("sqlite", "sqlite")
COMPARE = 'capture = "compare"'


def table(settings: str, name: str = "items") -> str:
    return f'[[table]]\nname = "{name}"\n{settings}\n'


# How changes are found


def test_compare_finds_all_changes_without_touching_the_source(tmp_path: Path) -> None:
    with pair(LOCAL, tmp_path, "", ITEMS, items(9), source_keys=COMPARE) as shop:
        shop.sync()
        shop.source.execute("UPDATE items SET name = 'x' WHERE id = 1")
        shop.source.execute("DELETE FROM items WHERE id = 2")
        shop.source.execute(items(1, 50))
        planned = shop.run.sync(dry_run=True)
        report = shop.sync()
        assert planned.flows == report.flows
        assert report.changed == 3
        assert ours(shop.source) == []
        assert shop.run.pending() == {"source": 0}
        shop.settled()


@pytest.mark.slow
def test_a_cursor_finds_late_rows_by_its_overlap_and_deletions_now_and_then(
    tmp_path: Path,
) -> None:
    keys = 'capture = { cursor = "at", overlap = "2m", compare_every = "1h" }'
    made = "CREATE TABLE logs (id INTEGER PRIMARY KEY, at DATETIME, name TEXT)"
    with pair(LOCAL, tmp_path, "", made, source_keys=keys) as shop:

        def log(id_: int, minute: int) -> None:
            shop.source.execute(
                "INSERT INTO logs VALUES (:id, :at, 'x')",
                id=id_,
                at=f"2024-01-01 12:{minute:02}:00",
            )

        for number in range(5):
            log(number, number)
        shop.sync()
        log(10, 5)
        log(11, 3)  # committed late, inside the overlap
        log(12, 1)  # too late: waits for the comparison
        shop.source.execute("DELETE FROM logs WHERE id = 0")
        shop.source.execute("UPDATE logs SET name = 'y' WHERE id = 4")
        report = shop.sync()
        assert report.flow("logs", "logs").inserted == 2
        assert report.flow("logs", "logs").updated == 1
        assert report.looked_at <= 5
        assert shop.sync().changed == 0
        shop.now += 3_599_000
        assert shop.sync().changed == 0
        shop.now += 1_000
        report = shop.sync()
        assert (report.flow("logs", "logs").inserted, report.flow("logs", "logs").deleted) == (1, 1)
        assert ours(shop.source) == []
        shop.settled()


@pytest.mark.parametrize("type_", ["INTEGER", "REAL", "NUMERIC", "DATE", "TEXT"])
def test_a_cursor_may_be_of_any_type_that_grows(type_: str, tmp_path: Path) -> None:
    keys = 'capture = { cursor = "at", overlap = "1s" }'
    made = f"CREATE TABLE logs (id INTEGER PRIMARY KEY, at {type_})"
    values: dict[str, list[Any]] = {"DATE": ["2024-01-01", "2024-01-02", "2024-01-03"]}
    first, second, third = values.get(type_, [10, 20, 30])
    with pair(LOCAL, tmp_path, "", made, source_keys=keys) as shop:
        shop.sync()
        enter = "INSERT INTO logs VALUES (:id, :at)"
        shop.source.execute(enter, id=1, at=second)
        assert shop.sync().changed == 1
        shop.source.execute(enter, id=2, at=first)
        shop.source.execute(enter, id=3, at=third)
        shop.source.execute(enter, id=4, at=None)
        assert shop.sync().changed == 1
        assert shop.sync().changed == 0
        if type_ == "INTEGER":
            shop.source.execute(enter, id=5, at="never")
            shop.source.execute(enter, id=6, at=31)
            for _ in range(2):
                shop.sync()
            assert len(shop.rows("logs")) == 3
            assert list(shop.held()) == ["5"]


# Tables and columns


@pytest.mark.slow
def test_what_is_excluded_stays_and_names_change(tmp_path: Path) -> None:
    text = table('to = "goods"\nexclude = ["secret"]\nrename = { name = "title", id = "number" }')
    setup = (
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, secret TEXT, token TEXT)",
        "CREATE TABLE hidden (id INTEGER PRIMARY KEY)",
        "CREATE TABLE other (id INTEGER PRIMARY KEY)",
        "INSERT INTO items VALUES (1, 'a', 's', 't')",
    )
    keys = 'tables = ["*"]\nexclude = ["hid*", "items.token"]'
    with pair(LOCAL, tmp_path, text, *setup, source_keys=keys) as shop:
        report = shop.sync()
        assert report.flow("items", "goods").inserted == 1
        found = shop.destination.execute("SELECT * FROM goods")
        assert [dict(row._mapping) for row in found] == [{"number": 1, "title": "a"}]
        shop.source.execute("UPDATE items SET id = 2, name = 'b', secret = 'new'")
        shop.sync()
        assert [tuple(row) for row in shop.destination.execute("SELECT * FROM goods")] == [(2, "b")]
        shop.settled()
        with pytest.raises(Exception, match="hidden"):
            shop.rows("hidden")
        assert shop.rows("other") == []


@pytest.mark.slow
def test_a_table_that_is_left_out_later_is_no_longer_noted(tmp_path: Path) -> None:
    other = "CREATE TABLE other (id INTEGER PRIMARY KEY)"
    with pair(LOCAL, tmp_path, "", ITEMS, items(2), other) as shop:
        shop.sync()
        shop.restart("", source_keys='exclude = ["other"]')
        shop.source.execute("INSERT INTO other VALUES (1)")
        shop.sync()
        assert shop.run.pending() == {"source": 0}
        shop.source.execute("INSERT INTO other VALUES (2)")
        assert shop.run.pending() == {"source": 0}
        shop.settled()
        shop.restart("")
        shop.sync()
        assert shop.rows("other") == [(1,), (2,)]
        shop.settled()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["add", "ignore", "stop"])
def test_new_columns(policy: str, tmp_path: Path) -> None:
    text = table(f'new_columns = "{policy}"')
    with pair(LOCAL, tmp_path, text, ITEMS, items(3)) as shop:
        shop.sync()
        shop.source.execute("ALTER TABLE items ADD COLUMN fresh INTEGER DEFAULT 7")
        if policy == "stop":
            for _ in range(2):
                with pytest.raises(PipelineStopped, match="has a new column 'fresh'"):
                    shop.sync()
            shop.restart(table('new_columns = "add"'))
            policy = "add"
        planned = shop.run.sync(dry_run=True).changed
        assert shop.sync().changed == planned == (3 if policy == "add" else 0)
        found = {row[3:] for row in shop.rows("items")}
        assert found == ({(7,)} if policy == "add" else {()})
        shop.settled()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["keep", "stop"])
def test_removed_columns(policy: str, tmp_path: Path) -> None:
    text = table(f'removed_columns = "{policy}"')
    with pair(LOCAL, tmp_path, text, ITEMS, items(3)) as shop:
        shop.sync()
        shop.source.execute("ALTER TABLE items DROP COLUMN name")
        if policy == "stop":
            for _ in range(2):
                with pytest.raises(PipelineStopped, match="has no column 'name' any more"):
                    shop.sync()
            return
        shop.source.execute("UPDATE items SET price = 1")
        shop.source.execute("INSERT INTO items VALUES (9, 1)")
        assert shop.sync().changed == 4
        assert shop.rows("items", columns="name")[0] == ("item 1",)
        shop.settled()


# Deletions


@pytest.mark.slow
def test_a_deletion_may_be_marked_and_taken_back(tmp_path: Path) -> None:
    text = table('on_delete = "mark"')
    with pair(LOCAL, tmp_path, text, ITEMS, items(5)) as shop:
        shop.sync()
        shop.source.execute("DELETE FROM items WHERE id < 3")
        assert shop.sync().flow("items", "items").deleted == 2
        shop.settled()
        gone = shop.rows("items", columns="id, name, _syncline_deleted_at")[:3]
        assert gone[0] == (1, "item 1", "2027-01-15 08:00:00")
        assert gone[2] == (3, "item 3", None)
        shop.run.resync("items")
        assert shop.sync().changed == 0
        shop.source.execute("INSERT INTO items VALUES (1, 'item 1', 1.25)")
        assert shop.sync().flow("items", "items").updated == 1
        assert shop.rows("items", columns="_syncline_deleted_at")[0] == (None,)
        shop.settled()


@pytest.mark.slow
def test_a_deletion_may_be_ignored_and_made_up_for(tmp_path: Path) -> None:
    with pair(LOCAL, tmp_path, table('on_delete = "ignore"'), ITEMS, items(5)) as shop:
        shop.sync()
        shop.source.execute("DELETE FROM items WHERE id < 3")
        assert shop.sync().changed == 0
        assert len(shop.rows("items")) == 5
        shop.settled()
        shop.restart(table('on_delete = "apply"'))
        assert shop.sync().flow("items", "items").deleted == 2
        shop.settled()


@pytest.mark.slow
@pytest.mark.parametrize("keys", ["", COMPARE])
def test_too_many_deletions_stop(keys: str, tmp_path: Path) -> None:
    text = table("max_deletes = 2")
    with pair(LOCAL, tmp_path, text, ITEMS, items(9), source_keys=keys) as shop:
        shop.sync()
        shop.source.execute("DELETE FROM items WHERE id < 4")
        before = shop.rows("items")
        for dry_run in (True, False, False):
            with pytest.raises(PipelineStopped, match="3 of 9 rows of items were deleted"):
                shop.run.sync(dry_run=dry_run)
            assert shop.rows("items") == before
        shop.source.execute("INSERT INTO items VALUES (1, 'back', 1)")
        assert shop.sync().flow("items", "items").deleted == 2
        shop.source.execute("DELETE FROM items WHERE id > 4")
        assert shop.sync(allow_deletes=True).flow("items", "items").deleted == 5
        shop.settled()


@pytest.mark.slow
@pytest.mark.parametrize("destination", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize("on_delete", ["apply", "mark"])
def test_a_history_has_every_old_version_once(
    on_delete: str, destination: str, tmp_path: Path
) -> None:
    text = table(f'history = true\non_delete = "{on_delete}"')
    with pair(("sqlite", destination), tmp_path, text, ITEMS, items(3)) as shop:
        shop.sync()
        for name in ("a", "b", "c"):
            shop.source.execute("UPDATE items SET name = :name WHERE id = 1", name=name)
            shop.sync()
        shop.source.execute("DELETE FROM items WHERE id = 1")
        shop.sync()
        shop.source.execute("INSERT INTO items VALUES (1, 'd', 1)")
        shop.sync()
        shop.source.execute("UPDATE items SET name = 'e' WHERE id = 1")
        shop.sync()
        shop.run.resync("items")
        shop.settled()
        old = shop.rows("items_history", "_syncline_version", "id, name")
        assert old == [(1, name) for name in ("item 1", "a", "b", "c", "d")]
        shop.source.execute("ALTER TABLE items ADD COLUMN fresh INTEGER DEFAULT 7")
        shop.sync()
        shop.source.execute("UPDATE items SET fresh = 8 WHERE id = 2")
        shop.sync()
        old = shop.rows("items_history", "_syncline_version", "id, fresh")
        assert sorted(map(str, old[5:])) == ["(1, None)", "(2, 7)", "(2, None)", "(3, None)"]


def _people(*rows_: tuple[int, str | None, int | None]) -> list[str]:
    entered = [
        f"INSERT INTO people VALUES ({id_}, {_sql(phone)}, {_sql(age)})"
        for id_, phone, age in rows_
    ]
    return ["CREATE TABLE people (id INTEGER PRIMARY KEY, phone TEXT, age INTEGER)", *entered]


def _sql(value: object) -> str:
    return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def _phones(on_invalid: str) -> str:
    rule = 'type = { phone = "E164", region = ["US"] }'
    return table(f'[table.field.phone]\n{rule}\non_invalid = "{on_invalid}"', "people")


GOOD, E164 = "(650) 253-0000", "+16502530000"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "new", "changed"),
    [
        ("quarantine", None, (E164, 1)),
        ("blank", (None, 2), (None, 2)),
        ("keep-old", (None, 2), (E164, 2)),
    ],
)
def test_a_value_that_a_rule_refuses(
    policy: str, new: tuple[Any, ...] | None, changed: tuple[Any, ...], tmp_path: Path
) -> None:
    setup = _people((1, GOOD, 1), (2, "n/a", 2))
    with pair(LOCAL, tmp_path, _phones(policy), *setup) as shop:
        report = shop.sync()
        assert report.cleaned == {"E164": 1}
        assert (report.refused_count, report.refused[0].key) == (1, "2")
        found = {row[0]: row[1:] for row in shop.rows("people")}
        assert found == {1: (E164, 1)} | ({2: new} if new else {})
        shop.source.execute("UPDATE people SET phone = 'none', age = 2 WHERE id = 1")
        shop.sync()
        assert shop.rows("people")[0][1:] == changed
        held = {each.key: each for each in shop.run.quarantine()}
        assert set(held) == {"1", "2"}
        assert held["2"].original == "n/a"
        assert (held["2"].field, held["2"].rule, held["2"].tries) == ("phone", "E164", 1)
        verified = shop.run.verify()
        assert verified.quarantined == 2
        # Of rows that are all held, nothing can be said.
        assert verified.equal == (policy != "quarantine") == (not verified.unproven)
        assert verified.sides[0].partly == (0 if policy == "quarantine" else 2)
        shop.destination.execute("UPDATE people SET age = 9 WHERE id = 1")
        verified = shop.run.verify()
        assert verified.count == (0 if policy == "quarantine" else 1)
        shop.destination.execute(f"UPDATE people SET age = {changed[1]} WHERE id = 1")
        shop.source.execute(f"UPDATE people SET phone = '{GOOD}'")
        shop.sync()
        assert shop.held() == {}
        assert shop.rows("people") == [(1, E164, 2), (2, E164, 2)]
        shop.settled()


def test_a_value_may_stop_the_pipeline(tmp_path: Path) -> None:
    setup = _people((1, GOOD, 1), (2, "n/a", 2))
    with pair(LOCAL, tmp_path, _phones("stop"), *setup) as shop:
        with pytest.raises(PipelineStopped, match="people 2, phone: "):
            shop.sync()
        assert shop.rows("people") == []
        shop.source.execute("UPDATE people SET phone = NULL WHERE id = 2")
        shop.sync()
        shop.settled()


@pytest.mark.slow
@pytest.mark.parametrize("keys", ["", COMPARE, 'capture = { cursor = "id" }'])
def test_retry_looks_again_at_rows_in_quarantine(keys: str, tmp_path: Path) -> None:
    setup = _people((1, GOOD, 1), (2, "n/a", 2))
    with pair(LOCAL, tmp_path, _phones("quarantine"), *setup, source_keys=keys) as shop:
        assert shop.run.retry() == 0
        shop.sync()
        assert shop.run.retry() == 1
        shop.now += 1000
        report = shop.sync()
        assert report.refused_count == 1
        (entry,) = shop.run.quarantine()
        assert entry.tries == 2
        assert entry.first_seen < entry.last_seen
        shop.source.execute("UPDATE people SET phone = NULL WHERE id = 2")
        assert shop.run.retry() == 1
        shop.sync()
        assert shop.held() == {}


@pytest.mark.slow
def test_changed_rules_go_over_all_rows(tmp_path: Path) -> None:
    setup = _people((1, GOOD, 1), (2, "n/a", 2))
    with pair(LOCAL, tmp_path, _phones("quarantine"), *setup) as shop:
        shop.sync()
        shop.restart("")
        assert shop.sync().changed == 2
        assert shop.held() == {}
        assert shop.rows("people") == rows(shop.source, "people")
        shop.settled()


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["3", '"20%"'])
def test_too_many_refused_rows_stop_and_few_that_wait_do_not(limit: str, tmp_path: Path) -> None:
    bad: list[tuple[int, str | None, int | None]] = [(n, "n/a", n) for n in range(1, 13)]
    stop = f"stop_if_over = {limit}"
    with pair(LOCAL, tmp_path, _phones("quarantine"), *_people(*bad), pipeline=stop) as shop:
        for dry_run in (True, False):
            with pytest.raises(PipelineStopped, match="12 of 12 rows of the source were refused"):
                shop.run.sync(dry_run=dry_run)
        assert shop.rows("people") == []
        shop.source.execute(f"UPDATE people SET phone = '{GOOD}' WHERE id > 3")
        shop.source.execute("DELETE FROM people WHERE id = 1")
        assert shop.sync().refused_count == 2
        assert len(shop.rows("people")) == 9


@pytest.mark.slow
def test_rows_that_wait_for_others_never_stop_a_pipeline(tmp_path: Path) -> None:
    made = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'bad'))"
    setup = ("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)",)
    with pair(LOCAL, tmp_path, "", *setup, there=(made,), pipeline='stop_if_over = "30%"') as shop:
        for number in range(100):
            name = "bad" if number < 20 else "good"
            shop.source.execute("INSERT INTO items VALUES (:id, :name)", id=number, name=name)
        assert shop.sync().refused_count == 20
        for _ in range(2):
            assert shop.sync().refused_count == 0
        assert len(shop.held()) == 20


def test_a_rule_that_changes_a_key_lets_no_row_become_another(tmp_path: Path) -> None:
    text = table('[table.field.code]\nclean = ["collapse-space"]', "codes")
    setup = (
        "CREATE TABLE codes (code TEXT PRIMARY KEY, n INTEGER)",
        "INSERT INTO codes VALUES ('a', 1), (' a ', 2), ('b', 3)",
    )
    with pair(LOCAL, tmp_path, text, *setup, source_keys=COMPARE) as shop:
        for _ in range(3):
            shop.sync()
            assert shop.rows("codes", "n") == [("a", 1), ("b", 3)]
        assert shop.held() == {" a ": "type"}
        shop.settled()
