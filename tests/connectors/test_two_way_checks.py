"""What a two-way pipeline says of itself is so: dry runs, verify, check, and the triggers that it
depends on."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from syncline.connectors import PipelineRun
from syncline.connectors.report import Change
from syncline.connectors.verification import RowDifference
from syncline.engine.errors import SystemRefused, UsageError

from .histories import tables_of_syncline
from .two_sides import CONTACTS, Side, shared_contacts, two_sides
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
    enter_three,
    everything,
    field,
    kind_of,
    running,
)

Sides = tuple[Side, Side]


@pytest.fixture
def sides(tmp_path: Path) -> Generator[Sides]:
    with two_sides("sqlite", "sqlite", tmp_path) as both:
        yield both


@pytest.mark.parametrize("kinds", [("sqlite", "postgresql"), ("mariadb", "sqlite")])
def test_a_dry_run_writes_nothing_and_says_what_a_sync_does(
    kinds: tuple[str, str], tmp_path: Path
) -> None:
    with (
        two_sides(*kinds, tmp_path) as (crm, accounting),
        running(shared_contacts(crm, accounting)) as run,
    ):
        enter_contact(crm, "ann@x.org", "Ann", "Lee", "650-253-0000")
        enter_contact(crm, "bob@x.org", "Bob", phone="n/a")
        enter_customer(accounting, "ann@x.org", "Annie")
        enter_customer(accounting, "cyd@x.org", "Cyd")
        _assert_told_beforehand(run, crm, accounting)
        assert tables_of_syncline(crm) != []

        edit_contact(crm, "ann@x.org", first_name="Anna", phone=OTHER_PHONE)
        edit_customer(accounting, "ann@x.org", billing_email="ann@y.org", full_name="Anne")
        edit_contact(crm, "bob@x.org", phone=PHONE)
        accounting.execute("DELETE FROM customers WHERE billing_email = 'cyd@x.org'")
        _assert_told_beforehand(run, crm, accounting)
        assert contacts(crm)[0] == ("Anne", None, OTHER_PHONE, "ann@y.org")
        assert_settled(run)
        _assert_told_beforehand(run, crm, accounting)


def _assert_told_beforehand(run: PipelineRun, *sides: Side) -> None:
    before = [everything(side) for side in sides]
    told: list[Change] = []
    expected = run.sync(dry_run=True, changed=told.append)
    assert [everything(side) for side in sides] == before
    assert expected.dry_run
    assert told == []
    done = run.sync(changed=told.append)
    assert {pair: flow for pair, flow in expected.flows.items() if flow.rows} == {
        pair: flow for pair, flow in done.flows.items() if flow.rows
    }
    assert expected.cleaned == done.cleaned
    assert expected.refused == done.refused
    assert [each._replace(rid="") for each in expected.conflicts] == [
        each._replace(rid="") for each in done.conflicts
    ]
    assert expected.merged == done.merged


def _without_triggers(side: Side, sql: str) -> None:
    """Change rows as a program does that triggers do not see; they are there again afterwards."""
    table = sql.split()[1 if sql.startswith("UPDATE") else 2]
    match kind_of(side):
        case "sqlite":
            triggers = "FROM sqlite_master WHERE type = 'trigger'"
            kept = side.execute(f"SELECT name, sql {triggers}")
            for name, _ in kept:
                side.execute(f'DROP TRIGGER "{name}"')
            side.execute(sql)
            for _, text in kept:
                with side.engine.begin() as connection:
                    connection.exec_driver_sql(text)
        case "postgresql":
            side.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            side.execute(sql)
            side.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        case _:
            raise NotImplementedError


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_verify_names_what_differs_and_resync_mends_it(kind: str, tmp_path: Path) -> None:
    with (
        two_sides(kind, "sqlite", tmp_path) as (crm, accounting),
        running(shared_contacts(crm, accounting)) as run,
    ):
        enter_three(crm)
        run.sync()
        assert run.verify().rows == {"contact": 3}
        _without_triggers(crm, "UPDATE contacts SET phone = '+16502530009' WHERE id = 2")
        _without_triggers(
            accounting,
            "INSERT INTO customers (full_name, billing_email) VALUES ('Eve', 'eve@x.org')",
        )
        _without_triggers(accounting, "DELETE FROM customers WHERE billing_email = 'cyd@x.org'")
        result = run.verify()
        assert not result.equal
        assert result.count == 3
        bob = accounting.execute("SELECT number FROM customers WHERE full_name = 'Bob'")[0][0]
        eve = accounting.execute("SELECT number FROM customers WHERE full_name = 'Eve'")[0][0]
        assert sorted(result.differences, key=str) == [
            RowDifference("contact", {"accounting": f"{eve}"}, "crm", {}),
            RowDifference(
                "contact",
                {"crm": "2", "accounting": f"{bob}"},
                "",
                {"phone": {"crm": "+16502530009", "accounting": OTHER_PHONE}},
            ),
            RowDifference("contact", {"crm": "3"}, "accounting", {}),
        ]
        for table in ("contacts", "customers"):
            run.resync(table)
        run.sync()
        assert [row[0] for row in contacts(crm)] == ["Ann", "Bob", "Eve"]
        assert customers(accounting)[1] == ("Bob", "+16502530009", "bob@x.org")
        assert_settled(run)


def test_changes_that_wait_are_said_beside_differences(sides: Sides) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting)) as run:
        with pytest.raises(UsageError, match=r"^crm-accounting has not run yet"):
            run.verify()
        enter_three(crm)
        run.sync()
        edit_contact(crm, "ann@x.org", phone=PHONE)
        result = run.verify()
        assert result.waiting == {"crm": 1, "accounting": 0}
        assert [each.fields for each in result.differences] == [
            {"phone": {"crm": PHONE, "accounting": OTHER_PHONE}}
        ]
        with pytest.raises(UsageError, match=r"^No record of crm-accounting has a table 'orders'"):
            run.resync("orders")


def _drop_a_trigger(side: Side) -> None:
    name = everything(side)["triggers"][-1]
    match kind_of(side):
        case "postgresql":
            side.execute(f"DROP TRIGGER {name[:-1]} ON contacts")
        case _:
            side.execute(f"DROP TRIGGER {name}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_dropped_trigger_is_made_again_and_nothing_is_missed(kind: str, tmp_path: Path) -> None:
    with (
        two_sides(kind, "sqlite", tmp_path) as (crm, accounting),
        running(shared_contacts(crm, accounting)) as run,
    ):
        enter_three(crm)
        run.sync()
        before = everything(crm)["triggers"]
        for _ in before:
            _drop_a_trigger(crm)
        assert everything(crm)["triggers"] == []
        edit_contact(crm, "ann@x.org", first_name="Anna")
        crm.execute("DELETE FROM contacts WHERE email = 'bob@x.org'")
        enter_contact(crm, "dan@x.org", "Dan")
        edit_customer(accounting, "ann@x.org", tel=PHONE)
        assert run.pending()["crm"] == 0
        run.sync()
        assert everything(crm)["triggers"] == before
        assert [row[:2] for row in customers(accounting)] == [
            ("Anna", PHONE),
            ("Cyd", OTHER_PHONE),
            ("Dan", None),
        ]
        assert_settled(run)
        # A migration that makes the table anew takes the triggers along.
        crm.execute("ALTER TABLE contacts RENAME TO old_contacts")
        crm.create(CONTACTS)
        columns = "id, first_name, last_name, phone, email, country"
        crm.execute(f"INSERT INTO contacts ({columns}) SELECT {columns} FROM old_contacts")
        edit_contact(crm, "cyd@x.org", first_name="Cydney")
        run.sync()
        assert everything(crm)["triggers"] == before
        assert customers(accounting)[1][0] == "Cydney"
        assert_settled(run)


def test_a_pipeline_that_does_not_fit_its_databases(sides: Sides, tmp_path: Path) -> None:
    crm, accounting = sides
    before = [everything(side) for side in sides]
    note = field("note", columns={"crm": ("note",), "accounting": ("vat",)})
    with running(shared_contacts(crm, accounting, fields={"note": note})) as run:
        (finding,) = run.check()
        assert finding.problem
        assert finding.where == "record.contact.field.note.in.crm"
        assert finding.message == "The table contacts has no column 'note'."
        with pytest.raises(SystemRefused, match=r"^The table contacts has no column 'note'\."):
            run.sync()
        assert [everything(side) for side in sides] == before
    with running(shared_contacts(crm, accounting)) as run:
        assert run.check() == []
        crm.execute("DROP TABLE contacts")
        (finding,) = run.check()
        assert finding.message == "There is no table 'contacts'."
        with pytest.raises(SystemRefused, match=r"^There is no table 'contacts' in "):
            run.sync()
