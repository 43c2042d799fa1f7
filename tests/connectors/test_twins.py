"""Rows that are one record by the match rule, in whatever order they came: one row each in all.

A table is known to lack a record when all of its rows have been looked at.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.connectors import PipelineRun
from syncline.connectors.two_way import capture, replica
from tests.profiles import scaled

from .two_sides import Side, empty
from .two_way_cases import field, pipeline_of, record_of, running

SYSTEMS = ("crm", "accounting", "support")
PEOPLE = "CREATE TABLE people (id {autokey}, name VARCHAR(40), email VARCHAR(40)%s)"

lists = st.lists(st.integers(0, 7), max_size=8, unique=True)


@contextmanager
def systems(
    number: int, folder: Path, *, unique: bool, kind: str = "sqlite"
) -> Generator[tuple[list[Side], PipelineRun]]:
    """So many systems with an empty table of people, and a pipeline that keeps them the same."""
    names = SYSTEMS[:number]
    record = record_of(
        "person", "people", [field("name"), field("email")], *names, match=("email",)
    )
    with ExitStack() as stack:
        sides: list[Side] = []
        for name in names:
            url = stack.enter_context(empty(kind, folder, name))
            sides.append(Side(name, kind, url))
            stack.callback(sides[-1].close)
            sides[-1].create(PEOPLE % (" UNIQUE" if unique else ""))
        pipeline = pipeline_of({side.name: side for side in sides}, record)
        yield sides, stack.enter_context(running(pipeline))


def enter(side: Side, people: Sequence[int]) -> None:
    for number in people:
        side.execute(
            "INSERT INTO people (name, email) VALUES (:name, :email)",
            name=f"Name {number}",
            email=f"{number}@x.org",
        )


def emails(side: Side) -> list[str]:
    return [email for (email,) in side.execute("SELECT email FROM people ORDER BY email")]


def assert_each_once(sides: Sequence[Side], run: PipelineRun, people: set[int]) -> None:
    wanted = sorted(f"{number}@x.org" for number in people)
    for side in sides:
        assert emails(side) == wanted
    assert run.quarantine() == []
    verified = run.verify()
    assert verified.equal
    assert verified.rows == {"person": len(people)}


def test_a_row_that_has_become_an_older_record_is_the_twin_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third system's copy of a person arrives with the first one's, in one page."""
    monkeypatch.setattr(replica, "NOTES_AT_ONCE", 2)
    monkeypatch.setattr(replica, "RECORDS_AT_ONCE", 2)
    with systems(3, tmp_path, unique=False) as (sides, run):
        for side, people in zip(sides, ([0, 1, 2], [0, 1, 2], [0, 1, 3, 2]), strict=True):
            enter(side, people)
        run.sync()
        assert_each_once(sides, run, {0, 1, 2, 3})


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("number", [2, 3])
@settings(max_examples=scaled(30), deadline=None)
@given(data=st.data())
def test_in_pages_of_two(number: int, unique: bool, data: st.DataObject) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        systems(number, Path(folder), unique=unique) as (sides, run),
    ):
        patch.setattr(replica, "NOTES_AT_ONCE", 2)
        patch.setattr(replica, "RECORDS_AT_ONCE", 2)
        people: set[int] = set()
        for _ in range(2):
            for side in sides:
                there = {int(email.partition("@")[0]) for email in emails(side)}
                enter(side, new := [each for each in data.draw(lists) if each not in there])
                people.update(new)
            run.sync()
            assert_each_once(sides, run, people)


@pytest.mark.slow
def test_three_have_the_same_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row becomes the record of the second, and in the same transaction is found by the third."""
    monkeypatch.setattr(replica, "NOTES_AT_ONCE", 2)
    monkeypatch.setattr(replica, "RECORDS_AT_ONCE", 2)
    with systems(3, tmp_path, unique=True) as (sides, run):
        for side, number in zip(sides, (8, 8, 7), strict=True):
            enter(side, range(number))
        run.sync()
        assert_each_once(sides, run, set(range(8)))


@pytest.mark.long
@pytest.mark.parametrize("unique", [False, True])
def test_in_more_rows_than_a_real_page(tmp_path: Path, unique: bool) -> None:
    count = replica.NOTES_AT_ONCE + replica.NOTES_AT_ONCE // 4
    with systems(2, tmp_path, unique=unique) as (sides, run):
        for seed, side in enumerate(sides):
            people = list(range(seed * 50, count + seed * 50))
            random.Random(seed).shuffle(people)
            with side.engine.begin() as connection:
                connection.exec_driver_sql(
                    "INSERT INTO people (name, email) VALUES (?, ?)",
                    [(f"Name {each}", f"{each}@x.org") for each in people],
                )
        run.sync()
        assert_each_once(sides, run, set(range(count + 50)))
        report = run.sync()
        assert report.looked_at == 0


@pytest.mark.slow
def test_both_import_a_list_while_they_are_in_step(tmp_path: Path) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        systems(3, tmp_path, unique=False) as (sides, run),
    ):
        patch.setattr(replica, "NOTES_AT_ONCE", 2)
        patch.setattr(replica, "RECORDS_AT_ONCE", 2)
        enter(sides[0], range(5))
        run.sync()
        for seed, side in enumerate(sides):
            people = list(range(5, 25))
            random.Random(seed).shuffle(people)
            enter(side, people)
        run.sync()
        assert_each_once(sides, run, set(range(25)))


def test_who_enters_it_at_the_same_moment(tmp_path: Path) -> None:
    """The row that the pass inserted goes: nobody has changed it, and the user's stays."""
    with systems(2, tmp_path, unique=False) as (sides, run):
        crm, accounting = sides
        enter(crm, [1, 2])
        run.sync()
        enter(accounting, [1])
        run.sync()
        assert_each_once(sides, run, {1, 2})
        # A second one is another: it was entered by somebody who had one already.
        enter(accounting, [1])
        run.sync()
        assert emails(crm) == emails(accounting) == ["1@x.org", "1@x.org", "2@x.org"]


def test_who_enters_it_later_means_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "SAME_MOMENT_MS", -60_000)
    with systems(2, tmp_path, unique=False) as (sides, run):
        crm, accounting = sides
        enter(crm, [1])
        run.sync()
        enter(accounting, [1])
        run.sync()
        assert emails(crm) == emails(accounting) == ["1@x.org", "1@x.org"]


def test_a_row_that_others_refer_to_stays(tmp_path: Path) -> None:
    with systems(2, tmp_path, unique=False) as (sides, run):
        crm, accounting = sides
        enter(crm, [1])
        run.sync()
        accounting.create(
            "CREATE TABLE orders (id {autokey}, person INTEGER NOT NULL REFERENCES people (id))"
        )
        accounting.execute("INSERT INTO orders (person) SELECT id FROM people")
        enter(accounting, [1])
        run.sync()
        assert emails(crm) == emails(accounting) == ["1@x.org", "1@x.org"]
        assert accounting.execute("SELECT email FROM orders JOIN people ON people.id = person") == [
            ("1@x.org",)
        ]
