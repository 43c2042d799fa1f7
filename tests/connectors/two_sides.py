"""A CRM and an accounting that share customers: the two databases of most tests of two-way sync."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from syncline.cleaning import Clean, FieldCleaner, Phone
from syncline.connectors.database.system import System
from syncline.connectors.file.spec import MappedField, MappedRecord, SystemSpec, Triggers, TwoWay
from tests.stores.servers import database

_AUTOKEY = {
    "sqlite": "INTEGER PRIMARY KEY",
    "postgresql": "serial PRIMARY KEY",
    "mariadb": "INTEGER PRIMARY KEY AUTO_INCREMENT",
}


@contextmanager
def empty(kind: str, folder: Path, name: str) -> Generator[str]:
    """The URL of a new, empty database."""
    if kind == "sqlite":
        (folder / f"{name}.db").touch()
        yield f"sqlite:///{folder / name}.db"
    else:
        with database(kind) as made:
            yield made.url


class Side:
    """One database, as its users see it."""

    def __init__(self, name: str, kind: str, url: str) -> None:
        self.name = name
        self.spec = SystemSpec(name, url)
        self._kind = kind
        self._system = System(self.spec)
        self.engine = self._system.engine

    def execute(self, sql: str, **values: Any) -> list[Any]:
        """Run a statement in a transaction of its own, as an application would."""
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(sql), values)
            return list(result.all()) if result.returns_rows else []

    def create(self, sql: str) -> None:
        """Create a table; ``{autokey}`` is a key that the database makes."""
        self.execute(sql.replace("{autokey}", _AUTOKEY[self._kind]))

    def close(self) -> None:
        self._system.close()


CONTACTS = (
    "CREATE TABLE contacts (id {autokey}, first_name VARCHAR(40), last_name VARCHAR(40),"
    " phone VARCHAR(40), email VARCHAR(80), country VARCHAR(40))"
)
CUSTOMERS = (
    "CREATE TABLE customers (number {autokey}, full_name VARCHAR(80), tel VARCHAR(40),"
    " billing_email VARCHAR(80), vat VARCHAR(20))"
)


@contextmanager
def two_sides(crm_kind: str, accounting_kind: str, folder: Path) -> Generator[tuple[Side, Side]]:
    """A CRM and an accounting without customers."""
    with empty(crm_kind, folder, "crm") as first, empty(accounting_kind, folder, "acc") as second:
        crm = Side("crm", crm_kind, first)
        accounting = Side("accounting", accounting_kind, second)
        try:
            crm.create(CONTACTS)
            accounting.create(CUSTOMERS)
            yield crm, accounting
        finally:
            crm.close()
            accounting.close()


def shared_contacts(*sides: Side, **record: Any) -> TwoWay:
    """The pipeline between the two; ``record`` are settings of its contacts."""
    rules: list[tuple[str, str | tuple[str, ...], str, FieldCleaner]] = [
        (
            "name",
            ("first_name", "last_name"),
            "full_name",
            FieldCleaner(Clean("collapse-space").rules),
        ),
        ("phone", "phone", "tel", FieldCleaner([Phone(["US"])])),
        ("email", "email", "billing_email", FieldCleaner([])),
    ]
    fields = {
        name: MappedField(
            name,
            {
                "crm": (crm,) if isinstance(crm, str) else crm,
                "accounting": (accounting,),
            },
            cleaner,
        )
        for name, crm, accounting, cleaner in rules
    }
    settings: dict[str, Any] = {"match": ("email",), "on_delete": "apply"} | record
    fields |= settings.pop("fields", {})
    contact = MappedRecord(
        "contact", {"crm": "contacts", "accounting": "customers"}, fields, **settings
    )
    return TwoWay(
        name="crm-accounting",
        purpose="Sales and finance see the same customers",
        every=30,
        systems={side.name: side.spec for side in sides},
        stop_if_over=None,
        notify=(),
        captures={side.name: Triggers() for side in sides},
        records={"contact": contact},
        relay=None,
    )
