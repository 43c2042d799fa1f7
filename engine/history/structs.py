"""Structs: the pieces of a Yjs v1 update, read and written one at a time.

For updates that have been checked before: updates/parse.py describes the format and refuses what is
not valid. Contents stay bytes, so that what is read can be written again exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from syncline.engine.lib0 import write_string, write_uint
from syncline.engine.updates.struct_format import (
    ANY,
    BINARY,
    DELETED,
    DOCUMENT,
    EMBED,
    FORMAT,
    GC,
    HAS_KEY,
    HAS_ORIGIN,
    HAS_RIGHT_ORIGIN,
    KIND,
    SKIP,
    STRING,
    TYPE,
    XML_ELEMENT,
)
from syncline.engine.updates.update_values import (
    Budget,
    UpdateLimits,
    skip_json,
    skip_text,
    skip_values,
    uint,
)

Id: TypeAlias = tuple[int, int]
"""(client, clock) of an operation."""
Parent: TypeAlias = str | Id
"""A root's name, or the operation that created a nested type."""

UNBOUNDED = UpdateLimits(max_structs=1 << 53, max_nesting=1 << 53)
"""What a document holds has been let in before."""


class Struct(NamedTuple):
    """One struct. ``parent`` and ``key`` are given only where there is no origin.

    ``content`` is a str of a STRING, the list of the values' bytes of an ANY, None of what was
    deleted or collected, else the bytes after the struct's head.
    """

    kind: int
    length: int
    """In clocks: UTF-16 units of a STRING."""
    content: Any
    origin: Id | None = None
    right_origin: Id | None = None
    parent: Parent | None = None
    key: str | None = None


def units(text: str) -> int:
    """The length of ``text`` in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) >> 1


class StructReader:
    """Reads the structs of an update, each with its client and first clock. Once all were read,
    ``at`` is where they end."""

    def __init__(self, update: bytes) -> None:
        self._update = update
        self.at = 0

    def __iter__(self) -> Iterator[tuple[int, int, Struct]]:
        """Raises what ``read_struct`` does."""
        update, budget = self._update, Budget(UNBOUNDED)
        sections, at = uint(update, 0)
        for _ in range(sections):
            count, at = uint(update, at)
            client, at = uint(update, at)
            clock, at = uint(update, at)
            for _ in range(count):
                if update[at] == SKIP:
                    length, at = uint(update, at + 1)
                else:
                    struct, at = read_struct(update, at, budget)
                    length = struct.length
                    yield client, clock, struct
                clock += length
        self.at = at


def read_struct(data: bytes, at: int, budget: Budget) -> tuple[Struct, int]:
    """The struct at ``at``, and where it ends. Raises IndexError or ValueError on what is none."""
    info = data[at]
    at += 1
    kind = info & KIND
    if kind == GC:
        length, at = uint(data, at)
        return Struct(GC, length, None), at
    origin = right_origin = None
    parent: Parent | None = None
    key: str | None = None
    if info & HAS_ORIGIN:
        origin, at = _read_id(data, at)
    if info & HAS_RIGHT_ORIGIN:
        right_origin, at = _read_id(data, at)
    if origin is None and right_origin is None:
        named, at = uint(data, at)
        parent, at = _read_text(data, at) if named else _read_id(data, at)
        if info & HAS_KEY:
            key, at = _read_text(data, at)
    length, content, at = _read_content(data, at, kind, budget)
    if not length:
        raise ValueError("a struct is empty")  # yrs writes this where it cut a character in two
    return Struct(kind, length, content, origin, right_origin, parent, key), at


def write_struct(out: bytearray, struct: Struct) -> None:
    """Append ``struct``. Raises ValueRefused if a text has a lone surrogate."""
    info = struct.kind
    if struct.origin is not None:
        info |= HAS_ORIGIN
    if struct.right_origin is not None:
        info |= HAS_RIGHT_ORIGIN
    if struct.key is not None:
        info |= HAS_KEY
    out.append(info)
    for other in (struct.origin, struct.right_origin):
        if other is not None:
            _write_id(out, other)
    if struct.origin is None and struct.right_origin is None:
        if isinstance(struct.parent, str):
            write_uint(out, 1)
            write_string(out, struct.parent)
        elif struct.parent is not None:
            write_uint(out, 0)
            _write_id(out, struct.parent)
        if struct.key is not None:
            write_string(out, struct.key)
    if struct.kind == STRING:
        write_string(out, struct.content)
    elif struct.kind == ANY:
        write_uint(out, len(struct.content))
        out += b"".join(struct.content)
    else:
        out += struct.content


def _read_content(data: bytes, at: int, kind: int, budget: Budget) -> tuple[int, Any, int]:
    """How many clocks it takes, the content, and where it ends."""
    if kind == DELETED:
        length, at = uint(data, at)
        return length, None, at
    if kind == STRING:
        text, at = _read_text(data, at)
        return units(text), text, at
    if kind == ANY:
        length, at = uint(data, at)
        values: list[bytes] = []
        for _ in range(length):
            start, at = at, skip_values(data, at, 1, budget)
            values.append(data[start:at])
        return length, values, at
    start = at
    if kind == TYPE:
        at += 1
        if data[start] == XML_ELEMENT:
            at = skip_text(data, at)
    elif kind == FORMAT:
        at = skip_json(data, skip_text(data, at), budget)
    elif kind == EMBED:
        at = skip_json(data, at, budget)
    elif kind == BINARY:
        size, at = uint(data, at)
        at += size
    elif kind == DOCUMENT:
        at = skip_values(data, skip_text(data, at), 1, budget)
    else:
        raise ValueError(f"a struct is of the unknown kind {kind}")
    return 1, data[start:at], at


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    size, at = uint(data, at)
    return data[at : at + size].decode(), at + size


def _read_id(data: bytes, at: int) -> tuple[Id, int]:
    client, at = uint(data, at)
    clock, at = uint(data, at)
    return (client, clock), at


def _write_id(out: bytearray, other: Id) -> None:
    write_uint(out, other[0])
    write_uint(out, other[1])


_TEXT_VALUE = 119  # the tag of a text in lib0's Any encoding


def text_value(text: str) -> bytes:
    """A text as a value of an ANY."""
    out = bytearray([_TEXT_VALUE])
    write_string(out, text)
    return bytes(out)


def read_text_value(value: bytes) -> str | None:
    """The text that a value of an ANY is, None if it is something else."""
    return _read_text(value, 1)[0] if value[0] == _TEXT_VALUE else None
