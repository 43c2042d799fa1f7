"""Verification: whether the systems of a pipeline show the same, by hashes, and what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

import orjson

MAX_DIFFERENCES = 1_000
"""Differences that are named; the number is of all."""
RANGES = 1_024
"""Into how many ranges the names of rows are divided; only ranges whose sums differ are looked at
row by row."""


class Difference(NamedTuple):
    """A row that is not the same everywhere. ``keys`` are by system; of a row that ``missing_in``
    does not have, there is one; ``fields`` are the values of those that differ, by system."""

    name: str
    keys: dict[str, str]
    missing_in: str
    fields: dict[str, dict[str, Any]]


@dataclass(slots=True)
class Verification:
    """``rows`` that were compared by record or table; ``held`` rows are in quarantine, and left
    out; ``waiting`` changes by system have not gone on yet, so differences may come from them."""

    pipeline: str
    rows: dict[str, int] = field(default_factory=dict[str, int])
    held: int = 0
    waiting: dict[str, int] = field(default_factory=dict[str, int])
    differences: list[Difference] = field(default_factory=list[Difference])
    count: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs, and nothing is on its way."""
        return self.count == 0 and not any(self.waiting.values())

    def add(self, difference: Difference) -> None:
        self.count += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)


class RangeSums:
    """A sum of the hashes of rows for each range of their names: equal for equal rows, in whatever
    order they were added."""

    def __init__(self) -> None:
        self._sums = [0] * RANGES

    def add(self, name: str, digest: bytes) -> None:
        place = range_of(name)
        self._sums[place] = (self._sums[place] + int.from_bytes(digest)) % (1 << 128)

    def differing(self, other: RangeSums) -> set[int]:
        """The ranges that are not the same in ``other``."""
        pairs = zip(self._sums, other._sums, strict=True)
        return {place for place, (mine, theirs) in enumerate(pairs) if mine != theirs}


def range_of(name: str) -> int:
    return crc32(name.encode()) % RANGES


def digest_of(name: str, values: Sequence[Any]) -> bytes:
    """16 bytes that stand for the row ``name`` with these canonical values."""
    # Equal canonical values are written alike by repr, but for the order of JSON's keys.
    written = [
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if type(value) in (dict, list) else value
        for value in values
    ]
    return hashlib.sha256(repr((name, written)).encode()).digest()[:16]
