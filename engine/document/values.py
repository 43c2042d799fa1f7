"""Exact values: what goes into a register comes back as it went in, in every process.

A value is JSON text. What JSON says exactly stands as it is: None, bool, str, finite float, int up
to 2^53-1, lists, dicts with string keys. The rest is an object with one key that names the type:

========================  ======================================================
``{"$int": "…"}``         an int beyond 2^53-1, in decimal digits
``{"$decimal": "…"}``     decimal.Decimal, finite
``{"$datetime": "…"}``    datetime, ISO 8601, with its UTC offset if it has one; ``["…", 1]``
                          when its ``fold`` is 1 (the second 2:30 of a night that has two)
``{"$date": "…"}``        date, ISO 8601
``{"$time": "…"}``        time, ISO 8601; ``fold`` as above
``{"$duration": "…"}``    timedelta, in microseconds, in decimal digits
``{"$bytes": "…"}``       bytes, standard base64
``{"$uuid": "…"}``        UUID
``{"$dict": [[k, v]]}``   a dict one of whose keys begins with ``$``
========================  ======================================================

Enum members are written by the field that declares them (schema.py), as their value.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import orjson

from syncline.engine.errors import ValueRefused

from .foreign import ForeignMember
from .frozen import FrozenDict, FrozenList

MAX_VALUE_BYTES = 1 << 20
"""Largest value of one field: of its JSON, in which bytes count as they are, not in base64."""
MAX_DEPTH = 32
_EXACT_INT = (1 << 53) - 1
_MICROSECOND = timedelta(microseconds=1)


def encode_value(value: object, *, where: str) -> bytes:
    """Encode one value. ``where`` names the field in the ValueRefused that is raised if it cannot
    be."""
    try:
        encoded = orjson.dumps(_pack(value, where, 0))
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise ValueRefused(
            f"{where} cannot store this text: {error}.",
            hint="Remove the lone surrogates, for example with "
            "text.encode('utf-8', 'replace').decode().",
        ) from error
    if len(encoded) > MAX_VALUE_BYTES and (size := len(encoded) - _spelling(value)) > (
        MAX_VALUE_BYTES
    ):
        raise ValueRefused(
            f"{where} cannot store a value of {size:,} bytes.",
            hint=f"A value holds at most {MAX_VALUE_BYTES:,} bytes; long text belongs in a Text "
            "field, files beside the record.",
        )
    return encoded


def _spelling(value: object) -> int:
    """How many bytes of the JSON are there only because JSON has to spell bytes as text."""
    if isinstance(value, bytes):
        return len('{"$bytes":""}') + 4 * -(-len(value) // 3) - len(value)
    parts: Iterable[Any] = ()
    if isinstance(value, list):
        parts = cast("list[Any]", value)
    elif isinstance(value, dict):
        parts = cast("dict[Any, Any]", value).values()
    total = 0
    for part in parts:
        total += _spelling(part)
    return total


def decode_value(encoded: bytes | str) -> Any:
    """Decode what encode_value wrote. Raises ValueError on anything else."""
    return unpack(orjson.loads(encoded))


def same_value(value: object, other: object) -> bool:
    """Whether two values are one. 1, 1.0 and True are equal, and are three values."""
    return type(value) is type(other) and value == other


def unpack(value: Any, depth: int = 0) -> Any:
    """Turn parsed JSON back into the value that was encoded, ``depth`` levels down in another.

    Raises ValueError.
    """
    if not isinstance(value, list | dict):
        return value
    if isinstance(value, dict) and len(cast("dict[str, Any]", value)) == 1:
        ((tag, payload),) = cast("dict[str, Any]", value).items()
        if tag.startswith("$") and tag != "$dict":
            return _unpack_tagged(tag, payload)
    if depth >= MAX_DEPTH:
        raise ValueError(f"a value is nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return [unpack(item, depth + 1) for item in cast("list[Any]", value)]
    plain = cast("dict[str, Any]", value)
    entries: Iterable[Any] = plain["$dict"] if plain.keys() == {"$dict"} else plain.items()
    try:
        return {str(key): unpack(item, depth + 1) for key, item in entries}
    except TypeError as error:
        raise ValueError("the payload of $dict is not valid") from error


def _unpack_tagged(tag: str, payload: Any) -> Any:
    reader = _READERS.get(tag)
    if reader is None:
        raise ValueError(f"unknown value tag {tag[:40]!r}")
    try:
        return reader(payload)
    except (TypeError, ArithmeticError, AttributeError) as error:
        raise ValueError(f"the payload of {tag} is not valid") from error


def _read_decimal(digits: str) -> Decimal:
    value = Decimal(digits)
    if not value.is_finite():  # it would compare with nothing
        raise ValueError(f"the decimal {value} is not finite")
    return value


def _read_folded(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    def reader(payload: Any) -> Any:
        if isinstance(payload, str):
            return read(payload)
        text, fold = payload
        return read(text).replace(fold=fold)

    return reader


def _pack_folded(tag: str) -> Callable[[Any, str], Any]:
    def writer(value: datetime | time, where: str) -> Any:
        text = value.isoformat()
        return {tag: [text, 1] if value.fold else text}

    return writer


_READERS: dict[str, Callable[[Any], Any]] = {
    "$int": int,
    "$decimal": _read_decimal,
    "$datetime": _read_folded(datetime.fromisoformat),
    "$date": date.fromisoformat,
    "$time": _read_folded(time.fromisoformat),
    "$duration": lambda digits: timedelta(microseconds=int(digits)),
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$uuid": UUID,
}


def _refuse(where: str, what: str, hint: str) -> ValueRefused:
    return ValueRefused(f"{where} cannot store {what}.", hint=hint)


def _pack_float(value: float, where: str) -> Any:
    if not math.isfinite(value):
        raise _refuse(
            where, f"the float {value}", "Store None, or a string, for what is no number."
        )
    return value


def _pack_int(value: int, where: str) -> Any:
    if -_EXACT_INT <= value <= _EXACT_INT:
        return value
    if value.bit_length() > 14_000:  # int() refuses to read more than 4,300 digits back
        raise _refuse(where, "an int of more than 4,000 digits", "Store it as bytes.")
    return {"$int": str(value)}


def _pack_decimal(value: Decimal, where: str) -> Any:
    if not value.is_finite():
        raise _refuse(where, f"the decimal {value}", "Store None for what is no number.")
    return {"$decimal": str(value)}


_WRITERS: dict[type, Callable[[Any, str], Any]] = {
    float: _pack_float,
    int: _pack_int,
    Decimal: _pack_decimal,
    datetime: _pack_folded("$datetime"),
    date: lambda value, where: {"$date": value.isoformat()},
    time: _pack_folded("$time"),
    timedelta: lambda value, where: {"$duration": str(value // _MICROSECOND)},
    bytes: lambda value, where: {"$bytes": base64.b64encode(value).decode()},
    UUID: lambda value, where: {"$uuid": str(value)},
}


def _pack(value: Any, where: str, depth: int) -> Any:
    kind = cast("type[Any]", type(value))
    if value is None or kind is bool or kind is str:
        return value
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer(value, where)
    if depth >= MAX_DEPTH:
        raise _refuse(where, f"a value nested deeper than {MAX_DEPTH}", "Flatten it.")
    if kind is list or kind is FrozenList:
        return [_pack(item, where, depth + 1) for item in value]
    if kind is dict or kind is FrozenDict:
        return _pack_dict(cast("dict[Any, Any]", value), where, depth)
    if isinstance(value, ForeignMember):
        return _pack(value.value, where, depth)
    raise _refuse(
        where,
        f"a value of type {kind.__qualname__}",
        "Use None, bool, int, float, str, bytes, Decimal, datetime, date, time, timedelta, UUID, "
        "or lists and dicts of these; an Enum needs a field declared with it.",
    )


def _pack_dict(value: dict[Any, Any], where: str, depth: int) -> Any:
    packed: dict[str, Any] = {}
    tagged = False
    for key, item in value.items():
        if type(key) is not str:
            raise _refuse(where, f"a dict with the key {key!r}", "Keys of a dict must be strings.")
        tagged = tagged or key.startswith("$")
        packed[key] = _pack(item, where, depth + 1)
    if tagged:
        return {"$dict": [[key, item] for key, item in packed.items()]}
    return packed
