"""Makes the two tables that crm_accounting.toml keeps in sync, from the customers of Chinook::

    python crm_accounting.py chinook.sqlite sqlite:///crm.db sqlite:///accounting.db

The first database gets customers 1 to 40 as contacts of a CRM, the second 20 to 59 as customers of
an accounting; so 21 are in both, and the first sync brings the others to where they are missing.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import NamedTuple

import sqlalchemy as sa

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
CUSTOMERS = "SELECT FirstName, LastName, Phone, Email, Country FROM Customer"
IN_CRM = slice(0, 40)
IN_ACCOUNTING = slice(19, 59)
VAT = {
    "hannah.schneider@yahoo.de": "DE 136.695.976",
    "camille.bernard@yahoo.fr": "FR 40 303 265 045",
}
"""Numbers that the accounting knows, by address."""

TABLES = sa.MetaData()
CONTACTS = sa.Table(
    "contacts",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("first_name", sa.String(40)),
    sa.Column("last_name", sa.String(40)),
    sa.Column("phone", sa.String(40)),
    sa.Column("email", sa.String(80)),
    sa.Column("country", sa.String(40)),
    sa.Column("vat_number", sa.String(20)),
    mysql_charset="utf8mb4",
)
ACCOUNTS = sa.Table(
    "customers",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("full_name", sa.String(80), nullable=False),
    sa.Column("tel", sa.String(40)),
    sa.Column("billing_email", sa.String(80)),
    sa.Column("country", sa.String(40)),
    sa.Column("vat", sa.String(20)),
    mysql_charset="utf8mb4",
)


class Customer(NamedTuple):
    """A customer of Chinook."""

    first_name: str
    last_name: str
    phone: str | None
    email: str
    country: str


def read_customers(chinook: str) -> list[Customer]:
    """The customers in the file ``chinook``, by their number."""
    with closing(sqlite3.connect(f"file:{chinook}?mode=ro", uri=True)) as connection:
        rows = connection.execute(f"{CUSTOMERS} ORDER BY CustomerId").fetchall()
    return [Customer(*row) for row in rows]


def make(url: str, table: sa.Table, rows: list[dict[str, str | None]]) -> None:
    """Make ``table`` with these rows. Raises DBAPIError if it is there already."""
    parsed = sa.make_url(url)
    if driver := DRIVERS.get(parsed.drivername):
        parsed = parsed.set(drivername=f"{parsed.drivername}+{driver}")
    engine = sa.create_engine(parsed)
    with engine.begin() as connection:
        table.create(connection, checkfirst=False)
        connection.execute(sa.insert(table), rows)
    engine.dispose()


def main(chinook: str, crm_url: str, accounting_url: str) -> None:
    customers = read_customers(chinook)
    contacts: list[dict[str, str | None]] = [
        {
            "first_name": each.first_name,
            "last_name": each.last_name,
            "phone": each.phone,
            "email": each.email,
            "country": each.country,
        }
        for each in customers[IN_CRM]
    ]
    accounts: list[dict[str, str | None]] = [
        {
            "full_name": f"{each.first_name} {each.last_name}",
            "tel": each.phone,
            "billing_email": each.email,
            "country": each.country,
            "vat": VAT.get(each.email),
        }
        for each in customers[IN_ACCOUNTING]
    ]
    make(crm_url, CONTACTS, contacts)
    make(accounting_url, ACCOUNTS, accounts)
    print(f"{len(contacts)} contacts and {len(accounts)} customers.")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python crm_accounting.py CHINOOK_FILE CRM_URL ACCOUNTING_URL")
    main(*sys.argv[1:])
