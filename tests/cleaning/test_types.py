"""What each type makes of text and of what databases give, and what it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from syncline.cleaning import (
    Boolean,
    Country,
    Currency,
    Date,
    DateTime,
    Email,
    Iban,
    Integer,
    InvalidRule,
    InvalidValue,
    Language,
    Number,
    Phone,
    Row,
    Rule,
    Url,
    Vat,
)

PHONE = Phone(["field:country", "US"])
VAT = Vat("field:country")
GERMAN = Number("de")
DAY = Date("%d.%m.%Y")
EITHER = Date("%d/%m/%Y", "%m/%d/%Y")
BERLIN = DateTime("%d.%m.%Y %H:%M", zone="Europe/Berlin")
YES = Boolean({"ja": True, "nein": False})
NOON = datetime(2020, 12, 31, 12, tzinfo=UTC)

TAKEN: list[tuple[Rule, object, Row, object]] = [
    (PHONE, " (650) 253-0000 ", {}, "+16502530000"),
    (PHONE, "020 7946 0958", {"country": "United Kingdom"}, "+442079460958"),
    (PHONE, "0044 20 7946 0958", {"country": "Germany"}, "+442079460958"),
    (PHONE, "+44 (0)20 7946 0958", {}, "+442079460958"),
    (PHONE, "650 253 0000", {"country": "Atlantis"}, "+16502530000"),
    # A number that is none in its own country is tried in the next of the chain.
    (PHONE, "650 253 0000", {"country": "DK"}, "+16502530000"),
    (PHONE, "+1 650-253-0000 ext. 12", {}, "+16502530000"),
    (Email(), " Ada@EXAMPLE.com ", {}, "Ada@example.com"),
    (Email(), "stanisław.wójcik@wp.pl", {}, "stanisław.wójcik@wp.pl"),
    (Email(), "ada@xn--mller-kva.de", {}, "ada@müller.de"),
    (Url(), "HTTPS://Example.ORG:443/A?Q=1#F", {}, "https://example.org/A?Q=1#F"),
    (Url(), "http://[::1]:8080/", {}, "http://[::1]:8080/"),
    (Url("ftp"), "ftp://ada@example.org/x", {}, "ftp://ada@example.org/x"),
    (Country(), "de", {}, "DE"),
    (Country(), "U.S.A.", {}, "US"),
    (Country(), "276", {}, "DE"),
    (Country(), "Österreich", {}, "AT"),
    (Country(), "OSTERREICH", {}, "AT"),
    (Country(), "日本", {}, "JP"),
    (Country(), "Czech Republic", {}, "CZ"),
    (Country(), "England", {}, "GB"),
    (Currency(), "eur", {}, "EUR"),
    (Currency(), "€", {}, "EUR"),
    (Currency(), "US Dollar", {}, "USD"),
    (Currency(), "Japanischer Yen", {}, "JPY"),
    (Language(), "ger", {}, "de"),
    (Language(), "DEU", {}, "de"),
    (Language(), "français", {}, "fr"),
    (Language(), "gsw", {}, "gsw"),
    (Iban(), "de89 3704 0044 0532 0130 00", {}, "DE89370400440532013000"),
    (VAT, "DE 136.695.976", {}, "DE136695976"),
    (VAT, "136695976", {"country": "Deutschland"}, "DE136695976"),
    (VAT, "094259216", {"country": "Greece"}, "EL094259216"),
    (DAY, " 31.12.2020 ", {}, date(2020, 12, 31)),
    (DAY, "2020-12-31", {}, date(2020, 12, 31)),
    (DAY, datetime(2020, 12, 31, tzinfo=UTC), {}, date(2020, 12, 31)),
    (EITHER, "31/12/2020", {}, date(2020, 12, 31)),
    (EITHER, "03/03/2020", {}, date(2020, 3, 3)),
    (BERLIN, "31.12.2020 13:00", {}, NOON),
    (BERLIN, "2020-12-31 13:00", {}, NOON),
    (BERLIN, "2020-12-31T12:00:00Z", {}, NOON),
    (BERLIN, NOON.astimezone(timezone(timedelta(hours=5))), {}, NOON),
    (BERLIN, datetime(2020, 12, 31, 13), {}, NOON),  # noqa: DTZ001  # the zone is the rule's
    (BERLIN, "31.10.2021 02:30", {}, datetime(2021, 10, 31, 0, 30, tzinfo=UTC)),
    (GERMAN, "1.234,50", {}, Decimal("1234.5")),
    (Number(), "-0.00", {}, Decimal(0)),
    (Number(), Decimal("1E+3"), {}, Decimal(1000)),
    (Number(), 0.1, {}, Decimal("0.1")),
    (Number(places=2), "1.005", {}, Decimal("1.00")),
    (Number(places=2, rounding="half-up"), "1.005", {}, Decimal("1.01")),
    (Number(places=2, rounding="down"), "-1.009", {}, Decimal("-1.00")),
    (Number(places=2, rounding="refuse"), 3, {}, Decimal("3.00")),
    (Number(places=2), "9" * 65, {}, Decimal("9" * 65 + ".00")),
    (Integer(), " +007 ", {}, 7),
    (Integer(), 1.0, {}, 1),
    (Integer(), Decimal("1E+3"), {}, 1000),
    (YES, "JA", {}, True),
    (YES, 0, {}, False),
    (YES, "true", {}, True),
]
REFUSED: list[tuple[Rule, object, Row, str, object]] = [
    (PHONE, "n/a", {}, '"n/a" is not a phone number', None),
    (
        PHONE,
        "0044 20 7946 0958",
        {},
        '"0044 20 7946 0958" is not a phone number',
        "+442079460958",
    ),
    (PHONE, 6502530000, {}, "6502530000 is not text but int", None),
    (PHONE, "", {}, '"" is empty', None),
    (Phone(), "650 253 0000", {}, '"650 253 0000" is not a phone number', None),
    (Email(), "ada", {}, '"ada" is not an e-mail address', None),
    (
        Email(),
        "Ada <ada@example.com>",
        {},
        '"Ada <ada@example.com>" is not an e-mail address',
        "ada@example.com",
    ),
    (Email(), "mailto:a@b.org", {}, '"mailto:a@b.org" is not an e-mail address', "a@b.org"),
    (Url(), "www.Example.org", {}, '"www.Example.org" is not a URL', "https://www.example.org"),
    (Url(), "ftp://example.org", {}, '"ftp://example.org" is not a URL', None),
    (Url(), "http://a..b/", {}, '"http://a..b/" is not a URL', None),
    (Url(), "http://a.org/b c", {}, '"http://a.org/b c" is not a URL', None),
    (Url(), "http://a.org:99999/", {}, '"http://a.org:99999/" is not a URL', None),
    (Country(), "Germny", {}, '"Germny" is not a country', "DE"),
    (Country(), "Korea", {}, '"Korea" is not a country', None),
    (Country(), "XX", {}, '"XX" is not a country', None),
    (Currency(), "$", {}, '"$" is not a currency', None),
    (Language(), "engilsh", {}, '"engilsh" is not a language', "en"),
    (
        Iban(),
        "DE89370400440532013001",
        {},
        '"DE89370400440532013001" is not an IBAN',
        None,
    ),
    (VAT, "136695976", {}, '"136695976" is not a VAT number of the European Union', None),
    (DAY, "1.2.20", {}, '"1.2.20" is not a date', None),
    (DAY, "2020-02-30", {}, '"2020-02-30" is not a date', None),
    (DAY, NOON, {}, "2020-12-31 12:00:00+00:00 is not a date", None),
    (EITHER, "03/04/2020", {}, '"03/04/2020" may be 2020-03-04 or 2020-04-03', None),
    (
        BERLIN,
        "28.03.2021 02:30",
        {},
        '"28.03.2021 02:30" does not exist in Europe/Berlin: clocks skipped it',
        None,
    ),
    (
        DateTime(),
        "2020-12-31 12:00",
        {},
        '"2020-12-31 12:00" does not say in which time zone',
        None,
    ),
    (BERLIN, date(2020, 1, 1), {}, "2020-01-01 is not a date and time", None),
    (
        DateTime(),
        "0001-01-01T00:00:00+14:00",
        {},
        '"0001-01-01T00:00:00+14:00" is out of range',
        None,
    ),
    (GERMAN, "1234.50", {}, '"1234.50" is not a number', None),
    (Number(), "NaN", {}, '"NaN" is not a number', None),
    (Number(), "1e5", {}, '"1e5" is not a number', None),
    (Number(), True, {}, "True is not a number", None),
    (Number(), Decimal("1E+999999"), {}, "1E+999999 has too many digits", None),
    (
        Number(places=2, rounding="refuse"),
        "1.005",
        {},
        '"1.005" has more than 2 digits after the point',
        "1.00",
    ),
    (Integer(), "1.0", {}, '"1.0" is not a whole number', None),
    (Integer(), 0.5, {}, "0.5 is not a whole number", None),
    (Integer(), float("inf"), {}, "inf is not a whole number", None),
    (Integer(), "1" * 66, {}, f'"{"1" * 56}... is not a whole number', None),
    (YES, "yes", {}, '"yes" is neither true nor false', None),
    (YES, 2, {}, "2 is neither true nor false", None),
]


@pytest.mark.parametrize(("rule", "value", "row", "clean"), TAKEN)
def test_what_it_makes(rule: Rule, value: object, row: Row, clean: object) -> None:
    made = rule.clean(value, row)
    assert (type(made), made, str(made)) == (type(clean), clean, str(clean))
    assert type(made) is rule.gives


@pytest.mark.parametrize(("rule", "value", "row", "message", "suggestion"), REFUSED)
def test_what_it_refuses(
    rule: Rule, value: object, row: Row, message: str, suggestion: object
) -> None:
    with pytest.raises(InvalidValue) as caught:
        rule.clean(value, row)
    error = caught.value
    assert (error.message, error.rule, error.suggestion) == (f"{message}.", rule.name, suggestion)
    assert error.code == "invalid-value"


@pytest.mark.parametrize(("rule", "value", "row", "clean"), TAKEN)
def test_a_date_in_a_column_of_text_is_read_again(
    rule: Rule, value: object, row: Row, clean: object
) -> None:
    if isinstance(clean, date):
        assert rule.clean(clean.isoformat(), row) == clean
        assert rule.clean(str(clean), row) == clean


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Phone("Germny"), "The rule E164 knows no country 'Germny'."),
        (lambda: Phone("field:"), "The rule E164 knows no country 'field:'."),
        (lambda: Url("ht tp"), "The rule URL knows no scheme 'ht tp'."),
        (
            lambda: Date("%Y-%d-%m"),
            "The rule Date has the format '%Y-%d-%m', which takes 2001-02-03 for",
        ),
        (lambda: Date("%d.%m."), "The rule Date cannot read what '%d.%m.' writes."),
        (lambda: DateTime("%d.%m.%Y"), "The rule DateTime cannot read what '%d.%m.%Y' writes."),
        (lambda: DateTime(zone="Europe/Berlino"), "knows no time zone 'Europe/Berlino'."),
        (lambda: Number("xx"), "The rule Decimal knows no locale 'xx'."),
        (lambda: Number(places=-1), "The rule Decimal takes no places of -1."),
        (lambda: Number(rounding="up"), "The rule Decimal knows no rounding 'up'."),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: Boolean({"true": False}), "The rule Boolean takes no 'true' for False."),
    ],
)
def test_a_rule_that_cannot_be(make: type[Rule], message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        make()
    assert message in caught.value.message


def test_a_number_too_long_to_be_written() -> None:
    for rule in (Number(), Date(), Phone()):
        with pytest.raises(InvalidValue, match="A number of thousands of digits"):
            rule.clean(10**5000, {})


def test_a_chain_says_which_fields_it_reads() -> None:
    assert PHONE.reads == VAT.reads == {"country"}
    assert Email().reads == frozenset()
