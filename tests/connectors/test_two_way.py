"""Two databases that keep the same records: what each shows after the other's users did something,
whatever the databases are."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncline.cleaning import Clean, FieldCleaner
from syncline.connectors.database.values import ValueKind, canonical

from .two_sides import Side, empty, shared_contacts, two_sides
from .two_way_cases import (
    KINDS,
    OTHER_PHONE,
    PHONE,
    assert_settled,
    contacts,
    customers,
    edit_contact,
    edit_customer,
    enter_contact,
    enter_customer,
    field,
    pipeline_of,
    record_of,
    running,
)


@pytest.fixture
def sides(tmp_path: Path) -> Generator[tuple[Side, Side]]:
    with two_sides("sqlite", "sqlite", tmp_path) as both:
        yield both


@pytest.mark.parametrize("accounting_kind", KINDS)
@pytest.mark.parametrize("crm_kind", KINDS)
def test_any_two_databases_share_customers(
    crm_kind: str, accounting_kind: str, tmp_path: Path
) -> None:
    with (
        two_sides(crm_kind, accounting_kind, tmp_path) as (crm, accounting),
        running(shared_contacts(crm, accounting)) as run,
    ):
        enter_contact(crm, "ann@x.org", "Ann", "Lee", "(650) 253-0000")
        enter_contact(crm, "bob@x.org", "Bob", "Ray")
        enter_customer(accounting, "cyd@x.org", "Cyd  Poe", PHONE)
        enter_customer(accounting, "Ann@X.org", "Ann Lee")

        report = run.sync()
        assert report.flow("crm", "accounting").inserted == 1
        assert report.flow("accounting", "crm").inserted == 1
        assert [(each.field, each.chosen) for each in report.conflicts] == [("email", "ann@x.org")]
        assert contacts(crm) == [
            ("Ann", "Lee", PHONE, "ann@x.org"),
            ("Bob", "Ray", None, "bob@x.org"),
            ("Cyd", "Poe", PHONE, "cyd@x.org"),
        ]
        assert customers(accounting) == [
            ("Ann Lee", PHONE, "ann@x.org"),
            ("Bob Ray", None, "bob@x.org"),
            ("Cyd Poe", PHONE, "cyd@x.org"),
        ]
        assert_settled(run)

        edit_contact(crm, "ann@x.org", phone=OTHER_PHONE)
        edit_customer(accounting, "ann@x.org", full_name="Ann Maria Lee")
        edit_customer(accounting, "bob@x.org", tel=PHONE)
        edit_contact(crm, "bob@x.org", phone=OTHER_PHONE)
        crm.execute("DELETE FROM contacts WHERE email = 'cyd@x.org'")
        assert run.pending() == {"crm": 3, "accounting": 2}
        report = run.sync()
        assert contacts(crm) == [
            ("Ann Maria", "Lee", OTHER_PHONE, "ann@x.org"),
            ("Bob", "Ray", OTHER_PHONE, "bob@x.org"),
        ]
        assert customers(accounting) == [
            ("Ann Maria Lee", OTHER_PHONE, "ann@x.org"),
            ("Bob Ray", OTHER_PHONE, "bob@x.org"),
        ]
        (merged,) = [each for each in report.merged if each.label == "Ann Maria Lee"]
        assert merged.fields == {"phone": "crm", "name": "accounting"}
        (conflict,) = report.conflicts
        assert (conflict.label, conflict.field, conflict.policy) == ("Bob Ray", "phone", "newest")
        assert conflict.values == {"crm": OTHER_PHONE, "accounting": PHONE}
        assert conflict.chosen == OTHER_PHONE
        assert {each.field: each.rid for each in run.conflicts()}["phone"] == conflict.rid
        assert_settled(run)


@pytest.mark.slow
def test_phone_numbers_are_in_one_form_or_in_quarantine_with_the_reason(
    sides: tuple[Side, Side],
) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting)) as run:
        enter_contact(crm, "ann@x.org", "Ann", phone="650-253-0000 ext. 5")
        enter_contact(crm, "bob@x.org", "Bob", phone="n/a")
        report = run.sync()
        assert report.cleaned == {"E164": 1}
        assert customers(accounting) == [("Ann", PHONE, "ann@x.org")]
        assert contacts(crm)[0] == ("Ann", None, PHONE, "ann@x.org")
        (held,) = run.quarantine()
        assert (held.system, held.table, held.key, held.field) == ("crm", "contacts", "2", "phone")
        assert (held.rule, held.original, held.tries) == ("E164", "n/a", 1)
        assert "n/a" in held.message
        assert [each.refusal.message for each in report.refused] == [held.message]
        assert_settled(run)
        assert run.verify().quarantined == 1
        # The same number in another form is no change, and still written in the one form.
        edit_contact(crm, "ann@x.org", phone="650.253.0000")
        run.sync()
        assert contacts(crm)[0] == ("Ann", None, PHONE, "ann@x.org")
        assert_settled(run)


@pytest.mark.slow
def test_a_name_of_two_columns_merges_with_one_of_a_single_column(
    sides: tuple[Side, Side],
) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting)) as run:
        enter_contact(crm, "ann@x.org", "Ann", "Lee")
        run.sync()
        edit_contact(crm, "ann@x.org", first_name="Anna", last_name="Leigh")
        edit_customer(accounting, "ann@x.org", full_name="Ann van der Lee")
        report = run.sync()
        assert customers(accounting) == [("Ann van der Lee", None, "ann@x.org")]
        assert contacts(crm) == [("Ann van der", "Lee", None, "ann@x.org")]
        (conflict,) = report.conflicts
        assert conflict.values == {"crm": "Anna Leigh", "accounting": "Ann van der Lee"}
        assert_settled(run)

        for name, parts in [("Cher", ("Cher", None)), (None, (None, None))]:
            edit_customer(accounting, "ann@x.org", full_name=name)
            run.sync()
            assert contacts(crm)[0][:2] == parts
            assert_settled(run)
        # Where a word stands is the CRM's own: it is not moved back.
        edit_customer(accounting, "ann@x.org", full_name="Ann van der Lee")
        run.sync()
        edit_contact(crm, "ann@x.org", first_name="Ann", last_name="van der Lee")
        assert run.sync().changed == 0
        assert contacts(crm)[0][:2] == ("Ann", "van der Lee")


COMPANIES = "CREATE TABLE companies (id {autokey}, name VARCHAR(40), phone VARCHAR(40))"
PEOPLE = (
    "CREATE TABLE people (id {autokey}, name VARCHAR(40), company_id INTEGER,"
    " FOREIGN KEY (company_id) REFERENCES companies (id))"
)


def _people_of_companies(crm: Side, accounting: Side) -> Any:
    company = record_of(
        "company", "companies", [field("name"), field("phone", cleaner=PHONES)], match=("name",)
    )
    person = record_of("person", "people", [field("name"), field("company_id", ref="company")])
    # The file may name them in any order.
    return pipeline_of({"crm": crm, "accounting": accounting}, person, company)


PHONES = shared_contacts().records["contact"].fields["phone"].cleaner


@pytest.mark.parametrize(
    "kinds", [("sqlite", "postgresql"), ("mariadb", "sqlite"), ("postgresql", "mariadb")]
)
def test_records_that_refer_to_each_other(kinds: tuple[str, str], tmp_path: Path) -> None:
    with two_sides(*kinds, tmp_path) as (crm, accounting):
        for side in (crm, accounting):
            side.create(COMPANIES)
        # MariaDB tells no trigger what this deletes; the other needs people to go first.
        crm.create(PEOPLE.replace("(id)", "(id) ON DELETE CASCADE"))
        accounting.create(PEOPLE)
        accounting.execute("INSERT INTO companies (name) VALUES ('Other'), ('More')")
        crm.execute("INSERT INTO companies (name, phone) VALUES ('Acme', 'none yet')")
        crm.execute("INSERT INTO people (name, company_id) VALUES ('Ann', 1), ('Bob', NULL)")
        people = (
            "SELECT people.name, companies.name FROM people"
            " LEFT JOIN companies ON companies.id = company_id ORDER BY people.name"
        )
        with running(_people_of_companies(crm, accounting)) as run:
            run.sync()
            # Acme is in quarantine, so Ann waits, and Bob does not.
            assert accounting.execute(people) == [("Bob", None)]
            held = {(each.table, each.rule) for each in run.quarantine()}
            assert held == {("companies", "E164"), ("people", "parent")}
            assert_settled(run)

            crm.execute("UPDATE companies SET phone = :phone WHERE name = 'Acme'", phone=PHONE)
            run.sync()
            assert accounting.execute(people) == [("Ann", "Acme"), ("Bob", None)]
            assert run.quarantine() == []
            assert_settled(run)

            # Each has keys of its own for the companies.
            accounting.execute(
                "UPDATE people SET company_id = (SELECT id FROM companies WHERE name = 'More')"
                " WHERE name = 'Bob'"
            )
            run.sync()
            assert crm.execute(people) == [("Ann", "Acme"), ("Bob", "More")]
            assert_settled(run)

            crm.execute("INSERT INTO companies (name) VALUES ('Tiny')")
            crm.execute(
                "INSERT INTO people (name, company_id) SELECT 'Cyd', id FROM companies"
                " WHERE name = 'Tiny'"
            )
            assert run.sync().refused_count == 0
            assert accounting.execute(people) == crm.execute(people)
            crm.execute("DELETE FROM people WHERE name = 'Cyd'")
            crm.execute("DELETE FROM companies WHERE name = 'Tiny'")
            assert run.sync().refused_count == 0
            crm.execute("DELETE FROM companies WHERE name = 'Acme'")
            run.sync(allow_deletes=True)
            assert accounting.execute(people) == crm.execute(people) == [("Bob", "More")]
            names = "SELECT name FROM companies ORDER BY name"
            assert accounting.execute(names) == crm.execute(names) == [("More",), ("Other",)]
            assert_settled(run)


def test_a_row_waits_for_its_parent_and_for_one_of_its_own_table(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    for side in sides:
        side.create("CREATE TABLE staff (id {autokey}, name VARCHAR(40), boss_id INTEGER)")
    staff = record_of("staff", "staff", [field("name"), field("boss_id", ref="staff")])
    bosses = (
        "SELECT s.name, boss.name FROM staff s LEFT JOIN staff boss ON boss.id = s.boss_id"
        " ORDER BY s.name"
    )
    with running(pipeline_of({"crm": crm, "accounting": accounting}, staff)) as run:
        crm.execute("INSERT INTO staff VALUES (1, 'Ann', 2), (2, 'Bob', NULL), (3, 'Cyd', 4)")
        run.sync()
        assert accounting.execute(bosses) == [("Ann", "Bob"), ("Bob", None)]
        assert {(each.key, each.rule) for each in run.quarantine()} == {("3", "parent")}
        crm.execute("INSERT INTO staff VALUES (4, 'Dan', NULL)")
        run.sync()
        assert accounting.execute(bosses)[2:] == [("Cyd", "Dan"), ("Dan", None)]
        assert run.quarantine() == []
        assert_settled(run)


TYPES: dict[str, tuple[ValueKind, dict[str, str]]] = {
    "label": ("text", dict.fromkeys(KINDS, "VARCHAR(80)")),
    "amount": ("decimal", dict.fromkeys(KINDS, "DECIMAL(14, 4)")),
    "at": (
        "datetime",
        {"sqlite": "TIMESTAMP", "postgresql": "TIMESTAMPTZ", "mariadb": "DATETIME(6)"},
    ),
    "day": ("date", dict.fromkeys(KINDS, "DATE")),
    "flag": ("bool", dict.fromkeys(KINDS, "BOOLEAN")),
    "data": ("bytes", {"sqlite": "BLOB", "postgresql": "BYTEA", "mariadb": "LONGBLOB"}),
    "doc": ("json", {"sqlite": "JSON", "postgresql": "JSONB", "mariadb": "JSON"}),
}
VALUES: dict[str, Any] = {
    "label": "Zoë 🌍 'quoted'",
    "amount": Decimal("1234567890.1"),
    "at": datetime(2024, 5, 1, 12, 30, 0, 123456, UTC),
    "day": date(2024, 2, 29),
    "flag": True,
    "data": b"\x00\xff\x80",
    "doc": {"a": [1, 2.5, None, "é"], "b": {}},
}
AS_ENTERED: dict[str, dict[str, Any]] = {
    "postgresql": {"at": "2024-05-01 14:30:00.123456+02"},
    "sqlite": {"at": "2024-05-01T14:30:00.123456+02:00", "amount": "1234567890.1"},
    "mariadb": {"at": "2024-05-01 12:30:00.123456"},
}


@pytest.mark.services
@pytest.mark.slow
def test_every_type_goes_round_through_three_databases(tmp_path: Path) -> None:
    systems = dict(zip(("crm", "accounting", "support"), KINDS, strict=True))
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, kind in systems.items():
            url = stack.enter_context(empty(kind, tmp_path, name))
            side = sides[name] = Side(name, kind, url)
            stack.callback(side.close)
            columns = ", ".join(f"{column} {types[kind]}" for column, (_, types) in TYPES.items())
            side.create(f"CREATE TABLE things (id {{autokey}}, {columns})")
            entered = VALUES | {"doc": '{"a": [1, 2.5, null, "é"], "b": {}}'} | AS_ENTERED[kind]
            entered["label"] = name
            rows: tuple[dict[str, Any], ...] = (entered, {"label": f"{name} blank"})
            for row in rows:
                names = ", ".join(row)
                marks = ", ".join(f":{each}" for each in row)
                side.execute(f"INSERT INTO things ({names}) VALUES ({marks})", **row)
        thing = record_of(
            "thing", "things", [field(each) for each in TYPES], *systems, match=("label",)
        )
        run = stack.enter_context(running(pipeline_of(sides, thing)))
        run.sync()
        nothing: dict[str, Any] = dict.fromkeys(VALUES)
        expected = [VALUES | {"label": name} for name in systems]
        expected += [nothing | {"label": f"{name} blank"} for name in systems]
        expected.sort(key=lambda row: str(row["label"]))
        sql = f"SELECT {', '.join(TYPES)} FROM things ORDER BY label"
        for side in sides.values():
            assert [
                {
                    name: canonical(value, kind)
                    for (name, (kind, _)), value in zip(TYPES.items(), row, strict=True)
                }
                for row in side.execute(sql)
            ] == expected
        assert run.quarantine() == []
        assert_settled(run)

        sides["support"].execute("UPDATE things SET doc = '[]', amount = -0.5 WHERE flag IS NULL")
        run.sync()
        for side in sides.values():
            found = side.execute("SELECT DISTINCT amount, doc FROM things WHERE flag IS NULL")
            assert [(canonical(a, "decimal"), canonical(d, "json")) for a, d in found] == [
                (Decimal("-0.5"), [])
            ]
        assert_settled(run)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_text_and_of_several_columns(kind: str, tmp_path: Path) -> None:
    with two_sides("sqlite", kind, tmp_path) as (crm, accounting):
        for side in (crm, accounting):
            side.create("CREATE TABLE tags (code VARCHAR(60) PRIMARY KEY, label VARCHAR(40))")
            side.create(
                "CREATE TABLE prices (shop VARCHAR(20), item INTEGER, price INTEGER,"
                " PRIMARY KEY (shop, item))"
            )
        tag = record_of("tag", "tags", [field("label")], match=("label",))
        price = record_of(
            "price",
            "prices",
            [field("shop"), field("item"), field("price")],
            match=("shop", "item"),
        )
        with running(pipeline_of({"crm": crm, "accounting": accounting}, tag, price)) as run:
            crm.execute("INSERT INTO tags VALUES ('a/\"b\"', 'First'), ('é', 'Second')")
            crm.execute("INSERT INTO prices VALUES ('x', 1, 10), ('x', 2, 20), ('y', 1, 30)")
            accounting.execute("INSERT INTO prices VALUES ('x', 1, 10), ('z', 1, 40)")
            run.sync()
            accounting.execute("UPDATE prices SET price = 11 WHERE shop = 'x' AND item = 1")
            accounting.execute("UPDATE tags SET label = 'Changed' WHERE label = 'Second'")
            crm.execute("DELETE FROM prices WHERE shop = 'y'")
            # A row gets another key.
            crm.execute("UPDATE prices SET item = 3 WHERE shop = 'x' AND item = 2")
            run.sync()
            both = "SELECT shop, item, price FROM prices ORDER BY shop, item"
            assert crm.execute(both) == accounting.execute(both)
            assert crm.execute(both) == [("x", 1, 11), ("x", 3, 20), ("z", 1, 40)]
            assert crm.execute("SELECT label FROM tags ORDER BY label") == [
                ("Changed",),
                ("First",),
            ]
            assert crm.execute("SELECT label FROM tags WHERE code = 'é'") == [("Changed",)]
            assert_settled(run)


@pytest.mark.slow
def test_a_column_that_is_added_at_one_side(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        run.sync()
        crm.execute("ALTER TABLE contacts ADD COLUMN note VARCHAR(40) DEFAULT 'new'")
        crm.execute("UPDATE contacts SET note = 'likes tea'")
        assert run.sync().changed == 0
        edit_contact(crm, "ann@x.org", first_name="Anna")
        run.sync()
        assert customers(accounting) == [("Anna", None, "ann@x.org")]
        assert_settled(run)
    # Once the file maps it, what is there already goes on, too.
    accounting.execute("ALTER TABLE customers ADD COLUMN remark VARCHAR(40)")
    note = field(
        "note",
        columns={"crm": ("note",), "accounting": ("remark",)},
        cleaner=FieldCleaner(Clean("trim").rules),
    )
    with running(shared_contacts(crm, accounting, fields={"note": note})) as run:
        run.sync()
        assert accounting.execute("SELECT remark FROM customers") == [("likes tea",)]
        assert_settled(run)
        accounting.execute("UPDATE customers SET remark = ' likes coffee '")
        run.sync()
        assert crm.execute("SELECT note FROM contacts") == [("likes coffee",)]
        assert accounting.execute("SELECT remark FROM customers") == [("likes coffee",)]
        assert_settled(run)
