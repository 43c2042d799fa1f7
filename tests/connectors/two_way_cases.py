"""What the tests of two-way pipelines share: pipelines that end, customers, and what users see."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from syncline.cleaning import FieldCleaner
from syncline.connectors import PipelineRun, open_run
from syncline.connectors.database.tables import names_of
from syncline.connectors.file.spec import MappedField, MappedRecord, Triggers, TwoWay
from syncline.environment import wall_clock

from .two_sides import Side

KINDS = ("sqlite", "postgresql", "mariadb")
PHONE, OTHER_PHONE = "+16502530000", "+16502530001"


@contextmanager
def running(pipeline: TwoWay) -> Generator[PipelineRun]:
    """The pipeline at work, with the same ids in every run of the tests."""
    run = open_run(pipeline, rng=random.Random(1))
    try:
        yield run
    finally:
        run.close()


def field(name: str, **settings: Any) -> MappedField:
    """A field of the column of its name in all systems; ``ref`` and so on are its settings."""
    columns = settings.pop("columns", dict.fromkeys(("crm", "accounting", "support"), (name,)))
    return MappedField(name, columns, settings.pop("cleaner", FieldCleaner([])), **settings)


def pipeline_of(sides: Mapping[str, Side], *records: MappedRecord) -> TwoWay:
    """A pipeline of these records between these systems."""
    return TwoWay(
        name="shared",
        purpose="All see the same",
        every=30,
        systems={name: side.spec for name, side in sides.items()},
        stop_if_over=None,
        notify=(),
        captures={name: Triggers() for name in sides},
        records={record.name: record for record in records},
        relay=None,
    )


def record_of(
    name: str, table: str, fields: list[MappedField], *systems: str, **settings: Any
) -> MappedRecord:
    """A record that has one table, of the same name everywhere."""
    settings.setdefault("on_delete", "apply")
    tables = dict.fromkeys(systems or ("crm", "accounting"), table)
    return MappedRecord(name, tables, {each.name: each for each in fields}, **settings)


def enter_contact(
    crm: Side, email: str, first: str | None, last: str | None = None, phone: str | None = None
) -> None:
    crm.execute(
        "INSERT INTO contacts (first_name, last_name, phone, email)"
        " VALUES (:first, :last, :phone, :email)",
        first=first,
        last=last,
        phone=phone,
        email=email,
    )


def enter_customer(accounting: Side, email: str, name: str, phone: str | None = None) -> None:
    accounting.execute(
        "INSERT INTO customers (full_name, tel, billing_email) VALUES (:name, :phone, :email)",
        name=name,
        phone=phone,
        email=email,
    )


def enter_three(crm: Side) -> None:
    """Ann, Bob and Cyd, with one phone number."""
    for email, name in [("ann@x.org", "Ann"), ("bob@x.org", "Bob"), ("cyd@x.org", "Cyd")]:
        enter_contact(crm, email, name, phone=OTHER_PHONE)


def edit_contact(crm: Side, email: str, /, **columns: Any) -> None:
    _edit(crm, "contacts", "email", email, columns)


def edit_customer(accounting: Side, email: str, /, **columns: Any) -> None:
    _edit(accounting, "customers", "billing_email", email, columns)


def _edit(side: Side, table: str, key: str, email: str, columns: Mapping[str, Any]) -> None:
    """The edit of one user; the next one is later by any clock of a database."""
    assigned = ", ".join(f"{name} = :{name}" for name in columns)
    side.execute(f"UPDATE {table} SET {assigned} WHERE {key} = :key_", key_=email, **columns)
    later = wall_clock() + 3
    while wall_clock() < later:
        pass


def contacts(crm: Side) -> list[tuple[Any, ...]]:
    """First name, last name, phone and email of every contact, by email."""
    sql = "SELECT first_name, last_name, phone, email FROM contacts ORDER BY email, id"
    return [tuple(row) for row in crm.execute(sql)]


def customers(accounting: Side) -> list[tuple[Any, ...]]:
    """Name, phone and email of every customer, by email."""
    sql = "SELECT full_name, tel, billing_email FROM customers ORDER BY billing_email, number"
    return [tuple(row) for row in accounting.execute(sql)]


def everything(side: Side) -> dict[str, Any]:
    """All that a database holds: tables and triggers by name, and the rows of every table."""
    found: dict[str, Any] = {}
    with side.engine.connect() as connection:
        for name in sa.inspect(connection).get_table_names():
            rows = connection.execute(sa.text(f"SELECT * FROM {name}")).all()
            found[name] = sorted(map(repr, rows))
        found["triggers"] = sorted(connection.execute(sa.text(_TRIGGERS[kind_of(side)])).scalars())
        assert set(names_of(connection)) <= set(found)
    return found


def kind_of(side: Side) -> str:
    return {"mysql": "mariadb"}.get(side.engine.dialect.name, side.engine.dialect.name)


_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal",
    "mariadb": "SELECT trigger_name FROM information_schema.triggers"
    " WHERE trigger_schema = DATABASE()",
}


def assert_settled(run: PipelineRun) -> None:
    """Nothing is left to do, nothing goes to and fro, and all systems are equal."""
    assert run.sync().changed == 0
    assert not any(run.pending().values())
    result = run.verify()
    assert result.equal, result.differences
