"""The values of a row on their way out of an opener: exact, and nothing but text."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


def _same(value: Any) -> Any:
    return value


_WRITE: dict[type, tuple[str, Callable[[Any], Any]]] = {
    float: ("float", float.hex),
    Decimal: ("decimal", str),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    UUID: ("uuid", str),
}
_READ: dict[str, Callable[[Any], Any]] = {
    "": _same,
    "float": float.fromhex,
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "bytes": base64.b64decode,
    "uuid": UUID,
}


def encode_row(row: Mapping[str, Any]) -> bytes:
    """The values by column, as ``projection.to_column`` makes them."""
    values: dict[str, tuple[str, Any]] = {}
    for name, value in row.items():
        of: type[Any] = value.__class__
        kind, write = _WRITE.get(of, ("", _same))
        values[name] = (kind, write(value))
    return json.dumps(values).encode()


def decode_row(data: bytes) -> dict[str, Any]:
    """What ``encode_row`` was given."""
    values: dict[str, tuple[str, Any]] = json.loads(data)
    return {name: _READ[kind](value) for name, (kind, value) in values.items()}
