"""The fault of one row, or of one table, is its own: all others go on."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest

from .one_way_cases import pair
from .two_sides import Side, empty, shared_contacts, two_sides
from .two_way_cases import (
    OTHER_PHONE,
    PHONE,
    assert_settled,
    contacts,
    customers,
    edit_contact,
    enter_contact,
    enter_three,
    field,
    pipeline_of,
    record_of,
    running,
)


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_keys_beyond_64_bits(kind: str, tmp_path: Path) -> None:
    setup = (
        "CREATE TABLE u (id bigint unsigned PRIMARY KEY, v int)",
        "INSERT INTO u VALUES (1, 1), (18446744073709551615, 2), (9223372036854775808, 3)",
        "CREATE TABLE z (id int PRIMARY KEY)",
        "INSERT INTO z VALUES (1)",
    )
    with pair(("mariadb", kind), tmp_path, "", *setup) as shop:
        shop.sync()
        assert set(shop.held()) == {"18446744073709551615", "9223372036854775808"}
        shop.source.execute("INSERT INTO z VALUES (2)")
        shop.source.execute("UPDATE u SET v = 9")
        shop.sync()
        assert shop.rows("z") == [(1,), (2,)]
        assert shop.rows("u") == [(1, 9)]
        shop.source.execute("DELETE FROM u WHERE id > 1")
        shop.sync()
        assert shop.held() == {}
        shop.settled()


@pytest.mark.services
@pytest.mark.slow
def test_a_table_that_cannot_be_made_holds_up_no_other(tmp_path: Path) -> None:
    setup = (
        "CREATE TABLE a_first (id int PRIMARY KEY)",
        "INSERT INTO a_first VALUES (1)",
        "CREATE TABLE keys4 (a text, b text, c text, d text, PRIMARY KEY (a, b, c, d))",
        "CREATE TABLE z_last (id int PRIMARY KEY)",
        "INSERT INTO z_last VALUES (1)",
    )
    with pair(("postgresql", "mariadb"), tmp_path, "", *setup) as shop:
        (finding,) = [each for each in shop.run.check() if each.problem]
        assert "cannot have keys4: its key would have 4,080 bytes" in finding.message
        report = shop.sync()
        assert shop.rows("a_first") == shop.rows("z_last") == [(1,)]
        assert list(report.left_out) == ["keys4"]
        shop.source.execute("INSERT INTO z_last VALUES (2)")
        shop.sync()
        assert shop.rows("z_last") == [(1,), (2,)]
        verified = shop.run.verify()
        assert (verified.count, verified.equal, list(verified.left_out)) == (0, False, ["keys4"])


@pytest.mark.services
def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    setup = (
        'CREATE TABLE "User" (id int PRIMARY KEY)',
        'CREATE TABLE "user" (id int PRIMARY KEY)',
        "CREATE TABLE z_last (id int PRIMARY KEY)",
        "INSERT INTO z_last VALUES (1)",
    )
    with pair(("postgresql", "sqlite"), tmp_path, "", *setup) as shop:
        found = [each.message for each in shop.run.check() if each.problem]
        assert found == [
            "The destination cannot have User: SQLite takes User and user for one name.",
            "The destination cannot have user: SQLite takes user and User for one name.",
        ]
        report = shop.sync()
        assert len(report.left_out) == 1
        assert shop.rows("z_last") == [(1,)]


GENERATED = "whole VARCHAR(80) GENERATED ALWAYS AS (first || ' ' || last) STORED"


@pytest.mark.parametrize("owner", [None, "crm"])
def test_a_generated_column_is_only_read(tmp_path: Path, owner: str | None) -> None:
    fields = [field("first"), field("last"), field("whole", owner=owner)]
    record = record_of("person", "people", fields, match=("first",))
    with empty("sqlite", tmp_path, "crm") as first, empty("sqlite", tmp_path, "acc") as second:
        crm, accounting = Side("crm", "sqlite", first), Side("accounting", "sqlite", second)
        names = "first VARCHAR(40), last VARCHAR(40)"
        crm.create(f"CREATE TABLE people (id {{autokey}}, {names}, {GENERATED})")
        accounting.create(f"CREATE TABLE people (id {{autokey}}, {names}, whole VARCHAR(80))")
        crm.execute("INSERT INTO people (first, last) VALUES ('Ada', 'L')")
        accounting.execute("INSERT INTO people (first, last, whole) VALUES ('Bo', 'M', 'BM')")
        with running(pipeline_of({"crm": crm, "accounting": accounting}, record)) as run:
            problems = [each.message for each in run.check() if each.problem]
            if owner is None:
                assert problems == ["people.whole is generated: nothing can be written to it."]
            else:
                assert problems == []
                run.sync()
                for side in (crm, accounting):
                    found = side.execute("SELECT whole FROM people ORDER BY whole")
                    assert [whole for (whole,) in found] == ["Ada L", "Bo M"]
                assert_settled(run)
        crm.close()
        accounting.close()


@pytest.mark.services
@pytest.mark.slow
def test_a_row_that_is_larger_than_a_packet_holds_up_no_other(tmp_path: Path) -> None:
    with pair(("sqlite", "mariadb"), tmp_path, "") as shop:
        shop.source.create("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        (most,) = shop.destination.execute("SELECT @@max_allowed_packet")[0]
        for number, size in enumerate([1, most, 1, most // 2, most * 2]):
            shop.source.execute("INSERT INTO notes VALUES (:id, :body)", id=number, body="x" * size)
        report = shop.sync()
        assert report.waiting == {}
        assert shop.held() == {"1": "database", "4": "database"}
        assert [row[0] for row in shop.rows("notes")] == [0, 2, 3]
        shop.source.execute("UPDATE notes SET body = 'short'")
        shop.sync()
        assert shop.held() == {}
        shop.settled()


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_row_that_somebody_has_locked_holds_up_no_other(kind: str, tmp_path: Path) -> None:
    with two_sides(kind, kind, tmp_path) as (crm, accounting):
        enter_three(crm)
        with running(shared_contacts(crm, accounting)) as run:
            run.sync()
            with accounting.engine.connect() as clerk:
                clerk.exec_driver_sql(
                    "UPDATE customers SET full_name = 'Clerk' WHERE billing_email = 'ann@x.org'"
                )
                edit_contact(crm, "ann@x.org", phone=PHONE)
                edit_contact(crm, "bob@x.org", phone=PHONE)
                enter_contact(crm, "dan@x.org", "Dan")
                began = monotonic()
                report = run.sync()
                assert monotonic() - began < 10
                assert report.waiting == {}
                phones = {row[2]: row[1] for row in customers(accounting)}
                assert phones["ann@x.org"] == OTHER_PHONE
                assert phones["bob@x.org"] == PHONE
                assert "dan@x.org" in phones
                assert run.pending()["accounting"] == 1
                clerk.commit()
            run.sync()
            assert customers(accounting)[0] == ("Clerk", PHONE, "ann@x.org")
            assert contacts(crm)[0][0] == "Clerk"
            assert_settled(run)
