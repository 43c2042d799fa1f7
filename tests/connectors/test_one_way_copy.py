"""Copies of whole tables: every type of value, odd keys, a real shop, and rows that do not fit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from syncline.connectors import verification
from syncline.connectors.file.spec import SystemSpec
from syncline.connectors.one_way import reading
from syncline.engine.errors import PipelineStopped, SystemRefused

from .one_way_cases import ITEMS, KINDS, Pair, items, pair, pipeline_of, rows, two_databases
from .two_sides import Side

CHINOOK = Path(__file__).parents[3] / "shared" / "data" / "chinook.sqlite"
COMPARE = 'capture = "compare"'

_TYPES = {
    "sqlite": (
        "CREATE TABLE things (id INTEGER PRIMARY KEY, amount NUMERIC(20, 6), at DATETIME, day DATE,"
        " clock TIME, data BLOB, doc JSON, flag BOOLEAN, ratio DOUBLE, big BIGINT, words TEXT)"
    ),
    "postgresql": (
        "CREATE TABLE things (id INTEGER PRIMARY KEY, amount NUMERIC(20, 6), at TIMESTAMPTZ,"
        " day DATE, clock TIME, data BYTEA, doc JSONB, flag BOOLEAN, ratio DOUBLE PRECISION,"
        " big BIGINT, words TEXT, number UUID)"
    ),
    "mariadb": (
        "CREATE TABLE things (id INTEGER PRIMARY KEY, amount DECIMAL(20, 6), at DATETIME(6),"
        " day DATE, clock TIME(6), data LONGBLOB, doc JSON, flag BOOLEAN, ratio DOUBLE, big BIGINT,"
        " words LONGTEXT) CHARACTER SET utf8mb4"
    ),
}
_LONG = "long \N{GRINNING FACE} " * 200_000


def _enter(side: Side, kind: str) -> None:
    """Things with values of every type, most of them odd."""
    zone = "+05:30" if kind == "postgresql" else ""
    side.execute("INSERT INTO things (id) VALUES (1)")
    side.execute(
        "INSERT INTO things (id, amount, at, day, clock, data, doc, flag, ratio, big, words)"
        " VALUES (2, :amount, :at, :day, :clock, :data, :doc, :flag, :ratio, :big, :words)",
        amount="-12345678.900000",
        at=f"2024-02-29 23:59:59.123456{zone}",
        day="1999-12-31",
        clock="23:59:59.5",
        data=bytes(range(256)),
        doc='{"b": [1, 2.5, null, true], "a": {"\N{SNOWMAN}": "\\""}}',
        flag=True,
        ratio=0.1 + 0.2,
        big=-(1 << 63),
        words="\N{GRINNING FACE} \\N \t\r\n'\"%s :x {{}} \x01",
    )
    side.execute(
        "INSERT INTO things (id, data, doc, flag, words) VALUES (3, :data, :doc, :flag, :words)",
        data=b"",
        doc="[]",
        flag=False,
        words="",
    )
    side.execute("INSERT INTO things (id, words) VALUES (4, :words)", words=_LONG)
    if kind == "postgresql":
        side.execute("UPDATE things SET number = '12345678-1234-5678-1234-567812345678' WHERE id=2")


@pytest.mark.slow
@pytest.mark.parametrize("destination", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_values_of_every_type_arrive(source: str, destination: str, tmp_path: Path) -> None:
    kinds = (source, destination)
    with pair(kinds, tmp_path, "", _TYPES[source], source_keys=COMPARE) as shop:
        _enter(shop.source, source)
        report = shop.sync()
        assert report.refused == []
        assert report.changed == 4
        shop.settled()
        found = shop.rows("things", columns="id, words")
        assert found == rows(shop.source, "things", columns="id, words")
        at = str(shop.rows("things", columns="at")[1][0])
        expected = "2024-02-29 18:29:59" if source == "postgresql" else "2024-02-29 23:59:59"
        assert at.startswith(expected)
        shop.source.execute("UPDATE things SET words = NULL, amount = 0.1 WHERE id > 1")
        shop.source.execute("DELETE FROM things WHERE id = 1")
        assert shop.sync().changed == 4
        shop.settled()


_KEYS = ["a", "A", "a ", " a", "\u00e9", "e\u0301", "\N{GRINNING FACE}", "", "a/b", '"', "x" * 200]


@pytest.mark.slow
@pytest.mark.parametrize("destination", KINDS)
def test_text_keys_that_differ_a_little_are_several(destination: str, tmp_path: Path) -> None:
    """MariaDB takes keys that differ in spaces at their end for one: the second is held."""
    table = "CREATE TABLE words (word VARCHAR(250), n INTEGER, at INTEGER, PRIMARY KEY (word, n))"
    with pair(("sqlite", destination), tmp_path, "", table) as shop:
        for number, word in enumerate(_KEYS):
            shop.source.execute("INSERT INTO words VALUES (:word, 1, :at)", word=word, at=number)
        shop.sync()
        held = ["a /1"] if destination == "mariadb" else []
        assert list(shop.held()) == held
        assert len(shop.rows("words", "at")) == len(_KEYS) - len(held)
        shop.settled()
        shop.source.execute("UPDATE words SET at = at + 100")
        shop.sync()
        shop.source.execute("DELETE FROM words WHERE word = 'a '")
        shop.sync()
        assert shop.held() == {}
        shop.source.execute("DELETE FROM words WHERE word = 'a'")
        shop.source.execute("UPDATE words SET word = 'b' WHERE word = 'A'")
        shop.sync()
        shop.settled()
        found = {(word, at) for word, _, at in shop.rows("words", "at")}
        assert found == {(word, at) for word, _, at in rows(shop.source, "words", "at")}


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("capture", ["triggers", "compare"])
def test_a_key_with_nul_waits_alone_where_the_database_has_no_such_text(
    capture: str, tmp_path: Path
) -> None:
    table = "CREATE TABLE words (word TEXT PRIMARY KEY, at INTEGER, more TEXT)"
    keys = f'capture = "{capture}"'
    with pair(("sqlite", "postgresql"), tmp_path, "", table, source_keys=keys) as shop:
        shop.source.execute("INSERT INTO words VALUES ('a', 1, NULL), ('b', 2, NULL)")
        shop.sync()
        shop.source.execute("INSERT INTO words VALUES (:word, 3, '')", word="n\0l")
        shop.source.execute("INSERT INTO words VALUES ('d', 4, :more)", more="n\0l")
        shop.source.execute("INSERT INTO words VALUES ('e', 5, NULL)")
        shop.sync()
        assert shop.held() == {"n\0l": "type", "d": "database"}
        assert [word for word, _, _ in shop.rows("words", "at")] == ["a", "b", "e"]
        shop.settled()
        shop.source.execute("DELETE FROM words WHERE at = 3")
        shop.source.execute("UPDATE words SET more = 'well' WHERE at = 4")
        shop.sync()
        shop.run.resync("words")
        shop.sync()
        assert shop.held() == {}
        shop.settled()


def test_rows_that_sqlite_lets_be_of_other_types_wait(tmp_path: Path) -> None:
    table = "CREATE TABLE t (id INT PRIMARY KEY, age INTEGER, at DATETIME)"
    with pair(("sqlite", "sqlite"), tmp_path, "", table, source_keys=COMPARE) as shop:
        shop.source.execute("INSERT INTO t VALUES (1, 1, NULL), (2, 'old', NULL), (3, 3, 'soon')")
        shop.source.execute(
            "INSERT INTO t VALUES ('key', 4, NULL), (NULL, 5, NULL), (1.5, 6, NULL)"
        )
        report = shop.sync()
        unusable = {"key": "key", "NULL": "key", "1.5": "key"}
        assert shop.held() == {"2": "type", "3": "type"} | unusable
        assert "3 rows of t have a primary key that is empty, too long" in report.notices[0]
        assert shop.rows("t") == [(1, 1, None)]
        shop.source.execute("UPDATE t SET age = 2, at = '2024-01-01' WHERE id IN (2, 3)")
        assert shop.sync().changed == 2
        assert shop.held() == unusable
        shop.settled()
        assert shop.run.verify().sides[0].held == {"key": 3}
        shop.source.execute("DELETE FROM t WHERE id = 'key'")
        shop.source.execute("UPDATE t SET id = 7 WHERE id IS NULL")
        shop.sync()
        assert shop.held() == {"1.5": "key"}


@pytest.mark.slow
def test_many_rows_without_a_readable_key_end_no_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 10)
    monkeypatch.setattr(reading, "FIRST_PAGE", 4)
    monkeypatch.setattr(verification, "PAGE", 4)
    table = "CREATE TABLE t (id INT PRIMARY KEY)"
    with pair(("sqlite", "sqlite"), tmp_path, "", table, source_keys=COMPARE) as shop:
        for number in range(9):
            shop.source.execute("INSERT INTO t VALUES (:id)", id=number)
            shop.source.execute("INSERT INTO t VALUES (:id)", id=f"text {number}")
        shop.sync()
        assert len(shop.rows("t")) == 9
        assert shop.sync().changed == 0
        for number in range(9):
            shop.source.execute("INSERT INTO t VALUES (:id)", id=f"more {number}")
        with pytest.raises(SystemRefused, match="have no readable primary key"):
            shop.sync()
        verified = shop.run.verify()
        assert verified.unproven
        assert not verified.equal
        assert [side.rows for side in verified.sides] == [27, 9]


@pytest.mark.parametrize("size", [1, 3])
def test_pages_of_any_size_make_the_same_copy(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", size)
    monkeypatch.setattr(reading, "FIRST_PAGE", size)
    with pair(("sqlite", "sqlite"), tmp_path, "", ITEMS, items(9)) as shop:
        done: list[int] = []

        def note(_: str, copied: int, total: int | None) -> None:
            done.append(copied)

        shop.sync(progress=note)
        assert done[-1] == 9
        assert len(done) == 9 // size + 1
        shop.settled()


def test_pages_of_large_rows_are_small() -> None:
    small = [{"id": number, "text": "x" * 10, "doc": {"a": 1}} for number in range(500)]
    large = [{"id": number, "text": "x" * 4_000_000, "doc": None} for number in range(2)]
    assert reading.page_size(small) == reading.PAGE
    assert reading.page_size(large) == 4
    assert reading.page_size([]) == reading.PAGE


@pytest.mark.slow
def test_a_table_with_rows_of_its_own_is_not_touched_by_a_first_copy(tmp_path: Path) -> None:
    there = (ITEMS, "INSERT INTO items VALUES (1, 'ours', 1), (77, 'ours', 1), (78, 'ours', 1)")
    with pair(("sqlite", "sqlite"), tmp_path, "", ITEMS, items(3), there=there) as shop:
        before = shop.rows("items")
        with pytest.raises(PipelineStopped, match="has 2 rows that the source does not have"):
            shop.run.sync(dry_run=True)
        for _ in range(2):
            with pytest.raises(PipelineStopped, match="this is the first copy"):
                shop.sync()
            assert shop.rows("items") == before
        assert shop.sync(allow_deletes=True).flow("items", "items").deleted == 2
        assert shop.rows("items") == rows(shop.source, "items")


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_music_shop_is_copied_and_followed(kind: str, tmp_path: Path) -> None:
    if not CHINOOK.exists():
        pytest.skip("the sample database is not there")
    with two_databases(("sqlite", kind), tmp_path) as (source, destination):
        shutil.copyfile(CHINOOK, tmp_path / "src.db")
        shop = Pair(source, destination, pipeline_of(source, destination))
        report = shop.sync()
        assert report.changed == 15_607
        assert report.refused == []
        shop.settled()
        source.execute("UPDATE Customer SET Phone = '+1 650 253 0000' WHERE CustomerId <= 3")
        source.execute("DELETE FROM InvoiceLine WHERE InvoiceId = 1")
        source.execute("INSERT INTO Genre VALUES (26, 'Fado')")
        source.execute("ALTER TABLE Track ADD COLUMN Rating INTEGER DEFAULT 5")
        source.execute("UPDATE Track SET Rating = 1 WHERE TrackId = 1")
        report = shop.sync()
        assert report.flow("Track", "Track").updated == 3_503
        assert report.changed == 3_503 + 3 + 2 + 1
        quote = destination.engine.dialect.identifier_preparer.quote
        rated = destination.execute(
            f"SELECT {quote('Rating')}, count(*) FROM {quote('Track')} GROUP BY 1 ORDER BY 1"
        )
        assert [tuple(row) for row in rated] == [(1, 1), (5, 3_502)]
        shop.settled()
        shop.close()


# What the destination's database does not take


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_the_destination_refuses_wait_until_their_cause_is_gone(
    kind: str, tmp_path: Path
) -> None:
    there = (
        "CREATE TABLE parents (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)",
        (
            "CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER,"
            " email VARCHAR(40) UNIQUE, FOREIGN KEY (parent) REFERENCES parents (id))"
        ),
    )
    setup = (
        "CREATE TABLE parents (id INTEGER PRIMARY KEY, name VARCHAR(40))",
        "CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER, email VARCHAR(40))",
        "INSERT INTO parents VALUES (1, 'one'), (2, NULL), (3, 'three')",
        "INSERT INTO children VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'a'), (4, 3, 'd')",
    )
    with pair(("sqlite", kind), tmp_path, "", *setup, there=there) as shop:
        shop.sync()
        held = {(each.table, each.key): each for each in shop.run.quarantine()}
        assert {name: each.rule for name, each in held.items()} == {
            ("parents", "2"): "database",
            ("children", "2"): "parent",
            ("children", "3"): "database",
        }
        assert "It refers to a row that is not there" in held["children", "2"].message
        assert "The database did not take it" in held["parents", "2"].message
        assert shop.rows("children", columns="id") == [(1,), (4,)]
        shop.settled()
        shop.source.execute("UPDATE parents SET name = 'two' WHERE id = 2")
        shop.source.execute("UPDATE children SET email = 'first' WHERE id = 1")
        shop.sync()
        assert shop.held() == {}
        assert shop.rows("children") == rows(shop.source, "children")
        shop.settled()
        # A key and a unique value move at once, and parents go with their children.
        shop.source.execute("UPDATE children SET id = 9 WHERE id = 4")
        shop.source.execute("DELETE FROM children WHERE parent = 2")
        shop.source.execute("DELETE FROM parents WHERE id = 2")
        shop.sync()
        assert shop.held() == {}
        shop.settled()


@pytest.mark.services
@pytest.mark.slow
def test_a_deadlock_at_the_destination_is_no_refused_row(tmp_path: Path) -> None:
    table = "CREATE TABLE items (id INTEGER PRIMARY KEY, name VARCHAR(40))"
    with pair(("sqlite", "mariadb"), tmp_path, "", table) as shop:
        shop.source.execute("INSERT INTO items VALUES (1, 'a'), (2, 'b')")
        shop.sync()
        shop.source.execute("UPDATE items SET name = 'new'")
        asked = 0

        def deadlock(_: Any, cursor: Any, statement: str, *__: Any) -> None:
            nonlocal asked
            if "ON DUPLICATE" in statement and not asked:
                asked += 1
                cursor.execute("ROLLBACK")  # as InnoDB does it
                cursor.execute("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")

        event.listen(shop.run.systems["destination"].engine, "before_cursor_execute", deadlock)
        assert list(shop.run.sync().waiting) == ["destination"]
        assert asked == 1
        assert shop.run.pending() == {"source": 2}
        assert shop.sync().changed == 2
        assert shop.held() == {}
        shop.settled()


@pytest.mark.services
@pytest.mark.slow
def test_a_right_that_is_missing_stops_and_is_no_row_s(tmp_path: Path) -> None:
    with pair(("sqlite", "postgresql"), tmp_path, "", ITEMS, items(3)) as shop:
        shop.sync()
        role = sa.make_url(shop.destination.spec.url).database
        shop.destination.execute(f"CREATE ROLE {role} LOGIN")
        try:
            shop.destination.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
            shop.destination.execute(f"REVOKE UPDATE ON items FROM {role}")
            url = sa.make_url(shop.destination.spec.url).set(username=role)
            spec = SystemSpec("destination", url.render_as_string(hide_password=False))
            systems = {**shop.pipeline.systems, "destination": spec}
            shop.pipeline = replace(shop.pipeline, systems=systems)
            shop.restart()
            shop.source.execute("UPDATE items SET name = 'x'")
            with pytest.raises(SystemRefused, match="permission denied for table items"):
                shop.sync()
            assert shop.held() == {}
            shop.destination.execute(f"GRANT UPDATE ON items TO {role}")
            assert shop.sync().changed == 3
            shop.run.close()
        finally:
            shop.destination.execute(f"DROP OWNED BY {role}")
            shop.destination.execute(f"DROP ROLE {role}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "entered", "there", "held"),
    [
        ("id TEXT PRIMARY KEY", "('1'), ('01'), ('x')", "id INTEGER PRIMARY KEY", {"01", "x"}),
        ("id TEXT PRIMARY KEY, n INT", "('1', 1), ('b', 2)", "id INT PRIMARY KEY, n INT", {"b"}),
    ],
)
def test_rows_whose_key_would_change_wait(
    table: str, entered: str, there: str, held: set[str], tmp_path: Path
) -> None:
    made = (f"CREATE TABLE t ({there})",)
    setup = (f"CREATE TABLE t ({table})", f"INSERT INTO t VALUES {entered}")
    with pair(("sqlite", "sqlite"), tmp_path, "", *setup, there=made) as shop:
        shop.sync()
        assert set(shop.held()) == held
        shop.settled()
        shop.source.execute("DELETE FROM t WHERE id IN ('01', 'x', 'b')")
        shop.sync()
        shop.run.resync("t")
        shop.sync()
        assert shop.held() == {}
        shop.settled()


def test_a_destination_with_another_key_is_refused(tmp_path: Path) -> None:
    there = ("CREATE TABLE items (id INTEGER, name VARCHAR(80) PRIMARY KEY, price NUMERIC)",)
    with (
        pair(("sqlite", "sqlite"), tmp_path, "", ITEMS, items(1), there=there) as shop,
        pytest.raises(SystemRefused, match="The primary key of items is name, and that of items"),
    ):
        shop.sync()


@pytest.mark.services
@pytest.mark.slow
def test_numbers_that_the_destination_would_round_wait(tmp_path: Path) -> None:
    table = "CREATE TABLE t (id INTEGER PRIMARY KEY, amount NUMERIC)"
    entered = (
        "INSERT INTO t VALUES (1, 1234567890.123456789012), (2, 1234567890123456789), (3, 1.5)"
    )
    with pair(("postgresql", "sqlite"), tmp_path, "", table, entered, source_keys=COMPARE) as shop:
        shop.sync()
        assert shop.held() == {"1": "type"}
        shop.settled()
