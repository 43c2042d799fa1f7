"""Rows of two-way pipelines whose keys, or unique values, change places."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncline.connectors import PipelineRun

from .two_sides import Side, empty
from .two_way_cases import assert_settled, field, pipeline_of, record_of, running


@contextmanager
def people(
    kind: str, folder: Path, *, match: tuple[str, ...] = (), unique: str = ""
) -> Generator[tuple[Side, Side, PipelineRun]]:
    """Ann, Bob and Cyd in both systems."""
    record = record_of("person", "people", [field("name"), field("email")], match=match)
    with empty(kind, folder, "crm") as first, empty(kind, folder, "acc") as second:
        crm, accounting = Side("crm", kind, first), Side("accounting", kind, second)
        for side in (crm, accounting):
            side.create(
                f"CREATE TABLE people (id {{autokey}}, name VARCHAR(40), email VARCHAR(40){unique})"
            )
        crm.execute(
            "INSERT INTO people (name, email) VALUES ('Ann', 'a@x.org'), ('Bob', 'b@x.org'),"
            " ('Cyd', 'c@x.org')"
        )
        with running(pipeline_of({"crm": crm, "accounting": accounting}, record)) as run:
            run.sync()
            yield crm, accounting, run
        crm.close()
        accounting.close()


def seen(side: Side) -> list[tuple[str, str | None]]:
    return [
        (row[0], row[1]) for row in side.execute("SELECT name, email FROM people ORDER BY name")
    ]


@pytest.mark.parametrize("match", [(), ("email",)])
def test_a_row_under_another_key_is_the_same(match: tuple[str, ...], tmp_path: Path) -> None:
    with people("sqlite", tmp_path, match=match) as (crm, accounting, run):
        crm.execute("UPDATE people SET id = 77 WHERE name = 'Ann'")
        run.sync()
        crm.execute("UPDATE people SET name = 'Anna' WHERE id = 77")
        run.sync()
        assert seen(accounting) == [("Anna", "a@x.org"), ("Bob", "b@x.org"), ("Cyd", "c@x.org")]
        assert_settled(run)


def test_of_equal_rows_none_is_guessed(tmp_path: Path) -> None:
    with people("sqlite", tmp_path) as (crm, accounting, run):
        crm.execute("UPDATE people SET name = 'Ann', email = 'a@x.org'")
        run.sync()
        crm.execute("UPDATE people SET id = id + 100")
        run.sync(allow_deletes=True)
        assert seen(accounting) == [("Ann", "a@x.org")] * 3
        assert_settled(run)


# Unique values


KINDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.services),
    pytest.param("mariadb", marks=pytest.mark.services),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unique", [" UNIQUE", " NOT NULL UNIQUE"])
def test_two_swap_a_unique_value(kind: str, unique: str, tmp_path: Path) -> None:
    with people(kind, tmp_path, match=("name",), unique=unique) as (crm, accounting, run):
        for name, email in [("Ann", "tmp"), ("Bob", "a@x.org"), ("Ann", "b@x.org")]:
            crm.execute("UPDATE people SET email = :e WHERE name = :n", e=email, n=name)
        run.sync()
        assert seen(accounting) == [("Ann", "b@x.org"), ("Bob", "a@x.org"), ("Cyd", "c@x.org")]
        assert run.quarantine() == []
        assert_settled(run)


@pytest.mark.slow
def test_three_pass_a_unique_value_on(tmp_path: Path) -> None:
    with people("sqlite", tmp_path, match=("name",), unique=" UNIQUE") as (crm, accounting, run):
        new = {"Ann": "c@x.org", "Bob": "a@x.org", "Cyd": "b@x.org"}
        crm.execute("UPDATE people SET email = NULL")
        for name, email in new.items():
            crm.execute("UPDATE people SET email = :e WHERE name = :n", e=email, n=name)
        run.sync()
        assert seen(accounting) == list(new.items())
        assert run.quarantine() == []
        assert_settled(run)


def test_who_has_a_value_that_another_keeps_waits_alone(tmp_path: Path) -> None:
    with people("sqlite", tmp_path, match=("name",)) as (crm, accounting, run):
        accounting.execute("CREATE UNIQUE INDEX one ON people (email)")
        crm.execute("UPDATE people SET email = 'c@x.org' WHERE name = 'Ann'")
        crm.execute("UPDATE people SET email = 'new@x.org' WHERE name = 'Bob'")
        run.sync()
        assert seen(accounting) == [("Ann", "a@x.org"), ("Bob", "new@x.org"), ("Cyd", "c@x.org")]
        (held,) = run.quarantine()
        assert held.rule == "database"
        crm.execute("UPDATE people SET email = 'd@x.org' WHERE name = 'Cyd'")
        run.sync()
        assert seen(accounting)[0] == ("Ann", "c@x.org")
        assert_settled(run)
