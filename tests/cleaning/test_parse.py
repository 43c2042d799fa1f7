"""Rules as a pipeline file states them: what is read, and every mistake at once."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.cleaning import InvalidRules, InvalidValue, Problem, parse_rules
from syncline.cleaning.field import ON_INVALID

NAMES = [
    "phone",
    "date",
    "vat",
    "boolean",
    "decimal",
    "one-of",
    "pattern",
    "strip-control",
    "places",
]
ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(NAMES), st.text()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text()), inner, max_size=3),
    ),
    max_leaves=8,
)
OTHERS = ("in", "conflict", "owner")


def table(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(InvalidRules) as caught:
        parse_rules(table(text), "contact.x", other_keys=OTHERS)
    error = caught.value
    assert error.code == "invalid-rule"
    for problem in error.problems:
        assert f"{problem.key}: {problem.message}" in error.message
        assert problem.hint in error.hint
    return list(error.problems)


def test_the_fields_of_the_documented_file() -> None:
    phone = parse_rules(
        table("""
            in = { crm = "phone", accounting = "tel" }
            type = { phone = "E164", region = ["field:country", "US"] }
            on_invalid = "keep-old"
        """),
        "record.contact.field.phone",
        other_keys=OTHERS,
    )
    assert (phone.on_invalid, phone.gives) == ("keep-old", str)
    assert phone.reads == {"country"}
    assert phone.clean("020 7946 0958", {"country": "England"}) == "+442079460958"
    assert not phone.required

    name = parse_rules(
        table("""
            in = { crm = ["first_name", "last_name"], accounting = "full_name" }
            clean = ["fix-text", "strip-control", "collapse-space"]
            required = true
            conflict = "newest"
        """),
        "record.contact.field.name",
        other_keys=OTHERS,
    )
    assert (name.on_invalid, name.gives, name.required) == ("quarantine", None, True)
    assert name.clean("  JÃ¼rgen\u200b\n Klopp ", {}) == "Jürgen Klopp"
    with pytest.raises(InvalidValue, match="one is required"):
        name.clean(" \u200b ", {})


@pytest.mark.parametrize(
    ("text", "value", "clean"),
    [
        ('type = "E164"', "+1 650 253 0000", "+16502530000"),
        ('type = { phone = "E164", region = "US" }', "650 253 0000", "+16502530000"),
        ('type = "Email"', "a@B.org", "a@b.org"),
        ('type = "URL"', "HTTP://b.org", "http://b.org"),
        ('type = { url = "ftp" }', "FTP://b.org", "ftp://b.org"),
        ('type = "Country"', "Deutschland", "DE"),
        ('type = "Currency"', "euro", "EUR"),
        ('type = "Language"', "German", "de"),
        ('type = "IBAN"', "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ('type = "VAT"', "DE 136695976", "DE136695976"),
        ('type = { vat = ["field:country", "DE"] }', "136695976", "DE136695976"),
        ('type = "Date"', "2020-01-31", date(2020, 1, 31)),
        ('type = { date = "%d.%m.%Y" }', "31.01.2020", date(2020, 1, 31)),
        (
            'type = { datetime = ["%d.%m.%Y %H:%M"], zone = "Europe/Berlin" }',
            "31.01.2020 13:00",
            datetime(2020, 1, 31, 12, tzinfo=UTC),
        ),
        ('type = "Decimal"', "1.50", Decimal("1.5")),
        ('type = { decimal = "de", places = 2 }', "1.234,5", Decimal("1234.50")),
        (
            'type = { decimal = "digits", places = 0, rounding = "half-up" }',
            "0.5",
            Decimal(1),
        ),
        ('type = "Integer"', "7", 7),
        ('type = "Boolean"', "true", True),
        ("type = { boolean = { ja = true, nein = false } }", "nein", False),
        ('clean = [{ strip-control = "multiline" }]', "a\r\n\x00b", "a\nb"),
        ('clean = [{ collapse-space = "multiline" }]', "a  b\n c", "a b\nc"),
        ('clean = ["trim", "empty-to-null"]', "  ", None),
        ("clean = [{ max-length = 2 }]", "ab", "ab"),
        ('clean = [{ pattern = "[a-z]+" }]', "ab", "ab"),
        (
            'clean = [{ one-of = ["Lead", "Won"], synonyms = { gewonnen = "Won" } }]',
            "Gewonnen",
            "Won",
        ),
        ('type = "Country"\nclean = [{ one-of = ["DE", "AT"] }]', "Österreich", "AT"),
        ('type = "Integer"\nclean = [{ one-of = [1, 2] }]', "2", 2),
    ],
)
def test_what_can_be_stated(text: str, value: object, clean: object) -> None:
    made = parse_rules(table(text), "contact.x").clean(value, {})
    assert (type(made), made, str(made)) == (type(clean), clean, str(clean))


def test_every_problem_at_once() -> None:
    found = problems_of("""
        type = "email"
        clean = [
            "fixtext", { max-lenght = 3 }, { one-of = ["a", 1.5] }, "pattern", { trim = true }, 7,
        ]
        requried = true
        required = "yes"
        on_invalid = "blanc"
    """)
    assert [tuple(each) for each in found] == [
        ("contact.x.clean[0]", "There is no rule 'fixtext'.", "Did you mean 'fix-text'?"),
        (
            "contact.x.clean[1]",
            "'max-lenght' is not the name of a rule with options.",
            "Did you mean 'max-length'?",
        ),
        (
            "contact.x.clean[2].one-of",
            "It takes a list of texts or whole numbers, not ['a', 1.5].",
            "Write a list of texts or whole numbers.",
        ),
        (
            "contact.x.clean[3]",
            "The rule 'pattern' needs an option.",
            "Write { pattern = … }.",
        ),
        (
            "contact.x.clean[4]",
            "'trim' is not the name of a rule with options.",
            'Write "trim" alone.',
        ),
        (
            "contact.x.clean[5]",
            "There is no rule '7'.",
            (
                "Use fix-text, strip-control, collapse-space, trim, lowercase, uppercase, "
                "casefold, unicode-nfc, empty-to-null."
            ),
        ),
        ("contact.x.on_invalid", "There is no policy 'blanc'.", "Did you mean 'blank'?"),
        (
            "contact.x.required",
            "It takes true or false, not 'yes'.",
            "Write required = true.",
        ),
        ("contact.x.requried", "There is no key 'requried'.", "Did you mean 'required'?"),
        ("contact.x.type", "There is no type 'email'.", "Did you mean 'Email'?"),
    ]


@pytest.mark.parametrize(
    ("text", "key", "message", "hint"),
    [
        (
            'type = { phone = "E165" }',
            "type.phone",
            "It takes \"E164\", not 'E165'.",
            'Write "E164".',
        ),
        (
            'type = { phone = "E164", regoin = "US" }',
            "type.regoin",
            "phone has no option 'regoin'.",
            "Did you mean 'region'?",
        ),
        (
            'type = { phone = "E164", region = ["Germny"] }',
            "type",
            "The rule E164 knows no country 'Germny'.",
            'Write an ISO code, such as "US", or "field:" and the name of another field.',
        ),
        (
            'type = { fone = "E164" }',
            "type",
            "'fone' is not the name of a rule with options.",
            "Did you mean 'phone'?",
        ),
        (
            "type = {}",
            "type",
            "'' is not the name of a rule with options.",
            "Use phone, url, vat, date, datetime, decimal, boolean.",
        ),
        (
            "type = 7",
            "type",
            "There is no type 7.",
            (
                "Use E164, Email, URL, Country, Currency, Language, IBAN, VAT, Date, DateTime, "
                "Decimal, Integer, Boolean."
            ),
        ),
        (
            'type = ["Email"]',
            "type",
            "There is no type ['Email'].",
            "Did you mean 'Email'?",
        ),
        (
            "type = { date = 7 }",
            "type.date",
            "It takes a text or a list of texts, not 7.",
            "Write a text or a list of texts.",
        ),
        (
            'type = { decimal = "de", places = "2" }',
            "type.places",
            "It takes a whole number, not '2'.",
            "Write a whole number.",
        ),
        (
            "type = { boolean = { ja = 1 } }",
            "type.boolean",
            "It takes a table of words, each true or false, not {'ja': 1}.",
            "Write a table of words, each true or false.",
        ),
        (
            'clean = "trim"',
            "clean",
            "It takes a list of rules, not 'trim'.",
            'Write clean = ["fix-text", "collapse-space"].',
        ),
        (
            'clean = [{ strip-control = "multi" }]',
            "clean[0].strip-control",
            "It takes \"multiline\", not 'multi'.",
            'Write "multiline".',
        ),
        (
            "clean = [{ max-length = 80, cut = true }]",
            "clean[0].cut",
            "max-length has no option 'cut'.",
            "It has none: leave it out.",
        ),
        (
            'required = true\non_invalid = "blank"',
            "",
            "on_invalid is blank, and a value is required.",
            "Use keep-old, quarantine or stop, or leave required out.",
        ),
        (
            'type = "Date"\nclean = [{ max-length = 8 }]',
            "",
            "max-length checks text, and Date gives date.",
            "Leave max-length out, or the type.",
        ),
        (
            'type = "Integer"\nclean = [{ one-of = ["1"] }]',
            "",
            "one-of has values that are not what Integer gives.",
            "Write values of type int, or leave one out.",
        ),
        (
            'clean = ["lowercase", "uppercase"]',
            "",
            "lowercase and uppercase undo each other.",
            "Keep one of them.",
        ),
        (
            "on_invalid = ['blank']",
            "on_invalid",
            "There is no policy ['blank'].",
            "Did you mean 'blank'?",
        ),
    ],
)
def test_a_mistake(text: str, key: str, message: str, hint: str) -> None:
    where = f"contact.x.{key}" if key else "contact.x"
    assert problems_of(text) == [Problem(where, message, hint)]


# The first examples wait for the tables of Unicode, on a busy machine for seconds.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["type", "clean", "required", "on_invalid", "x"]), ANYTHING))
def test_whatever_stands_there_the_answer_is_a_cleaner_or_problems(spec: dict[str, Any]) -> None:
    with suppress(InvalidRules):
        assert parse_rules(spec, "contact.x").on_invalid in ON_INVALID
