"""Plain values in a Yjs document: how they are stored, read, and checked.

What JavaScript has: null, booleans, numbers, strings, byte arrays, arrays and objects. A whole
number reads as an int, because JavaScript does not tell 1 from 1.0.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple, cast

import orjson

from syncline.engine.errors import ValueRefused
from syncline.engine.fields.text import check_text
from syncline.engine.lib0 import write_string, write_uint
from syncline.engine.updates.update_values import uint

_EXACT_INT = (1 << 53) - 1
_MAX_DEPTH = 32
"""How deep lists and dicts may nest inside one value, as for the parser of updates."""

# Tags of lib0's Any encoding.
_NULL, _INTEGER, _FLOAT32, _FLOAT64, _BIGINT = 126, 125, 124, 123, 122
_FALSE, _TRUE, _TEXT, _OBJECT, _ARRAY, _BYTES = 121, 120, 119, 118, 117, 116
_FIXED = {_FLOAT32: ">f", _FLOAT64: ">d", _BIGINT: ">q"}


class Subdocument(NamedTuple):
    """A document that an editor has put into another one: its content is not part of it, and is
    opened under its own name. ``guid`` is its Yjs guid, ``options`` what Yjs stores beside it."""

    guid: str
    options: Any


def check_value(value: Any, where: str, depth: int = 0) -> Any:
    """``value``, if Yjs stores it as it is. Raises ValueRefused."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_text(value, where)
        return value
    if type(value) is int and abs(value) <= _EXACT_INT:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if depth < _MAX_DEPTH and isinstance(value, list):
        return [check_value(item, where, depth + 1) for item in cast("list[Any]", value)]
    if depth < _MAX_DEPTH and isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        for key in entries:
            check_text(key, f"A key of {where}")
        return {key: check_value(item, where, depth + 1) for key, item in entries.items()}
    raise ValueRefused(
        f"{where} cannot store {value!r:.60} of type {type(value).__qualname__}.",
        hint="A document without a schema holds what JSON holds: None, bool, str, finite numbers "
        f"up to 2^53-1, lists and dicts nested at most {_MAX_DEPTH} deep; and shared types that "
        "are in no document yet, such as SharedMap({…}). Records hold more types.",
    )


def write_any(value: Any) -> bytes:
    """A checked value in lib0's Any encoding."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Any) -> None:
    if value is None:
        out.append(_NULL)
    elif isinstance(value, bool):
        out.append(_TRUE if value else _FALSE)
    elif isinstance(value, str):
        out.append(_TEXT)
        write_string(out, value)
    elif isinstance(value, int | float):
        out.append(_FLOAT64)  # the library makes it shorter where that is exact, and always did so
        out += struct.pack(">d", value)
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        out.append(_ARRAY)
        write_uint(out, len(items))
        for item in items:
            _write(out, item)
    else:
        entries = cast("dict[str, Any]", value)
        out.append(_OBJECT)
        write_uint(out, len(entries))
        for key, item in entries.items():
            write_string(out, key)
            _write(out, item)


def read_any(data: bytes) -> Any:
    """The value whose Any encoding ``data`` is; it has been checked before."""
    return _read(data, 0)[0]


def _read(data: bytes, at: int) -> tuple[Any, int]:
    tag = data[at]
    at += 1
    if tag == _TEXT:
        return read_text(data, at)
    if tag == _INTEGER:
        return _read_signed(data, at)
    if tag in _FIXED:
        (number,) = struct.unpack_from(_FIXED[tag], data, at)
        return _natural(number), at + struct.calcsize(_FIXED[tag])
    if tag in (_ARRAY, _OBJECT):
        return _read_nested(data, at, keyed=tag == _OBJECT)
    if tag == _BYTES:
        size, at = uint(data, at)
        return data[at : at + size], at + size
    return {_TRUE: True, _FALSE: False}.get(tag), at  # else null, or undefined


def _read_nested(data: bytes, at: int, *, keyed: bool) -> tuple[Any, int]:
    count, at = uint(data, at)
    items: list[Any] = []
    keys: list[str] = []
    for _ in range(count):
        if keyed:
            key, at = read_text(data, at)
            keys.append(key)
        item, at = _read(data, at)
        items.append(item)
    return (dict(zip(keys, items, strict=True)) if keyed else items), at


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """The text at ``at``, and where it ends."""
    size, at = uint(data, at)
    return data[at : at + size].decode(), at + size


def _read_signed(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    value, shift = byte & 0x3F, 6
    negative = byte & 0x40
    while byte & 0x80:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return (-value if negative else value), at


def write_json(value: Any) -> bytes:
    """A checked value as the JSON text that formats and embedded objects are stored as."""
    out = bytearray()
    write_string(out, orjson.dumps(value).decode())
    return bytes(out)


def read_json(data: bytes, at: int = 0) -> Any:
    """The reverse of ``write_json``."""
    return _natural(orjson.loads(read_text(data, at)[0]))


def write_format(key: str, value: Any) -> bytes:
    """The content of a mark of formatting."""
    out = bytearray()
    write_string(out, key)
    return bytes(out) + write_json(value)


def read_format(data: bytes) -> tuple[str, Any]:
    """The key and the value of a mark of formatting."""
    key, at = read_text(data, 0)
    return key, read_json(data, at)


def read_subdocument(data: bytes) -> Subdocument:
    guid, at = read_text(data, 0)
    return Subdocument(guid, read_any(data[at:]))


def read_binary(data: bytes) -> bytes:
    size, at = uint(data, 0)
    return data[at : at + size]


def _natural(value: Any) -> Any:
    if isinstance(value, float):
        exact = value.is_integer() and abs(value) <= _EXACT_INT
        return int(value) if exact else value
    if isinstance(value, list):
        return [_natural(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _natural(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


def same_json(value: Any, other: Any) -> bool:
    """Whether two checked values are one in JSON: 1 and True are two."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        other, option=orjson.OPT_SORT_KEYS
    )
