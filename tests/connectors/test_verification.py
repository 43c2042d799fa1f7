"""Verification: every row of every side is accounted for, and only what is equal is called so."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from syncline.cleaning import FieldCleaner, Phone
from syncline.connectors import PipelineRun, verification
from syncline.connectors.verification import SideCount

from .one_way_cases import pair
from .two_sides import Side, empty
from .two_way_cases import PHONE, field, pipeline_of, record_of, running

LOCAL = ("sqlite", "sqlite")


@pytest.fixture(autouse=True)
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE", 2)


@contextmanager
def people(
    folder: Path, *fields: Any, **settings: Any
) -> Generator[tuple[Side, Side, PipelineRun]]:
    """A CRM and an accounting with empty tables of people."""
    record = record_of("person", "people", list(fields), match=("email",), **settings)
    with empty("sqlite", folder, "crm") as first, empty("sqlite", folder, "acc") as second:
        sides = {
            "crm": Side("crm", "sqlite", first),
            "accounting": Side("accounting", "sqlite", second),
        }
        for side in sides.values():
            side.create(
                "CREATE TABLE people (id {autokey}, email VARCHAR(400), name VARCHAR(40),"
                " phone VARCHAR(40))"
            )
        with running(pipeline_of(sides, record)) as run:
            yield sides["crm"], sides["accounting"], run
        for side in sides.values():
            side.close()


def table(name: str, text: str) -> str:
    return f'[[table]]\nname = "{name}"\n{text}\n'


def enter(side: Side, number: int, phone: str = PHONE) -> None:
    side.execute(
        "INSERT INTO people (email, name, phone) VALUES (:email, 'Jane', :phone)",
        email=f"{number}@x.org",
        phone=phone,
    )


def accounted(run: PipelineRun) -> dict[str, SideCount]:
    """The counts by system; every row is counted once."""
    return {side.system: side for side in run.verify().sides}


def phone(on_invalid: Any) -> Any:
    return field("phone", cleaner=FieldCleaner([Phone(["US"])], on_invalid))


def test_nothing_is_equal_to_nothing(tmp_path: Path) -> None:
    with people(tmp_path, field("email")) as (_, _, run):
        run.sync()
        verified = run.verify()
        assert verified.equal
        assert [side.rows for side in verified.sides] == [0, 0]


def test_rows_that_are_held_prove_nothing(tmp_path: Path) -> None:
    with people(tmp_path, field("email"), phone("quarantine")) as (crm, _, run):
        enter(crm, 1, "n/a")
        run.sync()
        verified = run.verify()
        assert (verified.count, verified.equal) == (0, False)
        assert [(side.system, side.held) for side in verified.unproven] == [("crm", {"E164": 1})]
        enter(crm, 2)
        run.sync()
        assert run.verify().equal


@pytest.mark.parametrize("column", ["name", "phone"])
def test_the_rest_of_a_row_that_keeps_an_old_value_is_compared(tmp_path: Path, column: str) -> None:
    fields = (field("email"), field("name"), phone("keep-old"))
    with people(tmp_path, *fields) as (crm, accounting, run):
        for number in range(3):
            enter(crm, number)
        run.sync()
        crm.execute("UPDATE people SET phone = 'n/a' WHERE email = '1@x.org'")
        run.sync()
        verified = run.verify()
        assert (verified.equal, verified.quarantined, verified.rows) == (True, 1, {"person": 3})
        assert [side.partly for side in verified.sides] == [1, 1]
        unnoted(accounting, f"UPDATE people SET {column} = 'spoilt' WHERE email = '1@x.org'")
        assert run.verify().count == (1 if column == "name" else 0)


def unnoted(side: Side, sql: str) -> None:
    """A change that no trigger sees."""
    with side.engine.begin() as connection:
        triggers = list(
            connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        )
        for name, _ in triggers:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        connection.exec_driver_sql(sql)
        for _, text in triggers:
            connection.exec_driver_sql(text)


def test_records_that_have_no_row_yet_are_told(tmp_path: Path) -> None:
    with people(tmp_path, field("email"), field("name")) as (crm, accounting, run):
        accounting.execute("CREATE UNIQUE INDEX one_name ON people (name)")
        for number in range(3):
            enter(crm, number)
        run.sync()
        counts = accounted(run)
        assert counts["crm"].held == {"database": 2}
        assert (counts["crm"].rows, counts["crm"].equal) == (3, 1)
        assert (counts["accounting"].rows, counts["accounting"].equal) == (1, 1)
        assert run.verify().quarantined == 2


def test_rows_without_a_usable_key_are_listed_and_counted(tmp_path: Path) -> None:
    record = record_of("code", "codes", [field("code"), field("name")])
    with empty("sqlite", tmp_path, "crm") as first, empty("sqlite", tmp_path, "acc") as second:
        sides = {
            "crm": Side("crm", "sqlite", first),
            "accounting": Side("accounting", "sqlite", second),
        }
        for side in sides.values():
            side.execute("CREATE TABLE codes (code TEXT PRIMARY KEY, name TEXT)")
        crm = sides["crm"]
        long = "x" * 300
        crm.execute("INSERT INTO codes VALUES ('a', 'A'), (:long, 'B'), (NULL, 'C')", long=long)
        with running(pipeline_of(sides, record)) as run:
            run.sync()
            held = {entry.key: entry.rule for entry in run.quarantine()}
            assert held == {"NULL": "key", f"{'x' * 59}…": "key"}
            verified = run.verify()
            assert (verified.equal, verified.quarantined, verified.rows) == (True, 2, {"code": 1})
            assert verified.sides[0].held == {"key": 2}
            crm.execute("UPDATE codes SET code = 'b' WHERE code = :long", long=long)
            crm.execute("DELETE FROM codes WHERE code IS NULL")
            run.sync()
            assert run.quarantine() == []
            assert run.verify().rows == {"code": 2}
        for side in sides.values():
            side.close()


def test_what_a_rule_leaves_alone_is_counted(tmp_path: Path) -> None:
    with people(tmp_path, field("email"), on_delete="mark") as (crm, accounting, run):
        for number in range(3):
            enter(crm, number)
        run.sync()
        crm.execute("DELETE FROM people WHERE id = 2")
        run.sync()
        counts = accounted(run)
        assert run.verify().equal
        assert (counts["crm"].rows, counts["crm"].ignored) == (2, 0)
        assert (counts["accounting"].rows, counts["accounting"].ignored) == (3, 1)
        accounting.execute("DELETE FROM people WHERE id = 1")
        assert accounted(run)["crm"].missing == 1


def test_a_value_that_cannot_be_read_is_equal_to_none(tmp_path: Path) -> None:
    with people(tmp_path, field("email"), field("name")) as (crm, accounting, run):
        for number in range(3):
            enter(crm, number)
        run.sync()
        for side in (crm, accounting):
            unnoted(side, "UPDATE people SET name = x'ff00' WHERE email = '1@x.org'")
        verified = run.verify()
        assert (verified.count, verified.equal) == (1, False)


def test_every_row_of_a_one_way_pipeline(tmp_path: Path) -> None:
    keys = table("t", '[table.field.phone]\ntype = "E164"\non_invalid = "keep-old"')
    setup = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, phone TEXT)",
        *(f"INSERT INTO t VALUES ({n}, 'n{n}', '{PHONE if n % 2 else 'n/a'}')" for n in range(9)),
        "CREATE TABLE k (code TEXT PRIMARY KEY)",
        f"INSERT INTO k VALUES ('a'), ('{'x' * 300}'), (NULL)",
    )
    with pair(LOCAL, tmp_path, keys, *setup) as shop:
        shop.sync()
        verified = shop.run.verify()
        assert verified.equal
        assert verified.quarantined == 5 + 2
        assert {(e.name, e.system): (e.rows, e.partly) for e in verified.sides} == {
            ("t", "source"): (9, 5),
            ("t", "destination"): (9, 5),
            ("k", "source"): (3, 0),
            ("k", "destination"): (1, 0),
        }
        shop.destination.execute("UPDATE t SET name = 'spoilt' WHERE id IN (0, 1)")
        shop.destination.execute("DELETE FROM t WHERE id = 2")
        shop.destination.execute("INSERT INTO t VALUES (20, 'more', NULL)")
        sides = {side.system: side for side in shop.run.verify().sides if side.name == "t"}
        assert (sides["source"].different, sides["source"].missing) == (2, 1)
        assert (sides["destination"].different, sides["destination"].missing) == (2, 1)
        assert all(side.rows == 9 for side in sides.values())


def test_rows_that_only_the_destination_keeps(tmp_path: Path) -> None:
    setup = ("CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)")
    for policy in ("mark", "ignore"):
        folder = tmp_path / policy
        folder.mkdir()
        with pair(LOCAL, folder, table("t", f'on_delete = "{policy}"'), *setup) as shop:
            shop.sync()
            shop.source.execute("DELETE FROM t WHERE id = 3")
            shop.sync()
            verified = shop.run.verify()
            assert verified.equal
            assert [(each.rows, each.ignored) for each in verified.sides] == [(2, 0), (3, 1)]
