"""The example pipelines do what they say, by the commands that a user types."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from syncline.cli import app
from syncline.environment import wall_clock
from tests.cli.processes import SYNCLINE

from .two_sides import Side, empty
from .two_way_cases import KINDS

CHINOOK = Path(__file__).parents[3] / "shared" / "data" / "chinook.sqlite"
EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.skipif(not CHINOOK.exists(), reason="Chinook is not here")

ROWS = {
    "Album": 347,
    "Artist": 275,
    "Customer": 59,
    "Employee": 8,
    "Genre": 25,
    "Invoice": 412,
    "InvoiceLine": 2240,
    "MediaType": 5,
    "Playlist": 18,
    "PlaylistTrack": 8715,
    "Track": 3503,
}
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
WITHOUT_NUMBER = {"kara.nielsen@jubii.dk", "luisrojas@yahoo.cl", "manoj.pareek@rediff.com"}
"""Customers of Chinook whose phone numbers do not exist."""


def command(*arguments: str | Path) -> dict[str, Any]:
    """What ``syncline`` prints as JSON; it has to succeed."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# Reports


class Reporting:
    """A shop and its reports, kept in step by examples/reporting.toml."""

    file = EXAMPLES / "reporting.toml"

    def __init__(self, kind: str, folder: Path, url: str) -> None:
        shop = folder / "chinook.sqlite"
        shutil.copyfile(CHINOOK, shop)
        self.environ = {"SOURCE_URL": f"sqlite:///{shop}", "REPORTING_URL": url}
        self.shop = Side("source", "sqlite", self.environ["SOURCE_URL"])
        self.reports = Side("destination", kind, url)

    def close(self) -> None:
        self.shop.close()
        self.reports.close()

    def rows(self, table: str, *columns: str, **where: Any) -> list[tuple[Any, ...]]:
        """Rows of the reports, by the first of these columns."""
        selected: list[sa.ColumnElement[Any]] = [sa.column(name) for name in columns]
        statement: sa.Select[Any] = sa.select(*selected).select_from(sa.table(table))
        for name, value in where.items():
            statement = statement.where(sa.column(name) == value)
        with self.reports.engine.connect() as connection:
            found = connection.execute(statement.order_by(sa.column(columns[0])))
            return [tuple(row) for row in found]

    def counts(self) -> dict[str, int]:
        """The rows of all tables of the reports that are there, but Syncline's."""
        with self.reports.engine.connect() as connection:
            return {
                name: connection.execute(
                    sa.select(sa.func.count()).select_from(sa.table(name))
                ).scalar_one()
                for name in sa.inspect(connection).get_table_names()
                if not name.startswith("_syncline_")
            }


@pytest.fixture(params=["postgresql", "mariadb"])
def reporting(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Reporting]:
    with empty(request.param, tmp_path, "reports") as url:
        made = Reporting(request.param, tmp_path, url)
        for name, value in made.environ.items():
            monkeypatch.setenv(name, value)
        yield made
        made.close()


@pytest.mark.slow
def test_reports_follow_the_shop(reporting: Reporting) -> None:
    shop, file = reporting.shop, reporting.file
    assert command("check", file) == {"ok": True, "findings": []}
    assert command("sync", file, "--dry-run")["changed"] == sum(ROWS.values())
    assert reporting.counts() == {}
    assert command("sync", file)["changed"] == sum(ROWS.values())
    assert reporting.counts() == ROWS | {"Track_history": 0}
    assert command("sync", file)["changed"] == 0
    with reporting.reports.engine.connect() as connection:
        columns = {each["name"] for each in sa.inspect(connection).get_columns("Employee")}
    assert "HireDate" in columns
    assert "BirthDate" not in columns
    phones = dict(reporting.rows("Customer", "Email", "Phone"))
    assert {email for email, phone in phones.items() if phone is None} == {
        *WITHOUT_NUMBER,
        "ladislav_kovacs@apple.hu",  # has none
    }
    assert all(E164.fullmatch(phone) for phone in phones.values() if phone)
    held = command("quarantine", file)["quarantined"]
    assert [(each["key"], each["field"]) for each in held] == [
        ("57", "Phone"),
        ("58", "Phone"),
        ("9", "Phone"),
    ]

    shop.execute("INSERT INTO Artist VALUES (276, 'Ada')")
    shop.execute("INSERT INTO Album VALUES (348, 'Engines', 276)")
    shop.execute("INSERT INTO Track VALUES (3504, 'Note G', 348, 1, 1, NULL, 1843, 8, 0.99)")
    shop.execute("UPDATE Track SET UnitPrice = 1.49 WHERE TrackId = 1")
    shop.execute("UPDATE Customer SET Phone = '+45 33 31 99 91' WHERE CustomerId = 9")
    shop.execute("DELETE FROM InvoiceLine WHERE InvoiceId = 98")
    shop.execute("DELETE FROM Invoice WHERE InvoiceId = 98")
    shop.execute(
        "INSERT INTO Customer (CustomerId, FirstName, LastName, Email) "
        "VALUES (60, 'Ann', 'Other', ' ann@Example.com')"
    )
    assert command("sync", file)["changed"] == 9
    assert reporting.rows("Track", "Name", "UnitPrice", AlbumId=348) == [
        ("Note G", Decimal("0.99"))
    ]
    assert reporting.rows("Track", "UnitPrice", TrackId=1) == [(Decimal("1.49"),)]
    assert reporting.rows("Track_history", "TrackId", "UnitPrice") == [(1, Decimal("0.99"))]
    assert reporting.rows("Customer", "Phone", CustomerId=9) == [("+4533319991",)]
    assert reporting.rows("Customer", "Email", CustomerId=60) == [("ann@example.com",)]
    assert reporting.rows("InvoiceLine", "InvoiceLineId", InvoiceId=98) == []

    shop.execute("ALTER TABLE Customer ADD COLUMN Newsletter VARCHAR(10)")
    shop.execute("UPDATE Customer SET Newsletter = 'weekly' WHERE CustomerId IN (1, 60)")
    shop.execute("DELETE FROM Customer WHERE CustomerId = 60")
    command("sync", file)
    assert reporting.rows("Customer", "CustomerId", Newsletter="weekly") == [(1,)]
    ((gone,),) = reporting.rows("Customer", "_syncline_deleted_at", CustomerId=60)
    assert gone is not None
    assert len(reporting.rows("Customer", "CustomerId", _syncline_deleted_at=None)) == 59

    found = command("verify", file)
    assert found["equal"]
    assert found["rows"]["Customer"] == 59  # with the two that are held
    assert command("sync", file)["changed"] == 0


@pytest.mark.slow
def test_reports_after_kill_9(reporting: Reporting) -> None:
    """A copy that is killed wherever it is goes on, and doubles nothing."""
    kills = 0
    for rows in (1, 2_000, 10_000):
        process = subprocess.Popen([*SYNCLINE, "sync", reporting.file], stdout=subprocess.DEVNULL)
        while process.poll() is None and sum(reporting.counts().values()) < rows:
            pass
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert kills > 0
    command("sync", reporting.file)
    assert command("verify", reporting.file)["equal"]
    assert reporting.counts() == ROWS | {"Track_history": 0}


# Customers of a CRM and an accounting


class Office:
    """A CRM and an accounting, kept in step by examples/crm_accounting.toml."""

    file = EXAMPLES / "crm_accounting.toml"

    def __init__(self, crm: Side, accounting: Side) -> None:
        self.crm = crm
        self.accounting = accounting

    def contact(self, email: str, *columns: str) -> tuple[Any, ...]:
        sql = f"SELECT {', '.join(columns)} FROM contacts WHERE email = :email"
        (row,) = self.crm.execute(sql, email=email)
        return tuple(row)

    def customer(self, email: str, *columns: str) -> tuple[Any, ...]:
        sql = f"SELECT {', '.join(columns)} FROM customers WHERE billing_email = :email"
        (row,) = self.accounting.execute(sql, email=email)
        return tuple(row)

    def phones(self) -> dict[str, tuple[Any, Any]]:
        """What both have as the phone number of each customer, by address."""
        contacts = dict(map(tuple, self.crm.execute("SELECT email, phone FROM contacts")))
        customers = dict(
            map(tuple, self.accounting.execute("SELECT billing_email, tel FROM customers"))
        )
        assert contacts.keys() == customers.keys()
        assert len(contacts) == 59
        return {email: (phone, customers[email]) for email, phone in contacts.items()}

    def settle(self) -> None:
        """Both are equal, and a second pass right after the last finds nothing to do."""
        report = command("sync", self.file)
        assert (report["changed"], report["looked_at"]) == (0, 0)
        assert command("verify", self.file)["equal"]


@pytest.fixture
def office(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Office]:
    crm_kind, accounting_kind = request.param
    with empty(crm_kind, tmp_path, "crm") as crm, empty(accounting_kind, tmp_path, "acc") as books:
        monkeypatch.setenv("CRM_URL", crm)
        monkeypatch.setenv("ACCOUNTING_URL", books)
        program = runpy.run_path(str(EXAMPLES / "crm_accounting.py"))
        program["main"](str(CHINOOK), crm, books)
        sides = Side("crm", crm_kind, crm), Side("accounting", accounting_kind, books)
        yield Office(*sides)
        for side in sides:
            side.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "office", [(crm, books) for crm in KINDS for books in KINDS], indirect=True, ids="-".join
)
def test_a_crm_and_an_accounting(office: Office) -> None:
    file = office.file
    assert command("check", file) == {"ok": True, "findings": []}
    report = command("sync", file)
    assert report["cleaned"]["E164"] > 0
    flows = {(each["from"], each["to"]): each["inserted"] for each in report["flows"]}
    assert (flows["crm", "accounting"], flows["accounting", "crm"]) == (19, 19)
    wrong = {
        email
        for email, numbers in office.phones().items()
        if not all(number is None or E164.fullmatch(number) for number in numbers)
    }
    assert wrong == WITHOUT_NUMBER
    held = command("quarantine", file)["quarantined"]
    assert {each["original"] for each in held} == {
        "+453 3331 9991",
        "+56 (0)2 635 4444",
        "+91 0124 39883988",
    }
    office.settle()

    # Different fields of one customer: both edits are kept.
    frank, kathy, fynn = "fharris@google.com", "kachase@hotmail.com", "fzimmermann@yahoo.de"
    edit = "UPDATE contacts SET {} WHERE email = :email"
    book = "UPDATE customers SET {} WHERE billing_email = :email"
    office.crm.execute(edit.format("phone = '650 253 0001'"), email=frank)
    office.accounting.execute(book.format("full_name = 'Francis Harris'"), email=frank)
    # The same field: the newest name, the accounting's country, and phones are undecided.
    office.crm.execute(edit.format("first_name = 'Kate', country = 'Canada'"), email=kathy)
    office.crm.execute(edit.format("phone = '069 40598800'"), email=fynn)
    later()
    office.accounting.execute(book.format("full_name = 'Katherine Chase'"), email=kathy)
    office.accounting.execute(book.format("country = 'Mexico'"), email=kathy)
    office.accounting.execute(book.format("tel = '+49 69 40598811'"), email=fynn)
    # Not the CRM's to change, and no number.
    office.crm.execute(edit.format("vat_number = 'none'"), email="camille.bernard@yahoo.fr")
    office.accounting.execute(book.format("tel = 'ask her'"), email="emma_jones@hotmail.com")
    report = command("sync", file)
    assert [each["fields"] for each in report["merged"] if "Harris" in each["label"]] == [
        {"phone": "crm", "name": "accounting"}
    ]
    listed = {
        (each["field"], each["policy"]): each["values"]
        for each in command("conflicts", file)["conflicts"]
    }
    assert listed == {
        ("name", "newest"): {"crm": "Kate Chase", "accounting": "Katherine Chase"},
        ("country", "prefer"): {"crm": "CA", "accounting": "MX"},
        ("phone", "surface"): {"crm": "+496940598800", "accounting": "+496940598811"},
    }
    names = ("first_name", "last_name", "phone", "country")
    assert office.contact(frank, *names) == ("Francis", "Harris", "+16502530001", "US")
    assert office.customer(frank, "full_name", "tel") == ("Francis Harris", "+16502530001")
    assert office.contact(kathy, *names) == ("Katherine", "Chase", "+17752237665", "MX")
    assert office.customer(kathy, "full_name", "country") == ("Katherine Chase", "MX")
    assert office.contact(fynn, "phone") == office.customer(fynn, "tel")
    vat = office.contact("camille.bernard@yahoo.fr", "vat_number")
    assert vat == office.customer("camille.bernard@yahoo.fr", "vat") == ("FR40303265045",)
    assert office.contact("emma_jones@hotmail.com", "phone") == ("+442077070707",)
    held = command("quarantine", file)["quarantined"]
    assert "ask her" in {each["original"] for each in held}
    office.settle()

    (undecided,) = [
        each for each in command("conflicts", file)["conflicts"] if each["policy"] == "surface"
    ]
    command("conflicts", file, "--resolve", undecided["rid"], "phone", "--take", "crm")
    office.accounting.execute(book.format("tel = '020 7707 0708'"), email="emma_jones@hotmail.com")
    command("sync", file)
    assert office.customer(fynn, "tel") == office.contact(fynn, "phone") == ("+496940598800",)
    assert office.contact("emma_jones@hotmail.com", "phone") == ("+442077070708",)
    assert len(command("quarantine", file)["quarantined"]) == 3
    assert len(command("conflicts", file)["conflicts"]) == 2
    office.settle()


def later() -> None:
    """The next edit is later by any clock of a database."""
    until = wall_clock() + 3
    while wall_clock() < until:
        pass
