"""Two users who change the same record in different systems: who is right, who decides, and what
becomes of a record that one of them deletes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncline.connectors import PipelineRun
from syncline.connectors.file.spec import ConflictPolicy, OnDelete, Prefer
from syncline.engine.errors import RecordNotFound
from syncline.engine.records.schema import DeleteVsEdit

from .two_sides import Side, shared_contacts, two_sides
from .two_way_cases import (
    OTHER_PHONE,
    PHONE,
    assert_settled,
    contacts,
    customers,
    edit_contact,
    edit_customer,
    enter_contact,
    enter_customer,
    running,
)

Sides = tuple[Side, Side]
NAME = shared_contacts().records["contact"].fields["name"]


@pytest.fixture
def sides(tmp_path: Path) -> Generator[Sides]:
    with two_sides("sqlite", "sqlite", tmp_path) as both:
        yield both


def _pipeline(sides: Sides, conflict: ConflictPolicy = "newest", **contact: Any) -> Any:
    name = replace(NAME, conflict=conflict)
    return shared_contacts(*sides, fields={"name": name}, **contact)


def _both_name(run: PipelineRun, sides: Sides) -> Any:
    """Ann gets a name in the CRM, and later another in the accounting; the report on both."""
    crm, accounting = sides
    enter_contact(crm, "ann@x.org", "Ann")
    run.sync()
    edit_contact(crm, "ann@x.org", first_name="Anna")
    edit_customer(accounting, "ann@x.org", full_name="Annie")
    report = run.sync()
    (conflict,) = report.conflicts
    assert report.conflict_count == 1
    assert conflict.values == {"crm": "Anna", "accounting": "Annie"}
    assert [each._replace(label="Ann") for each in run.conflicts()] == [
        conflict._replace(label="Ann")
    ]
    return conflict


def _names(sides: Sides) -> tuple[str, str]:
    ((first, _, _, _),), ((full, _, _),) = contacts(sides[0]), customers(sides[1])
    return first, full


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "name", "chosen", "shown"),
    [
        ("newest", "newest", "Annie", "Annie"),
        ("surface", "surface", None, "Annie"),
        (Prefer(("crm", "accounting")), "prefer", "Anna", "Anna"),
        (Prefer(("accounting",)), "prefer", "Annie", "Annie"),
    ],
)
def test_policies_of_a_conflict(
    policy: ConflictPolicy, name: str, chosen: str | None, shown: str, sides: Sides
) -> None:
    with running(_pipeline(sides, policy)) as run:
        conflict = _both_name(run, sides)
        assert (conflict.policy, conflict.chosen) == (name, chosen)
        assert _names(sides) == (shown, shown)
        assert_settled(run)
        assert len(run.conflicts()) == 1, "it is listed until somebody decides"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "take"),
    [("newest", "crm"), ("surface", "accounting"), (Prefer(("crm",)), "accounting")],
)
def test_a_person_resolves_a_conflict(policy: ConflictPolicy, take: str, sides: Sides) -> None:
    with running(_pipeline(sides, policy)) as run:
        conflict = _both_name(run, sides)
        run.resolve(conflict.rid, "name", take=take)
        assert run.conflicts() == []
        run.sync()
        assert _names(sides) == (conflict.values[take],) * 2
        assert run.conflicts() == []
        assert_settled(run)
        with pytest.raises(RecordNotFound, match=r"There is no conflict of 'name' in the record "):
            run.resolve(conflict.rid, "name", take=take)


@pytest.mark.slow
def test_only_what_is_in_conflict_can_be_resolved(sides: Sides) -> None:
    with running(_pipeline(sides)) as run:
        conflict = _both_name(run, sides)
        for rid, field, take in [
            (conflict.rid, "phone", "crm"),
            ("another", "name", "crm"),
            (conflict.rid, "name", "support"),
        ]:
            with pytest.raises(RecordNotFound):
                run.resolve(rid, field, take=take)
        assert len(run.conflicts()) == 1


@pytest.mark.slow
def test_a_later_edit_ends_a_conflict(sides: Sides) -> None:
    crm, _ = sides
    with running(_pipeline(sides, Prefer(("accounting",)))) as run:
        _both_name(run, sides)
        edit_contact(crm, "ann@x.org", first_name="Antonia")
        assert run.sync().conflict_count == 0
        assert _names(sides) == ("Antonia", "Antonia")
        assert run.conflicts() == []
        assert_settled(run)


def test_the_same_change_in_both_is_no_conflict(sides: Sides) -> None:
    crm, accounting = sides
    with running(_pipeline(sides)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        run.sync()
        edit_contact(crm, "ann@x.org", first_name="Anna")
        edit_customer(accounting, "ann@x.org", full_name="  Anna ")
        assert run.sync().conflict_count == 0
        assert _names(sides) == ("Anna", "Anna")
        assert run.conflicts() == []
        assert_settled(run)


def test_the_first_system_of_the_file_wins_what_was_there_before(sides: Sides) -> None:
    crm, accounting = sides
    with running(_pipeline(sides)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        enter_customer(accounting, "ann@x.org", "Annie", PHONE)
        report = run.sync()
        assert contacts(crm) == [("Ann", None, PHONE, "ann@x.org")]
        assert customers(accounting) == [("Ann", PHONE, "ann@x.org")]
        (conflict,) = report.conflicts
        assert conflict.values == {"crm": "Ann", "accounting": "Annie"}
        # Whoever says something about it now knows better.
        edit_customer(accounting, "ann@x.org", full_name="Annie")
        run.sync()
        assert _names(sides) == ("Annie", "Annie")
        assert run.conflicts() == []
        assert_settled(run)


@pytest.mark.slow
def test_a_field_with_an_owner_changes_there_only(sides: Sides) -> None:
    crm, accounting = sides
    owned = {"name": replace(NAME, owner="accounting")}
    with running(shared_contacts(crm, accounting, fields=owned)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        enter_customer(accounting, "ann@x.org", "Annie")
        enter_contact(crm, "bob@x.org", "Bob")
        run.sync()
        assert [row[0] for row in contacts(crm)] == ["Annie", "Bob"]
        assert [row[0] for row in customers(accounting)] == ["Annie", "Bob"]
        assert_settled(run)

        edit_customer(accounting, "ann@x.org", full_name="Anna")
        edit_contact(crm, "ann@x.org", first_name="Not she", phone=PHONE)
        edit_contact(crm, "bob@x.org", first_name="Not he")
        run.sync()
        assert [row[0] for row in contacts(crm)] == ["Anna", "Bob"]
        assert customers(accounting) == [("Anna", PHONE, "ann@x.org"), ("Bob", None, "bob@x.org")]
        assert run.conflicts() == []
        assert_settled(run)


def test_several_rows_that_match_are_not_guessed_at(sides: Sides) -> None:
    crm, accounting = sides
    with running(_pipeline(sides)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        enter_contact(crm, "ann@x.org", "Ann, at work")
        run.sync()
        assert sorted(row[0] for row in customers(accounting)) == ["Ann", "Ann, at work"]
        edit_customer(accounting, "ann@x.org", tel=PHONE)
        run.sync()
        assert {row[2] for row in contacts(crm)} == {PHONE}
        assert_settled(run)


@pytest.mark.slow
def test_both_enter_the_same_customer_before_they_hear_of_each_other(sides: Sides) -> None:
    crm, accounting = sides
    with running(_pipeline(sides)) as run:
        enter_contact(crm, "bob@x.org", "Bob")
        run.sync()
        enter_contact(crm, "ann@x.org", "Ann", phone=PHONE)
        enter_customer(accounting, "ANN@x.org", "Ann")
        run.sync()
        assert len(contacts(crm)) == len(customers(accounting)) == 2
        assert {row[1] for row in customers(accounting)} == {None, PHONE}
        assert_settled(run)
        # An address that becomes another's is no reason to make one of two customers.
        edit_contact(crm, "bob@x.org", email="ann@x.org")
        run.sync()
        assert len(contacts(crm)) == len(customers(accounting)) == 2
        assert_settled(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on_delete", "left"),
    [("apply", []), ("mark", ["Ann"]), ("ignore", ["Ann"])],
)
def test_what_a_deleted_row_means_elsewhere(
    on_delete: OnDelete, left: list[str], sides: Sides
) -> None:
    crm, accounting = sides
    with running(_pipeline(sides, on_delete=on_delete)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        enter_contact(crm, "bob@x.org", "Bob")
        run.sync()
        crm.execute("DELETE FROM contacts WHERE email = 'ann@x.org'")
        report = run.sync()
        assert report.flow("crm", "accounting").deleted == (on_delete == "apply")
        assert [row[0] for row in customers(accounting)] == [*left, "Bob"]
        assert [row[0] for row in contacts(crm)] == ["Bob"], "it does not come back"
        assert_settled(run)
        if not left:
            return
        # The row that was left is edited, which does not bring the deleted one back either.
        edit_customer(accounting, "ann@x.org", tel=PHONE)
        edit_customer(accounting, "bob@x.org", tel=OTHER_PHONE)
        run.sync()
        assert contacts(crm) == [("Bob", None, OTHER_PHONE, "bob@x.org")]
        assert customers(accounting)[0] == ("Ann", PHONE, "ann@x.org")
        assert_settled(run)


@pytest.mark.slow
@pytest.mark.parametrize("on_delete", ["apply", "ignore"])
def test_a_deleted_customer_who_comes_back_is_the_same_one(
    on_delete: OnDelete, sides: Sides
) -> None:
    crm, accounting = sides
    with running(_pipeline(sides, on_delete=on_delete)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        run.sync()
        crm.execute("DELETE FROM contacts")
        run.sync()
        enter_contact(crm, "ann@x.org", "Ann", phone=PHONE)
        run.sync()
        assert contacts(crm) == [("Ann", None, PHONE, "ann@x.org")]
        assert customers(accounting) == [("Ann", PHONE, "ann@x.org")]
        assert_settled(run)


@pytest.mark.slow
@pytest.mark.parametrize("deletes", ["crm", "accounting"])
@pytest.mark.parametrize(("policy", "survives"), [("keep-edit", True), ("delete-wins", False)])
def test_one_deletes_what_the_other_edits(
    policy: DeleteVsEdit, survives: bool, deletes: str, sides: Sides
) -> None:
    crm, accounting = sides
    with running(_pipeline(sides, delete_vs_edit=policy)) as run:
        enter_contact(crm, "ann@x.org", "Ann", "Lee", OTHER_PHONE)
        run.sync()
        if deletes == "crm":
            edit_customer(accounting, "ann@x.org", tel=PHONE)
            crm.execute("DELETE FROM contacts")
        else:
            accounting.execute("DELETE FROM customers")
            edit_contact(crm, "ann@x.org", phone=PHONE)
        run.sync()
        assert contacts(crm) == ([("Ann", "Lee", PHONE, "ann@x.org")] if survives else [])
        assert customers(accounting) == ([("Ann Lee", PHONE, "ann@x.org")] if survives else [])
        assert_settled(run)
        # What one sees and then deletes is deleted.
        crm.execute("DELETE FROM contacts")
        run.sync()
        assert customers(accounting) == []
        assert_settled(run)


@pytest.mark.slow
@pytest.mark.parametrize("on_delete", ["apply", "mark", "ignore"])
def test_the_key_of_a_deleted_row_is_given_to_another(on_delete: OnDelete, sides: Sides) -> None:
    crm, accounting = sides
    with running(_pipeline(sides, on_delete=on_delete)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        run.sync()
        crm.execute("DELETE FROM contacts")
        crm.execute("INSERT INTO contacts (id, first_name, email) VALUES (1, 'Bob', 'bob@x.org')")
        run.sync()
        left = [] if on_delete == "apply" else ["Ann"]
        assert [row[0] for row in customers(accounting)] == [*left, "Bob"]
        assert_settled(run)
        run.resync("contact")
        assert run.sync().changed == 0
        assert [row[0] for row in contacts(crm)] == ["Bob"]
        assert_settled(run)


@pytest.mark.slow
def test_what_is_replaced_whole_keeps_its_identity(sides: Sides) -> None:
    crm, accounting = sides
    with running(_pipeline(sides)) as run:
        enter_contact(crm, "ann@x.org", "Ann")
        enter_contact(crm, "bob@x.org", "Bob")
        run.sync()
        numbers = accounting.execute("SELECT number, billing_email FROM customers")
        edit_customer(accounting, "ann@x.org", tel=PHONE)
        # SQLite fires no trigger for the row that this deletes.
        crm.execute("REPLACE INTO contacts (id, first_name, email) VALUES (1, 'Anna', 'ann@x.org')")
        run.sync()
        assert accounting.execute("SELECT number, billing_email FROM customers") == numbers
        assert customers(accounting)[0][0] == "Anna"
        assert_settled(run)
