"""Rows that refer to rows which come later, to rows of their own table, and in a circle: all arrive
in one pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.connectors.bookkeeping import quarantine
from syncline.connectors.database import rows as database_rows
from syncline.connectors.one_way import reading
from syncline.connectors.one_way.references import in_circles, parents_first

from .one_way_cases import KINDS, pair

STAFF = (
    "CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER{null},"
    " FOREIGN KEY (boss) REFERENCES staff (id))"
)
OPEN = STAFF.format(null="")
NOT_NULL = STAFF.format(null=" NOT NULL")


@pytest.fixture(autouse=True)
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 2)
    monkeypatch.setattr(reading, "FIRST_PAGE", 2)
    monkeypatch.setattr(database_rows, "KEYS_AT_ONCE", 2)
    monkeypatch.setattr(quarantine, "MAX_RETRIED", 2)


def staff(bosses: dict[int, int | None]) -> list[str]:
    """A source may have what its own foreign keys forbid for a moment."""
    rows = ", ".join(f"({who}, {boss or 'NULL'})" for who, boss in bosses.items())
    return [
        "CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER)",
        f"INSERT INTO staff VALUES {rows}",
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ddl", [OPEN, NOT_NULL])
def test_a_chain_of_bosses_arrives_in_one_pass(kind: str, ddl: str, tmp_path: Path) -> None:
    bosses: dict[int, int | None] = {number: number + 1 for number in range(1, 10)}
    bosses[10] = 10 if ddl == NOT_NULL else None
    with pair(("sqlite", kind), tmp_path, "", *staff(bosses), there=(ddl,)) as shop:
        report = shop.sync()
        assert shop.rows("staff") == list(bosses.items())
        assert (report.refused_count, shop.held()) == (0, {})
        shop.settled()


@pytest.mark.parametrize("kind", KINDS)
def test_bosses_in_a_circle(kind: str, tmp_path: Path) -> None:
    """They are written without, and filled in; who refers to them waits only until they are
    there."""
    bosses: dict[int, int | None] = {1: 9, 2: 1, 3: 3, 4: 8, 8: 4, 9: 2, 20: 1}
    with pair(("sqlite", kind), tmp_path, "", *staff(bosses), there=(OPEN,)) as shop:
        shop.sync()
        assert shop.rows("staff") == list(bosses.items())
        assert shop.held() == {}
        shop.settled()


def test_a_circle_that_cannot_be_empty_waits(tmp_path: Path) -> None:
    bosses: dict[int, int | None] = {1: 2, 2: 1, 3: 3, 4: 3}
    with pair(("sqlite", "sqlite"), tmp_path, "", *staff(bosses), there=(NOT_NULL,)) as shop:
        report = shop.sync()
        assert shop.rows("staff") == [(3, 3), (4, 3)]
        assert shop.held() == {"1": "parent", "2": "parent"}
        assert report.refused_count == 2
        shop.source.execute("UPDATE staff SET boss = 3 WHERE id = 1")
        shop.sync()
        assert shop.rows("staff") == [(1, 3), (2, 1), (3, 3), (4, 3)]
        shop.settled()


def test_who_waits_for_nobody_of_the_pipeline_stays_held(tmp_path: Path) -> None:
    bosses: dict[int, int | None] = {1: 2, 2: 7, 3: None}
    with pair(("sqlite", "sqlite"), tmp_path, "", *staff(bosses), there=(OPEN,)) as shop:
        shop.sync()
        assert shop.rows("staff") == [(3, None)]
        assert shop.held() == {"1": "parent", "2": "parent"}
        shop.source.execute("INSERT INTO staff VALUES (7, NULL)")
        shop.sync()
        assert shop.rows("staff") == [(1, 2), (2, 7), (3, None), (7, None)]
        shop.settled()


@pytest.mark.parametrize("kind", KINDS)
def test_tables_that_refer_to_each_other(kind: str, tmp_path: Path) -> None:
    plain = (
        "CREATE TABLE dept (id INTEGER PRIMARY KEY, head INTEGER)",
        "CREATE TABLE person (id INTEGER PRIMARY KEY, dept INTEGER NOT NULL)",
        *(f"INSERT INTO dept VALUES ({n}, {n})" for n in range(1, 6)),
        *(f"INSERT INTO person VALUES ({n}, {n})" for n in range(1, 6)),
    )
    person = (
        "CREATE TABLE person (id INTEGER PRIMARY KEY, dept INTEGER NOT NULL,"
        " FOREIGN KEY (dept) REFERENCES dept (id))"
    )
    circular: tuple[str, ...] = (
        plain[0],
        person,
        "ALTER TABLE dept ADD FOREIGN KEY (head) REFERENCES person (id)",
    )
    if kind == "sqlite":
        head = "CREATE TABLE dept (id INTEGER PRIMARY KEY, head INTEGER REFERENCES person (id))"
        circular = (head, person)
    with pair(("sqlite", kind), tmp_path, "", *plain, there=circular) as shop:
        shop.sync()
        assert shop.rows("dept") == shop.rows("person") == [(n, n) for n in range(1, 6)]
        assert shop.held() == {}
        shop.settled()


def test_an_order_for_a_chain_of_any_length() -> None:
    keys = [(number,) for number in range(20_000)]
    order = parents_first(keys, {(n,): [(n + 1,)] for n in range(20_000)})
    assert order == keys[::-1]
    circle = parents_first(keys[:3], {(0,): [(1,)], (1,): [(0,)]})
    assert circle == [(2,), (0,), (1,)]


def test_who_is_in_a_circle() -> None:
    node = [("staff", (number,)) for number in range(8)]
    waits = {0: [1], 1: [0], 2: [0], 3: [9], 4: [3, 5], 5: [4], 6: [6], 7: [6]}
    absent = ("staff", (9,))
    named = {
        node[who]: [absent if each == 9 else node[each] for each in parents]
        for who, parents in waits.items()
    }
    # 2 and 7 only refer to a circle; 3 waits for nobody that comes, and 4 and 5 with it.
    assert in_circles(named) == {node[0], node[1], node[6]}
