"""A table that was emptied by accident, larger than one transaction: nothing of it goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncline.connectors.file.spec import Compare
from syncline.engine.errors import PipelineStopped

from .two_sides import Side, shared_contacts, two_sides
from .two_way_cases import KINDS, customers, enter_contact, running


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions so small that each of them alone deletes no more than is always allowed."""
    monkeypatch.setattr("syncline.connectors.two_way.replica.NOTES_AT_ONCE", 4)
    monkeypatch.setattr("syncline.connectors.two_way.replica.RECORDS_AT_ONCE", 4)


def enter_twenty(crm: Side) -> None:
    for number in range(20):
        enter_contact(crm, f"{number}@x.org", f"Name{number}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_triggers", [True, False])
def test_it_is_counted_before_anything_is_written(
    kind: str, by_triggers: bool, tmp_path: Path
) -> None:
    with two_sides(kind, "sqlite", tmp_path) as (crm, accounting):
        pipeline = shared_contacts(crm, accounting)
        if not by_triggers:
            pipeline = replace(pipeline, captures=dict.fromkeys(pipeline.captures, Compare()))
        with running(pipeline) as run:
            enter_twenty(crm)
            run.sync()
            crm.execute("DELETE FROM contacts WHERE email <> '0@x.org'")
            with pytest.raises(PipelineStopped, match=r"^19 of 20 rows of crm.contacts are gone, "):
                run.sync()
            assert len(customers(accounting)) == 20
            run.sync(allow_deletes=True)
            assert [email for _, _, email in customers(accounting)] == ["0@x.org"]


@pytest.mark.slow
def test_rows_that_came_again_are_not_counted(tmp_path: Path) -> None:
    """Some programs replace all rows of a table by deleting them first."""
    with (
        two_sides("sqlite", "sqlite", tmp_path) as (crm, accounting),
        running(shared_contacts(crm, accounting)) as run,
    ):
        enter_twenty(crm)
        run.sync()
        crm.execute("CREATE TABLE copy AS SELECT * FROM contacts")
        crm.execute("DELETE FROM contacts")
        crm.execute("INSERT INTO contacts SELECT * FROM copy")
        assert run.sync().changed == 0
        assert len(customers(accounting)) == 20
