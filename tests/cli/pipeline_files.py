"""Pipeline files of a CRM and an accounting, and of a shop and its reporting, over SQLite."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from typing import Any, NamedTuple

import pytest

from syncline.cli import main

TWO_WAY = """\
[pipeline]
name = "crm-accounting"
purpose = "Sales and finance see the same customers"
mode = "two-way"

[system.crm]
url = "sqlite:///crm.db"

[system.accounting]
url = "ACCOUNTING"

[record.contact]
in = { crm = "contacts", accounting = "customers" }
match = ["email"]
on_delete = "apply"
max_deletes = 1

[record.contact.field.name]
in = { crm = ["first_name", "last_name"], accounting = "full_name" }
clean = ["collapse-space"]
conflict = "surface"

[record.contact.field.email]
in = { crm = "email", accounting = "billing_email" }

[record.contact.field.phone]
in = { crm = "phone", accounting = "tel" }
type = { phone = "E164", region = ["US"] }
"""
ONE_WAY = """\
[pipeline]
name = "shop-reporting"
mode = "one-way"
stop_if_over = 1

[source]
url = "sqlite:///shop.db"

[destination]
url = "sqlite:///reporting.db"

[[table]]
name = "Customer"
to = "customers"

[table.field.Phone]
type = { phone = "E164", region = ["US"] }
"""
AWAY = "postgresql://sync:s3cret@127.0.0.1:1/accounting"
"""A database that nobody serves."""


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Commands:
    """Runs ``syncline`` in this process, as its entry point does."""

    def __init__(self, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._captured = captured

    def __call__(self, *arguments: str) -> Ended:
        self._patch.setattr(sys, "argv", ["syncline", *arguments])
        self._captured.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        captured = self._captured.readouterr()
        return Ended(code, captured.out, captured.err)

    def done(self, *arguments: str) -> str:
        """The output of a command that ends well and says nothing on standard error."""
        code, out, err = self(*arguments)
        assert (code, err) == (0, ""), (code, out, err)
        return out


def execute(file: str, sql: str) -> list[Any]:
    """Run statements in a SQLite database, as an application would; the rows of a single one."""
    with closing(sqlite3.connect(file)) as connection:
        if ";" in sql:
            connection.executescript(sql)
            return []
        rows = connection.execute(sql).fetchall()
        connection.commit()
        return rows


def contents(*files: str) -> list[list[str]]:
    """All that databases hold, as SQL."""
    found: list[list[str]] = []
    for file in files:
        with closing(sqlite3.connect(file)) as connection:
            found.append(list(connection.iterdump()))
    return found


def make_contacts() -> None:
    """Three contacts in the CRM, one of them without a phone number, and two in the accounting."""
    execute(
        "crm.db",
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, first_name VARCHAR(40),"
        " last_name VARCHAR(40), phone VARCHAR(40), email VARCHAR(80));"
        "INSERT INTO contacts (first_name, last_name, phone, email) VALUES"
        " ('Jane', 'Doe', '(650) 253-0000', 'jane@x.org'),"
        " ('Li', 'Wei', '650 253 0001', 'li@x.org'), ('Al', 'Bo', 'n/a', 'al@x.org');",
    )
    execute(
        "accounting.db",
        "CREATE TABLE customers (number INTEGER PRIMARY KEY, full_name VARCHAR(80),"
        " tel VARCHAR(40), billing_email VARCHAR(80));"
        "INSERT INTO customers (full_name, tel, billing_email) VALUES"
        " ('Jane Doe', '+16502530000', 'jane@x.org'), ('Zed', '+16502530009', 'zed@x.org');",
    )


def make_shop() -> None:
    """Three customers, one of them with no phone number where one should be."""
    execute(
        "shop.db",
        "CREATE TABLE Customer (Id INTEGER PRIMARY KEY, Name VARCHAR(40), Phone VARCHAR(40));"
        "INSERT INTO Customer VALUES (1, 'Jane', '(650) 253-0000'), (2, 'Li', NULL),"
        " (3, 'Al', '=n/a');",
    )
    execute("reporting.db", "CREATE TABLE passing (x); DROP TABLE passing;")
