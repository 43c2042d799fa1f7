"""What a two-way pipeline does when something is wrong: rows, rules, databases, people."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from syncline.cleaning import FieldCleaner, Phone
from syncline.cleaning.field import OnInvalid
from syncline.connectors import PipelineRun
from syncline.connectors.file.spec import Limit, TwoWay
from syncline.connectors.report import Flow
from syncline.engine.errors import PipelineStopped, SystemUnavailable
from tests.stores.servers import SERVERS

from .two_sides import CONTACTS, Side, empty, shared_contacts, two_sides
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
    pipeline_of,
    record_of,
    running,
)

Sides = tuple[Side, Side]


@pytest.fixture
def sides(tmp_path: Path) -> Generator[Sides]:
    with two_sides("sqlite", "sqlite", tmp_path) as both:
        yield both


@pytest.mark.slow
def test_more_deletions_than_expected_stop_everything(sides: Sides) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting, max_deletes=Limit(count=1))) as run:
        enter_three(crm)
        run.sync()
        crm.execute("DELETE FROM contacts WHERE email <> 'cyd@x.org'")
        edit_contact(crm, "cyd@x.org", first_name="Cyd Ann")
        before = [everything(side) for side in sides]
        for _ in range(2):
            with pytest.raises(PipelineStopped) as stopped:
                run.sync()
            assert stopped.value.message == (
                "2 of 3 rows of crm.contacts are gone, more than max_deletes = 1 allows; "
                "nothing was written."
            )
            assert "--allow-deletes" in stopped.value.hint
            assert [everything(side) for side in sides] == before
        report = run.sync(allow_deletes=True)
        assert report.flow("crm", "accounting") == Flow(updated=1, deleted=2, fields=1)
        assert customers(accounting) == [("Cyd Ann", OTHER_PHONE, "cyd@x.org")]


@pytest.mark.slow
def test_a_table_that_was_emptied_stops_everything(sides: Sides) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting)) as run:
        for number in range(20):
            enter_contact(crm, f"{number}@x.org", f"Name{number}")
        run.sync()
        crm.execute("DELETE FROM contacts")
        with pytest.raises(PipelineStopped, match=r"^20 of 20 rows of crm.contacts are gone, "):
            run.sync()
        assert len(customers(accounting)) == 20


def _on_invalid(sides: Sides, on_invalid: OnInvalid) -> TwoWay:
    phone = shared_contacts().records["contact"].fields["phone"]
    strict = replace(phone, cleaner=FieldCleaner([Phone(["US"])], on_invalid=on_invalid))
    return shared_contacts(*sides, fields={"phone": strict})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on_invalid", "theirs", "ours"),
    [
        ("keep-old", ("Anna", OTHER_PHONE, "ann@x.org"), "n/a"),
        ("blank", ("Anna", None, "ann@x.org"), None),
        ("quarantine", ("Ann", OTHER_PHONE, "ann@x.org"), "n/a"),
    ],
)
def test_what_becomes_of_a_value_that_the_rules_refuse(
    on_invalid: OnInvalid, theirs: tuple[Any, ...], ours: str | None, sides: Sides
) -> None:
    crm, accounting = sides
    with running(_on_invalid(sides, on_invalid)) as run:
        enter_three(crm)
        run.sync()
        edit_contact(crm, "ann@x.org", first_name="Anna", phone="n/a")
        edit_contact(crm, "bob@x.org", phone=PHONE)
        report = run.sync()
        assert [each.refusal.field for each in report.refused] == ["phone"]
        assert customers(accounting)[:2] == [theirs, ("Bob", PHONE, "bob@x.org")]
        assert contacts(crm)[0] == ("Anna", None, ours, "ann@x.org")
        assert run.sync().changed == 0

        # What others say of the row does not write over what is to be corrected.
        edit_customer(accounting, "ann@x.org", billing_email="ann@y.org")
        run.sync()
        assert contacts(crm)[0] == ("Anna", None, ours, "ann@y.org")
        assert len(run.quarantine()) == (ours is not None)
        edit_customer(accounting, "ann@y.org", tel=PHONE)
        run.sync()
        assert contacts(crm)[0][2] == ("n/a" if on_invalid == "quarantine" else PHONE)
        assert_settled(run)
        edit_contact(crm, "ann@y.org", phone="650-253-0009")
        run.sync()
        assert run.quarantine() == []
        assert customers(accounting)[0] == ("Anna", "+16502530009", "ann@y.org")
        assert_settled(run)


@pytest.mark.slow
def test_a_value_may_stop_the_pipeline(sides: Sides) -> None:
    crm, accounting = sides
    with running(_on_invalid(sides, "stop")) as run:
        enter_three(crm)
        run.sync()
        edit_contact(crm, "ann@x.org", first_name="Anna")
        edit_contact(crm, "bob@x.org", phone="n/a")
        with pytest.raises(PipelineStopped, match=r"^crm contacts 2: .*n/a.* is stop\)"):
            run.sync()
        assert [row[0] for row in customers(accounting)] == ["Ann", "Bob", "Cyd"]
        edit_contact(crm, "bob@x.org", phone=PHONE)
        run.sync()
        assert [row[:2] for row in customers(accounting)][:2] == [
            ("Anna", OTHER_PHONE),
            ("Bob", PHONE),
        ]
        assert_settled(run)


@pytest.mark.slow
def test_more_refused_rows_than_expected_stop_the_pipeline(sides: Sides) -> None:
    crm, accounting = sides
    pipeline = replace(shared_contacts(crm, accounting), stop_if_over=Limit(count=1))
    with running(pipeline) as run:
        enter_contact(crm, "ann@x.org", "Ann", phone="n/a")
        enter_contact(crm, "bob@x.org", "Bob")
        run.sync()
        assert [row[0] for row in customers(accounting)] == ["Bob"]
        for email in ("cyd@x.org", "dan@x.org"):
            enter_contact(crm, email, "New", phone="none")
        enter_contact(crm, "eve@x.org", "Eve")
        with pytest.raises(PipelineStopped, match=r"^2 of 3 rows of crm were refused, more than "):
            run.sync()
        assert [row[0] for row in customers(accounting)] == ["Bob"]
        edit_contact(crm, "dan@x.org", phone=None)
        run.sync()
        assert len(customers(accounting)) == 3


@pytest.mark.slow
def test_quarantine_is_left_by_repair_by_retry_and_by_deletion(sides: Sides) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting)) as run:
        for email in ("ann@x.org", "bob@x.org", "cyd@x.org"):
            enter_contact(crm, email, "New", phone="12")
        run.sync()
        first = run.quarantine()
        assert len(first) == 3
        assert run.retry() == 3
        run.sync()
        again = run.quarantine()
        assert [each.tries for each in again] == [2, 2, 2]
        assert [each.first_seen for each in again] == [each.first_seen for each in first]
        edit_contact(crm, "ann@x.org", phone=PHONE)
        crm.execute("DELETE FROM contacts WHERE email = 'bob@x.org'")
        run.sync()
        assert [each.key for each in run.quarantine()] == ["3"]
        assert customers(accounting) == [("New", PHONE, "ann@x.org")]
    # Other rules, and what was held is looked at again.
    kinder = replace(shared_contacts().records["contact"].fields["phone"], cleaner=FieldCleaner([]))
    with running(shared_contacts(crm, accounting, fields={"phone": kinder})) as run:
        assert run.retry() == 1
        run.sync()
        assert customers(accounting)[1] == ("New", "12", "cyd@x.org")
        assert run.quarantine() == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_clashes_there_keeps_no_other_from_going(kind: str, tmp_path: Path) -> None:
    with two_sides("sqlite", kind, tmp_path) as (crm, accounting):
        accounting.execute("CREATE UNIQUE INDEX one_phone ON customers (tel)")
        pipeline = shared_contacts(crm, accounting)
        with running(replace(pipeline, stop_if_over=Limit(count=1))) as run:
            enter_customer(accounting, "zoe@x.org", "Zoe", PHONE)
            enter_contact(crm, "ann@x.org", "Ann", phone=PHONE)
            enter_contact(crm, "bob@x.org", "Bob")
            assert run.sync().refused_count == 1
            assert [row[0] for row in customers(accounting)] == ["Bob", "Zoe"]
            assert [row[0] for row in contacts(crm)] == ["Ann", "Bob", "Zoe"]
            edit_contact(crm, "bob@x.org", phone=PHONE, first_name="Rob")
            enter_contact(crm, "cyd@x.org", "Cyd", phone=OTHER_PHONE)
            run.sync()
            assert [row[0] for row in customers(accounting)] == ["Bob", "Cyd", "Zoe"]
            assert [(each.system, each.rule) for each in run.quarantine()] == [
                ("accounting", "database")
            ] * 2
            assert run.retry() == 2
            assert_settled(run)
            assert all(each.tries > 1 for each in run.quarantine())

            edit_customer(accounting, "zoe@x.org", tel=None)
            edit_contact(crm, "bob@x.org", phone=None)
            run.sync()
            assert run.quarantine() == []
            assert customers(accounting) == [
                ("Ann", PHONE, "ann@x.org"),
                ("Rob", None, "bob@x.org"),
                ("Cyd", OTHER_PHONE, "cyd@x.org"),
                ("Zoe", None, "zoe@x.org"),
            ]
            assert_settled(run)


@pytest.mark.slow
@pytest.mark.parametrize("restored", ["crm", "accounting"])
def test_a_database_that_was_restored_catches_up(
    restored: str, sides: Sides, tmp_path: Path
) -> None:
    crm, accounting = sides
    file = tmp_path / {"crm": "crm.db", "accounting": "acc.db"}[restored]
    with running(shared_contacts(crm, accounting)) as run:
        enter_three(crm)
        run.sync()
        shutil.copy(file, tmp_path / "backup.db")
        # After the backup, and seen by both.
        edit_contact(crm, "ann@x.org", first_name="Anna")
        edit_customer(accounting, "bob@x.org", full_name="Rob")
        crm.execute("DELETE FROM contacts WHERE email = 'cyd@x.org'")
        enter_customer(accounting, "dan@x.org", "Dan")
        run.sync()
        # Seen by nobody when the backup is put back.
        kept = accounting if restored == "crm" else crm
        if kept is crm:
            edit_contact(crm, "ann@x.org", phone=PHONE)
        else:
            edit_customer(accounting, "ann@x.org", tel=PHONE)
        shutil.copy(tmp_path / "backup.db", file)
        if restored == "crm":
            edit_contact(crm, "bob@x.org", phone=PHONE)
        else:
            edit_customer(accounting, "bob@x.org", tel=PHONE)
        run.sync()
        assert customers(accounting) == [
            ("Anna", PHONE, "ann@x.org"),
            ("Rob", PHONE, "bob@x.org"),
            ("Dan", None, "dan@x.org"),
        ]
        assert [(row[0], *row[2:]) for row in contacts(crm)] == customers(accounting)
        assert_settled(run)
        edit_contact(crm, "dan@x.org", phone=PHONE)
        edit_customer(accounting, "ann@x.org", full_name="Annie")
        run.sync()
        assert [row[0] for row in contacts(crm)] == ["Annie", "Rob", "Dan"]
        assert customers(accounting)[2] == ("Dan", PHONE, "dan@x.org")
        assert_settled(run)


def _three(stack: ExitStack, folder: Path, *kinds: str) -> dict[str, Side]:
    sides: dict[str, Side] = {}
    for name, kind in zip(("crm", "accounting", "support"), kinds, strict=True):
        sides[name] = Side(name, kind, stack.enter_context(empty(kind, folder, name)))
        stack.callback(sides[name].close)
        sides[name].create(CONTACTS)
    return sides


def _shared_by_three(sides: dict[str, Side]) -> TwoWay:
    fields = [field("first_name"), field("phone"), field("email")]
    contact = record_of("contact", "contacts", fields, *sides, match=("email",))
    return pipeline_of(sides, contact)


@contextmanager
def away(run: PipelineRun, name: str) -> Generator[None]:
    """The system cannot be reached."""

    error = SystemUnavailable("It is away.", hint="Wait.", retry_after=5.0)
    with patch.object(run.systems[name], "reading", side_effect=error):
        yield


@pytest.mark.slow
def test_a_database_that_is_restored_while_the_other_is_away(sides: Sides, tmp_path: Path) -> None:
    crm, accounting = sides
    with running(shared_contacts(crm, accounting)) as run:
        enter_three(crm)
        run.sync()
        shutil.copy(tmp_path / "acc.db", tmp_path / "backup.db")
        edit_customer(accounting, "ann@x.org", full_name="Anna")
        run.sync()
        shutil.copy(tmp_path / "backup.db", tmp_path / "acc.db")
        with away(run, "crm"):
            # As many changes as those that are gone, so that nothing shows in their number.
            edit_customer(accounting, "ann@x.org", tel=PHONE)
            report = run.sync()
            assert report.waiting == {"crm": "It is away."}
            assert run.pending() == {"accounting": 1}
        run.sync()
        assert contacts(crm)[0] == ("Anna", None, PHONE, "ann@x.org")
        assert customers(accounting)[0] == ("Anna", PHONE, "ann@x.org")
        assert_settled(run)


@contextmanager
def down(side: Side) -> Generator[None]:
    """The PostgreSQL database of ``side`` takes no connection, and has none."""
    name = side.engine.url.database
    server = sa.create_engine(SERVERS["postgresql"], isolation_level="AUTOCOMMIT")
    side.close()
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                f" WHERE datname = '{name}'"
            )
            yield
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        server.dispose()


@pytest.mark.services
@pytest.mark.slow
def test_a_system_that_is_down_holds_up_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        sides = _three(stack, tmp_path, "postgresql", "sqlite", "sqlite")
        crm, accounting, support = sides.values()
        run = stack.enter_context(running(_shared_by_three(sides)))
        enter_contact(crm, "ann@x.org", "Ann")
        run.sync()
        edit_contact(crm, "ann@x.org", phone=PHONE)
        with down(crm):
            edit_contact(support, "ann@x.org", first_name="Anna")
            enter_contact(accounting, "bob@x.org", "Bob")
            report = run.sync()
            assert list(report.waiting) == ["crm"]
            assert report.waiting["crm"].startswith("crm (postgresql) cannot be used at the moment")
            for side in (accounting, support):
                assert [row[0] for row in contacts(side)] == ["Anna", "Bob"]
            assert list(run.pending()) == ["accounting", "support"]
            assert run.quarantine() == []
            assert [*run.sync(dry_run=True).waiting] == ["crm"]
            edit_contact(accounting, "bob@x.org", phone=PHONE)
            edit_contact(support, "bob@x.org", phone=OTHER_PHONE)
            run.sync()
        # A conflict that crm has never heard of can be resolved.
        assert run.pending()["crm"] == 1
        (conflict,) = run.conflicts()
        run.resolve(conflict.rid, "phone", take="accounting")
        assert run.sync().waiting == {}
        for side in sides.values():
            assert contacts(side) == [
                ("Anna", None, PHONE, "ann@x.org"),
                ("Bob", None, PHONE, "bob@x.org"),
            ]
        assert_settled(run)


@pytest.mark.slow
def test_a_deletion_that_the_database_refuses_waits(sides: Sides) -> None:
    crm, accounting = sides
    accounting.execute(
        "CREATE TABLE invoices (id INTEGER PRIMARY KEY,"
        " customer INTEGER REFERENCES customers (number))"
    )
    with running(shared_contacts(crm, accounting)) as run:
        enter_three(crm)
        run.sync()
        accounting.execute(
            "INSERT INTO invoices (customer) SELECT number FROM customers WHERE full_name = 'Ann'"
        )
        crm.execute("DELETE FROM contacts WHERE email <> 'cyd@x.org'")
        run.sync(allow_deletes=True)
        assert [row[0] for row in customers(accounting)] == ["Ann", "Cyd"]
        (held,) = run.quarantine()
        assert (held.system, held.rule) == ("accounting", "parent")
        assert run.sync().changed == 0
        accounting.execute("DELETE FROM invoices")
        run.sync()
        assert [row[0] for row in customers(accounting)] == ["Cyd"]
        assert run.quarantine() == []
        assert_settled(run)
