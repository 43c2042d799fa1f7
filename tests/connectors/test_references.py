"""Rows that refer to rows which come later, to rows of their own table, and in a circle: all arrive
in one pass."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from syncline.connectors import PipelineRun
from syncline.connectors.bookkeeping import quarantine
from syncline.connectors.database import rows as database_rows
from syncline.connectors.database.order import in_circles, parents_first
from syncline.connectors.one_way import reading
from syncline.connectors.two_way import replica

from .one_way_cases import KINDS, pair
from .two_sides import Side, empty
from .two_way_cases import assert_settled, field, pipeline_of, record_of, running

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


# Two ways


@contextmanager
def teams(
    kinds: tuple[str, str], folder: Path, *, null: str = ""
) -> Generator[tuple[Side, Side, PipelineRun]]:
    """A staff in two systems, in each under keys of its own."""
    names = ("crm", "accounting")
    boss = field("boss", ref="staff")
    record = record_of("staff", "staff", [field("name"), boss], *names)
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, kind in zip(names, kinds, strict=True):
            side = sides[name] = Side(name, kind, stack.enter_context(empty(kind, folder, name)))
            stack.callback(side.close)
            forced = null if name == "accounting" else ""
            side.create(
                f"CREATE TABLE staff (id {{autokey}}, name VARCHAR(9), boss INTEGER{forced})"
            )
        run = stack.enter_context(running(pipeline_of(sides, record)))
        yield sides["crm"], sides["accounting"], run


def hire(side: Side, bosses: dict[int, int | None]) -> None:
    for who, boss in bosses.items():
        side.execute(
            "INSERT INTO staff (id, name, boss) VALUES (:id, :name, :boss)",
            id=who,
            name=f"N{who}",
            boss=boss,
        )


def bosses_of(side: Side) -> dict[str, str | None]:
    rows = side.execute(
        "SELECT w.name, b.name FROM staff w LEFT JOIN staff b ON b.id = w.boss ORDER BY w.id"
    )
    return {row[0]: row[1] for row in rows}


def named(bosses: dict[int, int | None]) -> dict[str, str | None]:
    return {f"N{who}": f"N{boss}" if boss else None for who, boss in bosses.items()}


@pytest.fixture
def transactions_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "NOTES_AT_ONCE", 2)
    monkeypatch.setattr(replica, "RECORDS_AT_ONCE", 2)


CHAIN: dict[int, int | None] = {**{number: number + 1 for number in range(1, 10)}, 10: None}
CIRCLES: dict[int, int | None] = {1: 9, 2: 1, 3: None, 4: 8, 5: 3, 8: 4, 9: 2, 20: 1, 21: 21}


@pytest.mark.slow
@pytest.mark.usefixtures("transactions_of_two")
@pytest.mark.parametrize("bosses", [CHAIN, CIRCLES])
def test_two_systems_have_the_same_bosses_after_one_pass(
    bosses: dict[int, int | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bosses is CIRCLES:  # those of a circle go on in one transaction
        monkeypatch.setattr(quarantine, "MAX_RETRIED", len(CIRCLES))
    with teams(("sqlite", "sqlite"), tmp_path) as (crm, accounting, run):
        accounting.execute("INSERT INTO staff (id, name) VALUES (7, 'Other')")
        hire(crm, bosses)
        report = run.sync()
        for side in (crm, accounting):
            assert bosses_of(side) == named(bosses) | {"Other": None}
        assert (report.refused_count, run.quarantine()) == (0, [])
        assert_settled(run)


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
@pytest.mark.parametrize("bosses", [CHAIN, CIRCLES])
def test_on_servers_too(kind: str, bosses: dict[int, int | None], tmp_path: Path) -> None:
    with teams((kind, kind), tmp_path) as (crm, accounting, run):
        hire(crm, bosses)
        run.sync()
        assert bosses_of(crm) == bosses_of(accounting) == named(bosses)
        assert run.quarantine() == []
        assert_settled(run)


@pytest.mark.usefixtures("transactions_of_two")
def test_a_circle_that_cannot_be_empty_in_one_of_two_systems_waits(tmp_path: Path) -> None:
    bosses: dict[int, int | None] = {1: 2, 2: 1, 3: 1, 4: 4}
    with teams(("sqlite", "sqlite"), tmp_path, null=" NOT NULL") as (crm, accounting, run):
        hire(crm, bosses)
        run.sync()
        assert bosses_of(accounting) == {}
        assert {entry.rule for entry in run.quarantine()} == {"parent"}
        assert len(run.quarantine()) == 4
        accounting.execute("INSERT INTO staff (id, name, boss) VALUES (7, 'Chief', 7)")
        run.sync()
        (chief,) = crm.execute("SELECT id FROM staff WHERE name = 'Chief'")
        crm.execute("UPDATE staff SET boss = :chief WHERE id IN (1, 4)", chief=chief[0])
        run.sync()
        assert run.quarantine() == []
        wanted = {"N1": "Chief", "N2": "N1", "N3": "N1", "N4": "Chief", "Chief": "Chief"}
        assert bosses_of(accounting) == wanted
        assert_settled(run)


@pytest.mark.usefixtures("transactions_of_two")
def test_a_boss_who_is_nowhere_is_waited_for(tmp_path: Path) -> None:
    with teams(("sqlite", "sqlite"), tmp_path) as (crm, accounting, run):
        hire(crm, {1: 2, 2: 7, 3: None})
        report = run.sync()
        assert bosses_of(accounting) == {"N3": None}
        assert report.refused_count == 2
        hire(crm, {7: None})
        run.sync()
        assert bosses_of(accounting) == {"N1": "N2", "N2": "N7", "N3": None, "N7": None}
        assert_settled(run)


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
