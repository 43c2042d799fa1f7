"""The values inside updates: stepping over them, within bounds.

Functions on (bytes, position), returning the new position, because the parser of updates runs on
every update: they check what they step over and build nothing. A byte read past the end raises
IndexError. A slice that ends early is noticed by the next byte read, because the position returned
is then past the end, and no update ends in a slice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import cast

import orjson

from syncline.engine.errors import InvalidUpdate
from syncline.engine.lib0 import MAX_UINT

# Tags of lib0's Any encoding.
_TEXT = 119
_OBJECT = 118
_ARRAY = 117
_BYTES = 116
_INTEGER = 125
_FIXED = {127: 0, 126: 0, 121: 0, 120: 0, 124: 4, 123: 8, 122: 8}
"""undefined, null, false, true, 32- and 64-bit float, 64-bit integer: how many bytes follow."""


@dataclass(frozen=True, slots=True)
class UpdateLimits:
    """What an update may ask of a receiver.

    A relay holds a document to ``max_depth``, ``max_clients``, ``max_nesting`` and the last two as
    a whole. So what it took one by one keeps them when it is merged, and every receiver takes it.
    """

    max_bytes: int = 16 << 20
    max_structs: int = 16 << 20
    """Structs, values inside them and deleted ranges, together. For the work that one update
    makes, hence of no use where updates come merged: this is as many as ``max_bytes`` can hold."""
    max_depth: int = 32
    """How deep arrays and objects inside one value may nest."""
    max_clients: int = 20_000
    """Writers of structs; also the writers of what is deleted. Their state vector fits a message:
    13 bytes each at most."""
    max_nesting: int = 1_000
    """How deep shared types may lie inside each other (layout.py)."""
    max_collected: int = 1 << 53
    """Operations without content, which cost no bytes: each one is a clock that its client cannot
    use again. A document that was merged may have any number of them."""
    max_document_bytes: int = 15 << 20
    """The updates of a document together: less than ``max_bytes``, and than a frame."""
    max_document_parts: int = 4_000_000
    """Structs, values and deleted ranges of a document together, about 100 bytes of memory each."""


DEFAULT_LIMITS = UpdateLimits()


class Budget:
    """Counts down what ``UpdateLimits.max_structs`` allows; ``left`` is what is left of it."""

    __slots__ = ("left", "limits")

    def __init__(self, limits: UpdateLimits) -> None:
        self.limits = limits
        self.left = limits.max_structs

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            allowed = self.limits.max_structs
            raise too_much(f"has more than {allowed} structs, values and deletes", "max_structs")


def uint(data: bytes, at: int) -> tuple[int, int]:
    """Read the integer at ``at``; return it and where it ends."""
    value = data[at]
    at += 1
    if value > 127:
        value &= 127
        shift = 7
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 49:
                raise invalid("an integer is longer than 53 bits", at)
        if not byte:
            # One encoding per value, so that equal ids have equal bytes.
            raise invalid("an integer is padded with zeros", at)
        if value > MAX_UINT:
            raise invalid(f"the integer {value} is longer than 53 bits", at)
    return value, at


def skip_text(data: bytes, at: int) -> int:
    """Step over a text."""
    size, at = uint(data, at)
    data[at : at + size].decode()
    return at + size


def skip_json(data: bytes, at: int, budget: Budget) -> int:
    """Step over a text that holds JSON."""
    size, at = uint(data, at)
    text = data[at : at + size]
    if len(text) < size:
        raise IndexError
    containers = text.count(b"[") + text.count(b"{")
    budget.spend(containers + text.count(b","))
    value: object = orjson.loads(text)
    max_depth = budget.limits.max_depth
    if containers > max_depth:
        level = _containers([value])
        for _ in range(max_depth):
            level = _containers(chain.from_iterable(level))
        if level:
            raise too_deep(max_depth)
    return at + size


def _containers(values: Iterable[object]) -> list[Iterable[object]]:
    """The contents of those of ``values`` that are arrays or objects."""
    found: list[Iterable[object]] = []
    for value in values:
        if isinstance(value, dict):
            found.append(cast("dict[str, object]", value).values())
        elif isinstance(value, list):
            found.append(cast("list[object]", value))
    return found


def skip_values(
    data: bytes, at: int, count: int, budget: Budget, *, keyed: bool = False, depth: int = 0
) -> int:
    """Step over ``count`` values of lib0's Any encoding, each after a text if ``keyed``.

    ``depth`` is the number of arrays and objects around them.
    """
    budget.spend(count)
    if depth > budget.limits.max_depth:
        raise too_deep(budget.limits.max_depth)
    for _ in range(count):
        if keyed:
            at = skip_text(data, at)
        tag = data[at]
        at += 1
        if tag == _TEXT:
            size, at = uint(data, at)
            data[at : at + size].decode()
            at += size
        elif tag == _INTEGER:
            # A sign and 6 bits, then 7 bits a byte: 8 bytes hold JavaScript's 53 bits.
            last = at + 7
            while data[at] > 127:
                at += 1
                if at > last:
                    raise invalid("an integer value is longer than 53 bits", at)
            at += 1
        elif tag in _FIXED:
            at += _FIXED[tag]
        elif tag in (_ARRAY, _OBJECT):
            size, at = uint(data, at)
            at = skip_values(data, at, size, budget, keyed=tag == _OBJECT, depth=depth + 1)
        elif tag == _BYTES:
            size, at = uint(data, at)
            at += size
        else:
            raise invalid(f"a value is of the unknown kind {tag}", at)
    return at


def invalid(problem: str, at: int | None = None) -> InvalidUpdate:
    where = "" if at is None else f" (before byte {at})"
    return InvalidUpdate(
        f"The update is not valid: {problem}{where}.",
        hint="It is not stored. Its sender's document is damaged, or was written by a Yjs library "
        "that this version of Syncline does not know.",
    )


def too_deep(allowed: int) -> InvalidUpdate:
    return too_much(f"has a value nested deeper than {allowed} levels", "max_depth")


def too_nested(allowed: int) -> InvalidUpdate:
    return too_much(f"nests shared types deeper than {allowed} levels", "max_nesting")


def too_much(what: str, limit: str) -> InvalidUpdate:
    return InvalidUpdate(
        f"The update {what}.",
        hint=f"It is not stored. Make smaller changes, or raise UpdateLimits.{limit}.",
    )
