"""Verification: whether the systems of a pipeline show the same, by hashes, and what differs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from syncline.engine.document.values import same_value

from .database.rows import Key, show_key

PAGE = 1_000
"""Rows that are read at once."""
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
class SideCount:
    """The rows of a record or table in ``system``, as they are compared with those of ``other``,
    each counted once. ``held`` is by reason: they are in quarantine here or there, or have no
    usable key. ``ignored`` ones are to be left alone by a rule; ``unread`` ones could not be looked
    at. Of rows that are equal or different, ``partly`` have a field in quarantine."""

    name: str
    system: str
    other: str
    equal: int = 0
    different: int = 0
    missing: int = 0
    held: Counter[str] = field(default_factory=Counter[str])
    ignored: int = 0
    unread: int = 0
    partly: int = 0

    @property
    def compared(self) -> int:
        return self.equal + self.different + self.missing

    @property
    def rows(self) -> int:
        """All of them."""
        return self.compared + self.held.total() + self.ignored + self.unread


@dataclass(slots=True)
class Verification:
    """``rows`` that were compared by record or table; ``quarantined`` ones have an entry in
    quarantine, or no usable key; ``waiting`` changes by system have not gone on yet, so differences
    may come from them. ``sides`` account for every row, two for each two systems that are to be the
    same."""

    pipeline: str
    rows: dict[str, int] = field(default_factory=dict[str, int])
    quarantined: int = 0
    waiting: dict[str, int] = field(default_factory=dict[str, int])
    differences: list[RowDifference] = field(default_factory=list[RowDifference])
    count: int = 0
    sides: list[SideCount] = field(default_factory=list[SideCount])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    """Tables that cannot be compared, and why."""

    @property
    def equal(self) -> bool:
        """Whether nothing differs, nothing is on its way, and all that could be looked at was. Rows
        that are held are no difference, unless there are no others: then nothing is shown."""
        done = not any(self.waiting.values()) and not self.left_out
        return done and self.count == 0 and not self.unproven

    @property
    def unproven(self) -> list[SideCount]:
        """The sides with rows of which nothing can be said."""
        return [side for side in self.sides if side.unread or (side.held and not side.equal)]

    def add(self, difference: RowDifference) -> None:
        self.count += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)


class ComparedRow(NamedTuple):
    """A row under a name that it has in both systems, or that no row of the other has. It is
    compared unless it is ``held`` for a reason or ``ignored`` by a rule."""

    name: str
    key: Key
    values: list[Any]
    held: str = ""
    ignored: bool = False
    partly: bool = False


class Side(NamedTuple):
    """The rows of one system that are to be the same in another. ``rows`` gives all of them, each
    time it is called; ``values`` those of one row by its key, None if it is gone. ``number`` is how
    many rows the table has."""

    system: str
    rows: Callable[[], Iterator[ComparedRow]]
    values: Callable[[Key], list[Any] | None]
    number: Callable[[], int]


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
) -> None:
    """Compare all rows of a record or table, first by sums of ranges. ``fields`` are what
    ``values`` are of; with ``more_allowed`` the second may have rows that the first does not
    have."""
    sides = (first, second)
    ours = SideCount(name, first.system, second.system)
    theirs = SideCount(name, second.system, first.system)
    sums = [_summed(side, count) for side, count in zip(sides, (ours, theirs), strict=True)]
    if ranges := sums[0].differing(sums[1]):
        for difference in _differences(name, first, second, ranges, fields):
            if difference.missing_in == first.system:
                theirs.equal -= 1
                if more_allowed:
                    theirs.ignored += 1
                    continue
                theirs.missing += 1
            else:
                ours.equal -= 1
                if difference.missing_in:
                    ours.missing += 1
                else:
                    ours.different += 1
                    theirs.equal -= 1
                    theirs.different += 1
            result.add(difference)
    result.rows[name] = max(ours.compared, theirs.compared, result.rows.get(name, 0))
    result.sides += [ours, theirs]


def _summed(side: Side, count: SideCount) -> RangeSums:
    """The sums of a side's rows; all that are compared count as equal at first."""
    sums = RangeSums()
    looked_at = 0
    for row in side.rows():
        looked_at += 1
        if row.held:
            count.held[row.held] += 1
        elif row.ignored:
            count.ignored += 1
        else:
            sums.add(row.name, digest_of(row.name, row.values))
            count.equal += 1
            count.partly += row.partly
    # Beyond a page without a single readable key, no row can be asked for.
    if looked_at % PAGE == 0:
        count.unread = max(0, side.number() - looked_at)
    return sums


def _differences(
    name: str, first: Side, second: Side, ranges: set[int], fields: Sequence[str]
) -> Iterator[RowDifference]:
    # Digests are kept, not values: the ranges may be of a table that has been emptied.
    mine, theirs = (
        {
            row.name: (row.key, digest_of(row.name, row.values))
            for row in side.rows()
            if not row.held and not row.ignored and range_of(row.name) in ranges
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
