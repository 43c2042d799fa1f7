"""The customers of Chinook: real phone numbers, addresses and countries."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncline.cleaning import InvalidValue, Row, parse_rules

CHINOOK = Path(__file__).parents[3] / "shared" / "data" / "chinook.sqlite"
FIELDS: dict[str, dict[str, Any]] = {
    "phone": {"type": {"phone": "E164", "region": ["field:country", "US"]}},
    "email": {"type": "Email"},
    "country": {"type": "Country", "required": True},
    "name": {"clean": ["fix-text", "strip-control", "collapse-space"], "required": True},
}


@pytest.fixture(scope="module")
def customers() -> list[dict[str, Any]]:
    if not CHINOOK.exists():
        pytest.skip("Chinook is not here")
    with closing(sqlite3.connect(f"file:{CHINOOK}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT Phone, Email, Country, FirstName || ' ' || LastName FROM Customer"
        ).fetchall()
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def clean(field: str, row: Row) -> object:
    """The clean value, which cleaning again does not change, also not beside a clean country."""
    cleaner = parse_rules(FIELDS[field], field)
    once = cleaner.clean(row[field], row)
    country = parse_rules(FIELDS["country"], "country").clean(row["country"], row)
    assert cleaner.clean(once, {**row, "country": country}) == once
    assert cleaner.clean(row[field], {**row, "country": country}) == once
    return once


def test_55_of_58_phone_numbers_come_out_as_e164(customers: list[dict[str, Any]]) -> None:
    assert len(customers) == 59
    refused: list[str] = []
    numbers: list[object] = []
    for row in customers:
        try:
            numbers.append(clean("phone", row))
        except InvalidValue as error:
            refused.append(error.message)
    assert numbers.count(None) == 1
    assert len(numbers) - 1 == 55
    assert all(str(number).startswith("+") for number in numbers if number is not None)
    assert "+442077070707" in numbers  # +44 020 7707 0707
    assert refused == [
        '"+453 3331 9991" is not a phone number.',  # a digit too many for Denmark
        '"+56 (0)2 635 4444" is not a phone number.',  # Santiago has had eight digits since 2012
        '"+91 0124 39883988" is not a phone number.',  # a digit too many for Gurgaon
    ]


def test_every_address_country_and_name_is_taken(customers: list[dict[str, Any]]) -> None:
    assert [clean("email", row) for row in customers] == [row["email"] for row in customers]
    assert [clean("name", row) for row in customers] == [row["name"] for row in customers]
    countries = {row["country"]: clean("country", row) for row in customers}
    assert len(countries) == 24
    assert (countries["USA"], countries["Czech Republic"]) == ("US", "CZ")
