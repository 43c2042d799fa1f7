"""Two-way pipelines on several machines, which meet at a relay."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from syncline import Record, Relay, Replica
from syncline.connectors import PipelineRun, open_run
from syncline.connectors.file.spec import MappedField, RelaySpec, TwoWay
from syncline.connectors.report import PassReport

from .two_sides import Side, shared_contacts, two_sides

T = TypeVar("T")


@pytest.fixture
def sides(tmp_path: Path) -> Generator[tuple[Side, Side]]:
    with two_sides("sqlite", "sqlite", tmp_path) as both:
        yield both


@asynccontextmanager
async def relay_at(folder: Path, name: str = "relay.db", port: int = 0) -> AsyncGenerator[Relay]:
    async with Relay(folder / name, port=port) as relay:
        yield relay


def of_one(pipeline: TwoWay, name: str, relay: str) -> TwoWay:
    """The part of a pipeline that runs on the machine of one system."""
    record = pipeline.records["contact"]
    fields = {
        key: replace(field, columns={name: field.columns[name]})
        for key, field in record.fields.items()
    }
    return replace(
        pipeline,
        systems={name: pipeline.systems[name]},
        captures={name: pipeline.captures[name]},
        records={"contact": replace(record, tables={name: record.tables[name]}, fields=fields)},
        relay=RelaySpec(f"{relay}/contacts"),
    )


class Machine:
    """A machine with one system; each pass is a process of its own."""

    def __init__(self, pipeline: TwoWay, name: str, relay: str) -> None:
        self.name = name
        self.pipeline = of_one(pipeline, name, relay)

    async def sync(self) -> PassReport:
        return await self.do(lambda run: run.sync())

    async def do(self, work: Callable[[PipelineRun], T]) -> T:
        def process() -> T:
            run = open_run(self.pipeline)
            try:
                return work(run)
            finally:
                run.close()

        return await asyncio.to_thread(process)


async def in_step(*machines: Machine) -> None:
    """Passes until each has told all others what it had, and a round that writes nothing."""
    for _ in range(2):
        for machine in machines:
            await machine.sync()
    reports = [await machine.sync() for machine in machines]
    assert not any(report.waiting for report in reports), reports
    assert not any(report.changed for report in reports), "the machines do not come to rest"


def contacts(crm: Side) -> list[tuple[str, ...]]:
    rows = crm.execute("SELECT first_name, last_name, phone, email FROM contacts ORDER BY email")
    return [(f"{first} {last}", phone, email) for first, last, phone, email in rows]


def customers(accounting: Side) -> list[tuple[str, ...]]:
    rows = accounting.execute(
        "SELECT full_name, tel, billing_email FROM customers ORDER BY billing_email"
    )
    return [tuple(row) for row in rows]


def add_jane(crm: Side) -> None:
    crm.execute(
        "INSERT INTO contacts (first_name, last_name, phone, email)"
        " VALUES ('Jane', 'Doe', '(650) 253-0000', 'jane@x.org')"
    )


@pytest.mark.slow
async def test_records_pass_through_a_relay(sides: tuple[Side, Side], tmp_path: Path) -> None:
    crm, accounting = sides
    add_jane(crm)
    accounting.execute(
        "INSERT INTO customers (full_name, tel, billing_email)"
        " VALUES ('Li Wei', '+16502530009', 'li@x.org')"
    )
    pipeline = shared_contacts(crm, accounting)
    async with relay_at(tmp_path) as relay:
        first, second = (Machine(pipeline, each, relay.url) for each in ("crm", "accounting"))
        await in_step(first, second)
        both = [
            ("Jane Doe", "+16502530000", "jane@x.org"),
            ("Li Wei", "+16502530009", "li@x.org"),
        ]
        assert contacts(crm) == customers(accounting) == both
        # At the same time, of one customer: different fields merge.
        crm.execute("UPDATE contacts SET first_name = 'Joan' WHERE email = 'jane@x.org'")
        accounting.execute("UPDATE customers SET tel = '+16502530001' WHERE full_name = 'Jane Doe'")
        crm.execute("DELETE FROM contacts WHERE email = 'li@x.org'")
        await in_step(first, second)
        expected = [("Joan Doe", "+16502530001", "jane@x.org")]
        assert contacts(crm) == customers(accounting) == expected


@pytest.mark.slow
async def test_customers_that_both_had_are_one_record(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    crm, accounting = sides
    add_jane(crm)
    accounting.execute(
        "INSERT INTO customers (full_name, tel, billing_email)"
        " VALUES ('Jane Doe', NULL, 'jane@x.org')"
    )
    pipeline = shared_contacts(crm, accounting)
    async with relay_at(tmp_path) as relay:
        first, second = (Machine(pipeline, each, relay.url) for each in ("crm", "accounting"))
        await in_step(first, second)
    assert contacts(crm) == customers(accounting) == [("Jane Doe", "+16502530000", "jane@x.org")]


@pytest.mark.slow
async def test_changes_wait_for_a_relay_that_is_down(
    sides: tuple[Side, Side], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.connectors.two_way.relay.RELAY_SECONDS", 0.2)
    crm, accounting = sides
    add_jane(crm)
    pipeline = shared_contacts(crm, accounting)
    alone = Machine(pipeline, "crm", "ws://127.0.0.1:9")
    report = await alone.sync()
    assert list(report.waiting) == ["relay"]
    monkeypatch.undo()
    async with relay_at(tmp_path) as relay:
        first, second = (Machine(pipeline, each, relay.url) for each in ("crm", "accounting"))
        await in_step(first, second)
    assert customers(accounting) == [("Jane Doe", "+16502530000", "jane@x.org")]


@pytest.mark.slow
async def test_a_relay_that_lost_everything_is_filled_again(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    crm, accounting = sides
    add_jane(crm)
    pipeline = shared_contacts(crm, accounting)
    async with relay_at(tmp_path) as relay:
        await in_step(*(Machine(pipeline, each, relay.url) for each in ("crm", "accounting")))
    crm.execute("UPDATE contacts SET first_name = 'Joan'")
    async with relay_at(tmp_path, "another.db") as relay:
        await in_step(*(Machine(pipeline, each, relay.url) for each in ("crm", "accounting")))
    assert contacts(crm) == customers(accounting) == [("Joan Doe", "+16502530000", "jane@x.org")]


@pytest.mark.slow
async def test_a_database_from_a_backup_loses_no_edit_of_another_machine(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    crm, accounting = sides
    add_jane(crm)
    pipeline = shared_contacts(crm, accounting)
    file = Path(str(crm.engine.url.database))
    async with relay_at(tmp_path) as relay:
        first, second = (Machine(pipeline, each, relay.url) for each in ("crm", "accounting"))
        await in_step(first, second)
        shutil.copy(file, tmp_path / "backup.db")
        crm.execute("UPDATE contacts SET first_name = 'Joan'")
        await in_step(first, second)
        shutil.copy(tmp_path / "backup.db", file)
        crm.execute("UPDATE contacts SET phone = '+16502530001'")
        accounting.execute("UPDATE customers SET tel = '+16502530002' WHERE full_name = 'none'")
        await in_step(first, second)
    assert contacts(crm) == customers(accounting) == [("Joan Doe", "+16502530001", "jane@x.org")]


@pytest.mark.slow
async def test_machines_agree_on_the_kinds_of_fields(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    """What is a number here may be text there: both show one value, and come to rest."""
    crm, accounting = sides
    crm.execute("ALTER TABLE contacts ADD COLUMN stars INTEGER")
    accounting.execute("ALTER TABLE customers ADD COLUMN stars VARCHAR(10)")
    add_jane(crm)
    crm.execute("UPDATE contacts SET stars = 5")
    pipeline = shared_contacts(crm, accounting)
    contact = pipeline.records["contact"]
    email = contact.fields["email"]
    stars = MappedField("stars", {"crm": ("stars",), "accounting": ("stars",)}, email.cleaner)
    fields = {**contact.fields, "stars": stars}
    pipeline = replace(pipeline, records={"contact": replace(contact, fields=fields)})
    async with relay_at(tmp_path) as relay:
        first, second = (Machine(pipeline, each, relay.url) for each in ("crm", "accounting"))
        await in_step(first, second)
        assert accounting.execute("SELECT stars FROM customers") == [("5",)]
        accounting.execute("UPDATE customers SET stars = '4'")
        await in_step(first, second)
    assert crm.execute("SELECT stars FROM contacts") == [(4,)]


@pytest.mark.slow
async def test_a_dry_run_tells_the_relay_nothing(sides: tuple[Side, Side], tmp_path: Path) -> None:
    crm, accounting = sides
    add_jane(crm)
    pipeline = shared_contacts(crm, accounting)
    async with relay_at(tmp_path) as relay:
        first, second = (Machine(pipeline, each, relay.url) for each in ("crm", "accounting"))
        await first.do(lambda run: run.sync(dry_run=True))
        await second.sync()
        assert customers(accounting) == []
        await first.sync()

        def dry_then_wet(run: PipelineRun) -> tuple[int, int]:
            return run.sync(dry_run=True).changed, run.sync().changed

        assert await second.do(dry_then_wet) == (1, 1)
    assert customers(accounting) == [("Jane Doe", "+16502530000", "jane@x.org")]


@pytest.mark.slow
async def test_a_process_that_goes_on_takes_what_comes(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    crm, accounting = sides
    pipeline = shared_contacts(crm, accounting)
    async with relay_at(tmp_path) as relay:
        first, second = (Machine(pipeline, each, relay.url) for each in ("crm", "accounting"))
        run = await asyncio.to_thread(open_run, second.pipeline)
        await asyncio.to_thread(run.sync)
        for number in range(3):
            crm.execute(
                "INSERT INTO contacts (first_name, email) VALUES ('Jane', :email)",
                email=f"{number}@x.org",
            )
            await first.sync()
            await asyncio.to_thread(run.sync)
            assert len(customers(accounting)) == number + 1
            assert run.pending() == {"accounting": 0, "relay": 0}
        await asyncio.to_thread(run.close)


class Contact(Record, collection="contact"):
    name: str
    phone: str | None = None
    email: str | None = None


@pytest.mark.slow
async def test_an_app_has_the_same_records(sides: tuple[Side, Side], tmp_path: Path) -> None:
    """What is a row in the CRM is a record in an app that knows nothing of pipelines."""
    crm, accounting = sides
    add_jane(crm)
    async with relay_at(tmp_path) as relay:
        machine = Machine(shared_contacts(crm, accounting), "crm", relay.url)
        await machine.sync()
        async with Replica.open(
            tmp_path / "app.db", models=[Contact], relay=f"{relay.url}/contacts"
        ) as app:
            await app.synced()
            (jane,) = app.collection(Contact)
            assert (jane.name, jane.phone) == ("Jane Doe", "+16502530000")
            jane.name = "Joan Doe"
            app.collection(Contact).create(name="Li Wei", email="li@x.org")
            await app.synced()
            await machine.sync()
            assert contacts(crm) == [
                ("Joan Doe", "+16502530000", "jane@x.org"),
                ("Li Wei", None, "li@x.org"),
            ]
            crm.execute("DELETE FROM contacts WHERE email = 'li@x.org'")
            await machine.sync()
            await app.synced()
            assert [each.name for each in app.collection(Contact)] == ["Joan Doe"]
