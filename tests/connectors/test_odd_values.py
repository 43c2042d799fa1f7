"""Values that a database holds and Python, or another database, has no place for: their row waits,
and all others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.connectors.database.values import Unreadable, canonical, reader, writer

from .one_way_cases import KINDS, pair
from .two_sides import shared_contacts, two_sides
from .two_way_cases import running


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_is_none_does_not_stop_others(kind: str, tmp_path: Path) -> None:
    with pair(
        ("sqlite", kind),
        tmp_path,
        "",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)",
        "INSERT INTO notes VALUES (1, 'fine'), (2, CAST(x'ff41' AS TEXT)), (3, 'also')",
    ) as it:
        it.sync()
        assert it.rows("notes") == [(1, "fine"), (3, "also")]
        assert it.held() == {"2": "type"}
        it.source.execute("UPDATE notes SET body = 'now' WHERE id = 2")
        it.sync()
        assert it.held() == {}
        it.settled()


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_dates_beyond_python_do_not_stop_others(kind: str, tmp_path: Path) -> None:
    with pair(
        ("postgresql", kind),
        tmp_path,
        "",
        "CREATE TABLE events (id int PRIMARY KEY, at timestamptz, plain timestamp, day date)",
        "INSERT INTO events VALUES (1, '2026-01-01Z', '2026-01-01', '2026-01-01'),"
        " (2, 'infinity', NULL, NULL), (3, NULL, '-infinity', NULL),"
        " (4, NULL, NULL, '0044-03-15 BC')",
    ) as it:
        it.sync()
        assert [row[0] for row in it.rows("events", columns="id")] == [1]
        assert it.held() == {"2": "type", "3": "type", "4": "type"}
        assert it.run.verify().equal


JSON = ['"5"', '"plain"', '"\\"quoted\\""', '{"b": [1, "5"], "a": null}', "5", "true", '""']
ODD_JSON = [
    "null",
    '{"n":123456789012345678901}',
    "[1.10]",
    "[1.0,-7]",
    '{"a":{"b":[1.10]},"c":"1.10"}',
]
BARE = ["9223372036854775808", "0.12345678901234567890123", "1.10", "1e400", "17"]


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_json_stays_what_it_is_to_the_last_digit(source: str, target: str, tmp_path: Path) -> None:
    type_ = {"sqlite": "JSON", "postgresql": "jsonb", "mariadb": "JSON"}[source]
    rows = ", ".join(f"({number}, '{text}')" for number, text in enumerate(JSON + ODD_JSON))
    if source == "mariadb":
        rows = rows.replace("\\", "\\\\")
    with pair(
        (source, target),
        tmp_path,
        "",
        f"CREATE TABLE docs (id integer PRIMARY KEY, doc {type_})",
        f"INSERT INTO docs VALUES {rows}".replace(":", "\\:"),
    ) as it:
        it.sync()
        assert it.held() == {}
        found = it.rows("docs", columns="doc" if target != "postgresql" else "doc::text")
        read = reader("json")
        assert [read(row[0]) for row in found] == [
            canonical(text, "json") for text in JSON + ODD_JSON
        ]
        it.settled()


def test_canonical_json_stays_what_it_is() -> None:
    for text in JSON + ODD_JSON:
        value = canonical(text, "json")
        assert canonical(value, "json") == value
        assert type(canonical(value, "json")) is type(value)
        for dialect in ("sqlite", "postgresql", "mysql"):
            assert reader("json")(writer("json", dialect)(value)) == value


def test_text_that_is_none_in_one_of_two_systems(tmp_path: Path) -> None:
    with two_sides("sqlite", "sqlite", tmp_path) as (crm, accounting):
        crm.execute(
            "INSERT INTO contacts (first_name, email) VALUES"
            " (CAST(x'ff41' AS TEXT), 'a@x.org'), ('Li', 'li@x.org')"
        )
        with running(shared_contacts(crm, accounting)) as run:
            run.sync()
            names = accounting.execute("SELECT full_name FROM customers")
            assert [row[0] for row in names] == ["Li"]
            (held,) = run.quarantine()
            assert (held.field, held.rule) == ("name", "type")


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_number_alone_is_json_to_the_last_digit_or_waits(kind: str, tmp_path: Path) -> None:
    """SQLite turns it into a number of its own."""
    rows = ", ".join(f"({number}, '{text}')" for number, text in enumerate(BARE))
    setup = (
        "CREATE TABLE docs (id integer PRIMARY KEY, doc json)",
        f"INSERT INTO docs VALUES {rows}",
    )
    with pair(("postgresql", kind), tmp_path, "", *setup) as it:
        it.sync()
        assert it.held() == (dict.fromkeys("0123", "type") if kind == "sqlite" else {})
        assert it.rows("docs")[-1][0] == 4
        it.settled()


def test_numbers_in_json_are_read_where_nothing_is_lost() -> None:
    assert canonical('{"a": [1, 1.5, -2, 1e3]}', "json") == {"a": [1, 1.5, -2, 1000]}
    assert canonical({"a": 1.5e20}, "json") == canonical('{"a":150000000000000000000}', "json")
    assert canonical("[1e999999999]", "json") == "[1e999999999]"
    assert canonical("[" + "9" * 20_000 + "]", "json") == "[" + "9" * 20_000 + "]"
    assert canonical('{"a": [1, 1.5, -2]}', "json") == {"a": [1, 1.5, -2]}
    assert canonical('"1.10 and 12345678901234567890"', "json") == '"1.10 and 12345678901234567890"'
    assert canonical('{"a": "1.10"}', "json") == {"a": "1.10"}
    for text in ("[NaN]", "[1.1, NaN]", "[-Infinity, 1.1]", "[" * 100_000 + "1.10"):
        read = reader("json")(text)
        assert isinstance(read, Unreadable), text[:20]


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_none_do_not_stop_others(kind: str, tmp_path: Path) -> None:
    with pair(
        ("postgresql", kind),
        tmp_path,
        "",
        "CREATE TABLE amounts (id int PRIMARY KEY, exact numeric, near double precision)",
        "INSERT INTO amounts VALUES (1, 1, 1), (2, 'NaN', 1), (3, 'Infinity', 1), (4, 1, 'NaN'),"
        " (5, 1, '-Infinity'), (6, 2.5, 2.5)",
    ) as it:
        it.sync()
        assert [row[0] for row in it.rows("amounts", columns="id")] == [1, 6]
        assert it.held() == dict.fromkeys("2345", "type")
        it.source.execute("UPDATE amounts SET exact = 3, near = 3 WHERE id BETWEEN 2 AND 5")
        it.sync()
        assert it.held() == {}
        it.settled()
