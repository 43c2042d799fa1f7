"""Values in transit: the canonical set of types between databases, and the ways in and out of it.

A value that leaves a database takes one form whatever the database: text, int, float, Decimal
without zeros at its end, an instant in UTC, date, time, bool, bytes, UUID, or what JSON has. A
naive timestamp is taken as UTC. So equal values are equal, in Python and encoded, and go into a
record's register as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID

import orjson

ValueKind: TypeAlias = Literal[
    "text", "int", "float", "decimal", "bool", "datetime", "date", "time", "bytes", "json", "uuid"
]
Convert: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that is not of its column's type, as SQLite allows, or has no form in transit."""

    original: Any
    message: str


_NOT_OF_KIND = (
    ValueError,
    TypeError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    orjson.JSONEncodeError,
)
"""What conversions raise for values that are not of their kind."""


class NotOfKind(ValueError):
    """A value that a kind has no form for; its message is the rest of a sentence."""


def canonical(value: Any, kind: ValueKind) -> Any:
    """``value`` as ``kind`` has it in transit; None stays None. Raises NotOfKind."""
    if value is None:
        return None
    try:
        return _CONVERT[kind](value)
    except NotOfKind:
        raise
    except _NOT_OF_KIND:
        raise NotOfKind(f"is not a value of the type {kind}") from None


def reader(kind: ValueKind, dialect: str = "") -> Convert:
    """What turns the value that the driver of ``dialect`` has of a column of ``kind`` into its
    canonical form, or into Unreadable."""
    exact = EXACT.get(kind)
    convert = _CONVERT[kind]

    def read(value: Any) -> Any:
        if value is None or type(value) is exact:
            return value
        try:
            return convert(value)
        except NotOfKind as error:
            return Unreadable(value, str(error))
        except _NOT_OF_KIND:
            return Unreadable(value, f"is not a value of the type {kind}")

    return read


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | UUID():
            return str(value)
        case float():
            return repr(value)
        case Decimal():
            return f"{_decimal(value):f}"
        case datetime():
            return _datetime(value).isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            raise NotOfKind("is bytes in a column of text")
        case timedelta():
            return str(value)
        case _:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _int(value: Any) -> int:
    if isinstance(value, str):
        return int(value)
    whole = int(value)
    if whole != value:
        raise NotOfKind("is not a whole number")
    return whole


def _float(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise NotOfKind("is not a finite number")
    return number


def _decimal(value: Any) -> Decimal:
    try:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        raise NotOfKind("is not a number") from None
    if not number.is_finite():
        raise NotOfKind("is not a finite number")
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return Decimal(text if text not in ("-0", "") else "0")


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        value = {"true": 1, "t": 1, "1": 1, "false": 0, "f": 0, "0": 0}[value.strip().casefold()]
    if value not in (0, 1):
        raise NotOfKind("is neither true nor false")
    return bool(value)


def _datetime(value: Any) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    elif type(value) is date:
        value = datetime.combine(value, time())
    instant = cast("datetime", value)
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC, fold=0)
    return instant.astimezone(UTC)


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        if (value.hour, value.minute, value.second, value.microsecond) != (0, 0, 0, 0):
            raise NotOfKind("has a time of day, and a date has none")
        return value.date()
    if isinstance(value, str):
        return _date(datetime.fromisoformat(value.strip()))
    if not isinstance(value, date):
        raise NotOfKind("is not a date")
    return value


def _time(value: Any) -> time:
    if isinstance(value, timedelta):  # as PyMySQL reads a TIME
        if not timedelta(0) <= value < timedelta(days=1):
            raise NotOfKind("is no time of a day")
        return (datetime(1, 1, 1) + value).time()  # noqa: DTZ001
    if isinstance(value, str):
        return time.fromisoformat(value.strip())
    if not isinstance(value, time):
        raise NotOfKind("is not a time")
    return value


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _json(value: Any) -> Any:
    """What JSON has; a text is JSON that is to be parsed, and stays a text where Python has nothing
    that is written like it: a string alone, in its quotes (otherwise "5" would be taken for a
    number when it is looked at again), ``null`` (None is no JSON, but no value), and JSON with
    numbers that floats or 64 bits do not hold to the last digit."""
    if isinstance(value, str | bytes):
        return _parsed(value if isinstance(value, str) else value.decode())
    # What a program has: through text once, so that nothing but JSON's types is left.
    return _parsed(orjson.dumps(value).decode())


def _parsed(text: str) -> Any:
    if _ODD_NUMBER.search(text):
        exact = _Exact()
        parsed = json.loads(
            text, parse_int=exact.number, parse_float=exact.number, parse_constant=exact.none
        )
        text = _written(parsed)
        if exact.odd:
            return text
    parsed = orjson.loads(text)
    return orjson.dumps(parsed).decode() if parsed is None or isinstance(parsed, str) else parsed


_ODD_NUMBER = re.compile(r"\d[.eE]|-0|\d{16}")
"""What JSON has that may have numbers which are not kept as they are written."""
_LONG_EXPONENT = 1_000
"""Digits from which on an exponent is not written out."""


class _Digits(str):
    """A number as it is written."""

    __slots__ = ()


class _Exact:
    """Reads numbers, in the form that PostgreSQL gives them: without an exponent, and with the
    zeros at their ends. Remembers whether Python would write one otherwise."""

    def __init__(self) -> None:
        self.odd = False

    def number(self, digits: str) -> str:
        value = Decimal(digits)
        if abs(value.adjusted()) < _LONG_EXPONENT or "e" not in digits.lower():
            digits = f"{value or abs(value):f}"
        if digits.lstrip("-").isdecimal():
            exact = len(digits) < 20 and -(1 << 63) <= int(digits) < 1 << 63
        else:
            exact = orjson.dumps(float(digits)).decode() == digits
        self.odd = self.odd or not exact
        return _Digits(digits)

    def none(self, name: str) -> None:
        raise NotOfKind(f"has {name}, which is no JSON")


def _written(value: Any) -> str:
    """JSON in one form, with the numbers as they were written."""
    match value:
        case _Digits():
            return str(value)
        case list():
            return f"[{','.join(map(_written, cast('list[Any]', value)))}]"
        case dict():
            entries = sorted(cast("dict[str, Any]", value).items())
            return f"{{{','.join(f'{_written(key)}:{_written(each)}' for key, each in entries)}}}"
        case _:
            return orjson.dumps(value).decode()


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(str(value))


_CONVERT: Mapping[ValueKind, Convert] = {
    "text": _text,
    "int": _int,
    "float": _float,
    "decimal": _decimal,
    "bool": _bool,
    "datetime": _datetime,
    "date": _date,
    "time": _time,
    "bytes": _bytes,
    "json": _json,
    "uuid": _uuid,
}
GIVES: Mapping[str, ValueKind] = {
    "str": "text",
    "int": "int",
    "Decimal": "decimal",
    "date": "date",
    "datetime": "datetime",
    "bool": "bool",
}
"""The kind of what cleaning rules give, by the name of its type."""

EXACT: Mapping[ValueKind, type] = {
    "text": str,
    "int": int,
    "bool": bool,
    "bytes": bytes,
    "uuid": UUID,
}


# The types of canonical values, where a value of the type is canonical for no other kind.
_TYPES: Mapping[ValueKind, type] = {
    **EXACT,
    "float": float,
    "decimal": Decimal,
    "datetime": datetime,
    "date": date,
    "time": time,
}


def stores(kind: ValueKind, dialect: str) -> bool:
    """Whether the driver of ``dialect`` takes something else than canonical values of ``kind``."""
    return (dialect, kind) in _STORE or ("", kind) in _STORE


def writer(kind: ValueKind, dialect: str, *, zoned: bool = False) -> Convert:
    """What turns a canonical value, whatever its kind, into what the driver of ``dialect`` takes
    for a column of ``kind``. Raises NotOfKind."""
    store = _STORE.get((dialect, kind)) or _STORE.get(("", kind))
    if kind == "datetime" and dialect == "postgresql" and zoned:
        store = None

    own_type = _TYPES.get(kind)

    def write(value: Any) -> Any:
        own = value if type(value) is own_type else canonical(value, kind)
        return own if own is None or store is None else store(own)

    return write


def fits_sqlite(write: Convert) -> Convert:
    """``write`` for a column of whole numbers in SQLite, whose driver ends with an error that is no
    database's for larger ones."""

    def checked(value: Any) -> Any:
        number = write(value)
        if number is not None and not -(1 << 63) <= number < 1 << 63:
            raise NotOfKind("does not fit into 64 bits")
        return number

    return checked


def _sqlite_instant(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(sep=" ")


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _naive(value: datetime) -> datetime:
    return value.replace(tzinfo=None)


# What each driver takes, where it is not the canonical value itself.
_STORE: Mapping[tuple[str, ValueKind], Convert] = {
    ("", "datetime"): _naive,
    ("", "json"): _json_text,
    ("sqlite", "datetime"): _sqlite_instant,
    ("sqlite", "date"): date.isoformat,
    ("sqlite", "time"): time.isoformat,
    ("sqlite", "uuid"): str,
    ("sqlite", "bool"): int,
    # SQLite keeps it as a number where that is exact in its 15 digits.
    ("sqlite", "decimal"): str,
    ("mysql", "uuid"): str,
    ("mysql", "bool"): int,
}
