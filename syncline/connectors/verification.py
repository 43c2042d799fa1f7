"""Verification: whether the systems of a pipeline show the same, by hashes, and what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from syncline.engine.document.values import same_value

from .database.rows import Key, show_key

MAX_DIFFERENCES = 1_000
"""Differences that are named; the number is of all."""
RANGES = 1_024
"""Into how many ranges the names of rows are divided; only ranges whose sums differ are looked at
row by row."""


class RowDifference(NamedTuple):
    """A row that is not the same everywhere. ``keys`` are by system; of a row that ``missing_in``
    does not have, there is one; ``fields`` are the values of those that differ, by system."""

    name: str
    keys: dict[str, str]
    missing_in: str
    fields: dict[str, dict[str, Any]]


@dataclass(slots=True)
class Verification:
    """``rows`` that were compared by record or table; ``quarantined`` ones are in quarantine, and
    left out; ``waiting`` changes by system have not gone on yet, so differences may come from
    them."""

    pipeline: str
    rows: dict[str, int] = field(default_factory=dict[str, int])
    quarantined: int = 0
    waiting: dict[str, int] = field(default_factory=dict[str, int])
    differences: list[RowDifference] = field(default_factory=list[RowDifference])
    count: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs, and nothing is on its way."""
        return self.count == 0 and not any(self.waiting.values())

    def add(self, difference: RowDifference) -> None:
        self.count += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)


class ComparedRow(NamedTuple):
    """A row under a name that it has in both systems, or that no row of the other has."""

    name: str
    key: Key
    values: list[Any]


class Side(NamedTuple):
    """The rows of one system that are to be the same in another. ``rows`` gives all of them, each
    time it is called; ``values`` those of one row by its key, None if it is gone."""

    system: str
    rows: Callable[[], Iterator[ComparedRow]]
    values: Callable[[Key], list[Any] | None]


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


def compare_sides(
    name: str,
    first: Side,
    second: Side,
    fields: Sequence[str],
    result: Verification,
    *,
    more_allowed: bool = False,
) -> tuple[int, int]:
    """Compare all rows of a record or table, first by sums of ranges; return how many rows each
    side has. ``fields`` are what ``values`` are of; with ``more_allowed`` the second may have rows
    that the first does not have."""
    sums, counts = (RangeSums(), RangeSums()), [0, 0]
    for place, side in enumerate((first, second)):
        for row in side.rows():
            sums[place].add(row.name, digest_of(row.name, row.values))
            counts[place] += 1
    if ranges := sums[0].differing(sums[1]):
        for difference in _differences(name, first, second, ranges, fields):
            if not (more_allowed and difference.missing_in == first.system):
                result.add(difference)
    return counts[0], counts[1]


def _differences(
    name: str, first: Side, second: Side, ranges: set[int], fields: Sequence[str]
) -> Iterator[RowDifference]:
    # Digests are kept, not values: the ranges may be of a table that has been emptied.
    mine, theirs = (
        {
            row.name: (row.key, digest_of(row.name, row.values))
            for row in side.rows()
            if range_of(row.name) in ranges
        }
        for side in (first, second)
    )
    for row, (key, digest) in sorted(mine.items()):
        if row not in theirs:
            yield RowDifference(name, {first.system: show_key(key)}, second.system, {})
        elif digest != theirs[row][1]:
            yield _differing(name, first, key, second, theirs[row][0], fields)
    for row in sorted(theirs.keys() - mine.keys()):
        yield RowDifference(name, {second.system: show_key(theirs[row][0])}, first.system, {})


def _differing(
    name: str, first: Side, key: Key, second: Side, other: Key, fields: Sequence[str]
) -> RowDifference:
    mine, theirs = first.values(key), second.values(other)
    differing: dict[str, dict[str, Any]] = {}
    if mine is not None and theirs is not None:
        differing = {
            field: {first.system: value, second.system: its}
            for field, value, its in zip(fields, mine, theirs, strict=True)
            if not same_value(value, its)
        }
    keys = {first.system: show_key(key), second.system: show_key(other)}
    return RowDifference(name, keys, "", differing)
