"""Values and moments as the command line shows them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from syncline.cli.plain import MAX_SHOWN, clock, counted, instant, plain, plural, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Li", "Li"),
        (None, "(nothing)"),
        ("", '""'),
        ("  ", '"  "'),
        (b"ab", "(2 bytes)"),
        (1.5, "1.5"),
        ("x" * MAX_SHOWN, "x" * MAX_SHOWN),
        ("x" * (MAX_SHOWN + 1), "x" * (MAX_SHOWN - 1) + "…"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("right\u202eleft", "right\\u202eleft"),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert shown(value) == text


def test_what_is_printable_stays() -> None:
    assert plain("Köhler 王 [bold]") == "Köhler 王 [bold]"


def test_nouns() -> None:
    nouns = ["contact", "company", "key", "address", "tax", "branch", "customers", "status"]
    assert [plural(noun) for noun in nouns] == [
        *("contacts", "companies", "keys", "addresses", "taxes", "branches", "customers"),
        "statuses",
    ]
    assert (counted(1, "row"), counted(1_200, "row")) == ("1 row", "1,200 rows")


def test_a_time_of_another_day_has_its_date() -> None:
    at = instant(1_772_366_490_000)
    local = at.astimezone()
    assert clock(at, lambda: 1_772_366_490_000) == f"{local:%H:%M:%S}"
    later = at + timedelta(days=2)
    assert clock(at, lambda: int(later.timestamp() * 1000)) == f"{local:%Y-%m-%d %H:%M}"
