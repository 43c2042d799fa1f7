"""Cleaning what is clean changes nothing: each rule, and each composition that a file can state."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncline.cleaning import (
    Boolean,
    Casefold,
    CollapseSpace,
    Country,
    Currency,
    Date,
    DateTime,
    Email,
    FieldCleaner,
    Iban,
    Integer,
    InvalidRules,
    InvalidValue,
    Language,
    MaxLength,
    Number,
    OneOf,
    Pattern,
    Phone,
    Required,
    Row,
    Rule,
    StripControl,
    Url,
    Vat,
    parse_rules,
)
from syncline.cleaning.rule import TextRule
from syncline.cleaning.text import TEXT_RULES
from tests.profiles import scaled

EXAMPLES = int(os.environ.get("SYNCLINE_CLEANING_EXAMPLES", scaled(150)))

PIECES = [
    *("Ã¼", "â€™", "Ãƒâ€šÃ‚Â", "ï»¿", "&amp;amp;lt;", "&nbsp;", "&#x200b;", "&shy;", "ﬁ", "\ud800"),
    *("\u200b", "\u200d", "\u200c", "\u00ad", "\ufeff", "\u2028", "\x00", "\x85", "\r\n", "\t"),
    *("\u3164", "\u034f", "\ufdd0", "\U0010ffff", "\u00a0", "\u3000", "\x1b[31m", "\u202e"),
    *("ß", "İ", "ı", "ΐ", "ᾳ", "\u0345", "ŉ", "Σ", "ς", "Ǆ", "e\u0301", "\u0301", "\u1e9b\u0323"),
    *("क्", "می", "👩", "👧", "日本", "한", "\u1100\u1161", "ａ", "１", "٣", "²"),
    *("+44 20 7946 0958", "0044 20 7946 0958", "650 253 0000", "ext. 12", ";ext=3", "(0)", "+"),
    *("ada@example.com", "@", "Müller", ".de", "xn--mller-kva", "<", ">", '"', "http://", "www."),
    *(":80", "[::1]", "/a?b#c", "?", "#", "DE89370400440532013000", "DE136695976", "136695976"),
    *("Germany", "DEUTSCHLAND", "usa", "GR", "EUR", "€", "Deutsch", "en", "lead", "Customer"),
    *("31.12.2020", "2020-12-31", "28.03.2021 02:30", "T10:00:00Z", "+01:00", "1.234,50", "1,234"),
    *("-0", "0.000", "1e9", "NaN", "inf", "007", "ja", "TRUE", "0", "1", " ", "  ", "", "-", "."),
]
TEXTS = st.one_of(
    st.sampled_from(PIECES),
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=6).map(" ".join),
    st.text(st.characters(), max_size=30),
)
VALUES = st.one_of(
    *[TEXTS] * 4,
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**60, max_value=10**70),
    st.floats(),
    st.decimals(),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14))])),
    st.lists(st.integers(), max_size=2),
)
ROWS = st.fixed_dictionaries(
    {"country": st.sampled_from([None, 5, "", "GB", "Germany", "Deutschland", "Atlantis", "gr"])}
)
CHAIN = ["field:country", "US"]

RULES: list[Rule] = [
    *(rule() for rule in TEXT_RULES),
    StripControl(multiline=True),
    CollapseSpace(multiline=True),
    *(Phone(CHAIN), Phone(), Email(), Url(), Url("ftp", "https"), Country(), Currency()),
    *(Language(), Iban(), Vat(CHAIN), Date("%d.%m.%Y", "%m/%d/%y"), Date()),
    *(DateTime(), DateTime("%d.%m.%Y %H:%M", zone="Europe/Berlin")),
    *(Number(), Number("de"), Number(places=2), Number("fr", places=0, rounding="half-up")),
    *(Number(places=1, rounding="refuse"), Integer(), Boolean({"ja": True, "nein": False})),
    *(MaxLength(5), Pattern(r"[^x]*"), OneOf("Lead", 1, synonyms={"customer": "Lead"}), Required()),
]

WELL_FORMED: list[Any] = [
    *("+44 20 7946 0958", "ada@example.com", "https://example.com/a?b#c", "Germany", "EUR", "en"),
    *("DE89370400440532013000", "DE136695976", "31.12.2020", date(2020, 12, 31), "2020-12-31"),
    *(datetime(2020, 12, 31, 10, tzinfo=UTC), "31.12.2020 10:00", "1234,5", "12.5", 1, "ja"),
    *("a", "Lead"),
]
"""Each rule takes some of these."""

TYPES = [
    None,
    *("E164", "Email", "URL", "Country", "Currency", "Language", "IBAN", "VAT"),
    *("Date", "DateTime", "Decimal", "Integer", "Boolean"),
    {"phone": "E164", "region": CHAIN},
    {"url": ["ftp", "https"]},
    {"vat": CHAIN},
    {"date": ["%d.%m.%Y", "%m/%d/%Y"]},
    {"datetime": ["%d.%m.%Y %H:%M"], "zone": "Europe/Berlin"},
    {"decimal": "de", "places": 2, "rounding": "half-up"},
    {"decimal": "digits", "places": 1},
    {"boolean": {"ja": True, "nein": False}},
]
CLEAN = [
    *(rule.name for rule in TEXT_RULES),
    {"strip-control": "multiline"},
    {"collapse-space": "multiline"},
    {"max-length": 40},
    {"pattern": "[^x]*"},
    {"one-of": ["Lead", "DE", "1"], "synonyms": {"customer": "Lead"}},
    {"one-of": [1, 7]},
]
SPECS = st.fixed_dictionaries(
    {
        "clean": st.lists(st.sampled_from(CLEAN), max_size=5),
        "type": st.sampled_from(TYPES),
        "required": st.booleans(),
    }
)


def check_settled(rules: Rule | FieldCleaner, value: Any, row: Row, later: Row) -> bool:
    """Clean twice; whether the value was taken."""
    try:
        once = rules.clean(value, row)
    except InvalidValue as error:
        if "come to rest" in error.message:
            raise
        return False
    # The row may be cleaned too, or change, before the value is met again.
    for again in (rules.clean(once, row), rules.clean(once, later)):
        assert (type(again), again, str(again)) == (type(once), once, str(once))
    return True


@pytest.mark.scaled
@pytest.mark.parametrize(
    "rule", RULES, ids=[f"{place}-{rule.name}" for place, rule in enumerate(RULES)]
)
def test_each_rule(rule: Rule) -> None:
    taken: list[bool] = []

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(VALUES, ROWS, ROWS)
    def check(value: Any, row: Row, later: Row) -> None:
        taken.append(check_settled(rule, value, row, later))

    for value in WELL_FORMED:  # which random ones seldom are
        check = example(value, {"country": "GB"}, {"country": None})(check)
    check()
    assert any(taken)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", RULES, ids=[f"{place}-{rule.name}" for place, rule in enumerate(RULES)]
)
def test_long_text_is_cleaned_or_refused_like_any_other(rule: Rule) -> None:
    for piece in ("a", "1.", "&amp;", "Ã¼", "क\u200d", "(", "<", "a@b.c ", "http://a.", "\n"):
        check_settled(rule, piece * (30_000 // len(piece)), {}, {})


@settings(max_examples=EXAMPLES * 10, deadline=None)
@given(SPECS, VALUES, ROWS, ROWS)
@example({"clean": ["collapse-space", "strip-control"]}, "a \u200b b", {}, {})
@example({"clean": ["unicode-nfc", "casefold"]}, "ΐ", {}, {})
@example({"clean": ["casefold", "fix-text"]}, "\u1e9b\u0323", {}, {})
@example({"clean": ["trim", "strip-control", "fix-text"]}, "\x00 &nbsp;\u200b", {}, {})
def test_each_composition_that_a_file_can_state(
    spec: dict[str, Any], value: Any, row: Row, later: Row
) -> None:
    try:
        cleaner = parse_rules(spec, "record.contact.field.any")
    except InvalidRules:
        return
    check_settled(cleaner, value, row, later)


@given(st.sampled_from(RULES), VALUES)
def test_no_value_stays_none_but_where_one_is_required(rule: Rule, value: Any) -> None:
    if isinstance(rule, Required):
        with pytest.raises(InvalidValue, match="one is required"):
            rule.clean(None, {})
    else:
        assert rule.clean(None, {"country": value}) is None


def test_rules_that_undo_each_other_are_refused_not_repeated_for_ever() -> None:
    class Longer(TextRule):
        name: ClassVar[str] = "longer"

        def rewrite(self, text: str) -> str:
            return text + "x"

    with pytest.raises(InvalidValue, match='"a" does not come to rest under longer') as caught:
        Longer().clean("a", {})
    assert caught.value.rule == "longer"


def test_same_is_the_same_type() -> None:
    assert Boolean().clean(1, {}) is True
    assert Integer().clean(Decimal("1.0"), {}) == 1
    assert type(Integer().clean(1.0, {})) is int
    assert str(Number().clean(Decimal("1.50"), {})) == "1.5"
    assert type(Date().clean(datetime(2020, 1, 1, tzinfo=UTC), {})) is date
    assert Casefold().clean("Straße", {}) == "strasse"
