"""Tables of two systems that hold the same records, and the fields of those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from .columns import ColumnPair, Side, pair_columns
from .names import column_likeness, meaning, record_name, safe_name, table_likeness
from .samples import SystemSample

_SAME_NAME = 0.85
_RID_LENGTH = 36
_MOST_COMBINED = 10
"""Of so many fields combinations are tried for a match rule."""


@dataclass(frozen=True)
class FieldPair:
    """One field of a record. ``ref`` is the record that it refers to, or None."""

    name: str
    columns: ColumnPair
    ref: str | None = None

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.columns.first, self.columns.second


@dataclass(frozen=True)
class RecordPair:
    """Two tables with the same records. Without ``match`` their rows cannot be told to be the same;
    ``trouble`` says why the record cannot take part, or is ""."""

    name: str
    sides: tuple[Side, Side]
    fields: Sequence[FieldPair] = ()
    match: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def tables(self) -> tuple[str, str]:
        return self.sides[0].sample.table.name, self.sides[1].sample.table.name


@dataclass(frozen=True)
class Pairing:
    """The ``records`` two systems have in common, and those ``left_out``, with their trouble;
    ``alone`` are the tables, by system, that nothing in the other is like."""

    records: list[RecordPair]
    left_out: list[RecordPair]
    alone: tuple[list[str], list[str]]


class _Couple(NamedTuple):
    score: float
    first: str
    second: str
    columns: list[ColumnPair]


def pair_tables(first: SystemSample, second: SystemSample) -> Pairing:
    """What two systems have in common, by names and columns of their tables and the values in
    them."""
    sides = (
        {name: Side(sample) for name, sample in first.tables.items()},
        {name: Side(sample) for name, sample in second.tables.items()},
    )
    couples = [
        _Couple(score, one, other, columns)
        for one in sides[0]
        for other in sides[1]
        for score, columns in [_compared(sides[0][one], sides[1][other])]
        if score
    ]
    couples.sort(key=lambda each: (-each.score, each.first, each.second))
    chosen: list[tuple[str, tuple[Side, Side], list[ColumnPair]]] = []
    used: tuple[set[str], set[str]] = (set(), set())
    for each in couples:
        if each.first not in used[0] and each.second not in used[1]:
            used[0].add(each.first)
            used[1].add(each.second)
            name = record_name(each.first, [record for record, _, _ in chosen])
            chosen.append((name, (sides[0][each.first], sides[1][each.second]), each.columns))
    places = {name: place for place, name in enumerate(sides[0])}
    chosen.sort(key=lambda each: places[each[1][0].sample.table.name])
    left_out: list[RecordPair] = []
    # Who refers to a record that cannot take part may itself have trouble then.
    while True:
        records = _records(chosen)
        troubled = [record for record in records if record.trouble]
        if not troubled:
            break
        left_out += troubled
        names = {record.name for record in troubled}
        chosen = [each for each in chosen if each[0] not in names]
    alone = [
        [name for name in of if name not in taken] for of, taken in zip(sides, used, strict=True)
    ]
    return Pairing(records, left_out, (alone[0], alone[1]))


def _compared(one: Side, other: Side) -> tuple[float, list[ColumnPair]]:
    """How likely two tables hold the same records, 0 if that is not to be proposed."""
    columns = pair_columns(one, other)
    samples = one.sample, other.sample
    alike = table_likeness(samples[0].table.name, samples[1].table.name)
    totals = len(one.columns), len(other.columns)
    coverage = 0.0
    if all(totals):
        covered = (
            sum(len(pair.first) * pair.score for pair in columns),
            sum(len(pair.second) * pair.score for pair in columns),
        )
        coverage = max(covered[0] / totals[0], covered[1] / totals[1])
    elif not any(totals) and samples[0].table.foreign_keys and samples[1].table.foreign_keys:
        coverage = 1.0  # tables that only say what belongs together
    shared = max(
        (each.shared for each in columns if _tells_apart(one, each.first, each.shared)), default=0
    )
    both_have_rows = bool(samples[0].rows and samples[1].rows)
    if alike >= _SAME_NAME:
        proposed = coverage >= 0.3
    else:
        proposed = coverage >= 0.5 and len(columns) >= 2 and both_have_rows and shared >= 2
    return (alike + coverage + min(shared, 10) / 10 if proposed else 0.0), columns


def _tells_apart(side: Side, columns: Sequence[str], shared: int) -> bool:
    """Whether values of a field that both systems have are of the same thing: few are twice."""
    filled = sum(value not in (None, "") for value in side.sample.joined(columns))
    return shared > 0 and len(side.compared(columns)) >= 0.8 * filled


def _records(
    chosen: Sequence[tuple[str, tuple[Side, Side], list[ColumnPair]]],
) -> list[RecordPair]:
    records: list[RecordPair] = []
    by_table = {
        (place, side.sample.table.name): name
        for name, sides, _ in chosen
        for place, side in enumerate(sides)
    }
    for name, sides, columns in chosen:
        fields = _named(columns)
        fields += _references(sides, by_table, [each.name for each in fields])
        match = choose_match(sides, fields)
        trouble = next((each for side in (0, 1) if (each := _keyless(sides, fields, side))), "")
        if not fields:
            trouble = "they have no columns in common"
        elif not trouble and not match and all(side.sample.rows for side in sides):
            trouble = (
                "both have rows, and no field is sure to say which are the same: name some in match"
            )
        records.append(RecordPair(name, sides, fields, match, trouble))
    return records


def _named(columns: Iterable[ColumnPair]) -> list[FieldPair]:
    fields: list[FieldPair] = []
    for pair in columns:
        taken = [each.name for each in fields]
        one = len(pair.first) == len(pair.second)
        name = safe_name(pair.first[0] if one else "name", "field", taken)
        fields.append(FieldPair(name, pair))
    return fields


def _references(
    sides: tuple[Side, Side], by_table: dict[tuple[int, str], str], taken: list[str]
) -> list[FieldPair]:
    """The foreign keys of both tables that name the same records."""
    targets = [
        {
            key.columns[0]: record
            for key in side.sample.table.foreign_keys
            if len(key.columns) == 1 and (record := by_table.get((place, key.table)))
        }
        for place, side in enumerate(sides)
    ]
    names = [side.sample.table.name for side in sides]
    likely = sorted(
        (
            (-column_likeness(one, names[0], other, names[1]), one, other)
            for one, record in targets[0].items()
            for other, same in targets[1].items()
            if record == same
        ),
    )
    fields: list[FieldPair] = []
    used: set[tuple[int, str]] = set()
    for negative, one, other in likely:
        if (0, one) not in used and (1, other) not in used:
            used |= {(0, one), (1, other)}
            name = safe_name(_without_id(one), "ref", taken)
            taken.append(name)
            fields.append(
                FieldPair(name, ColumnPair((one,), (other,), -negative, 0), targets[0][one])
            )
    return fields


def _without_id(column: str) -> str:
    for ending in ("_id", "Id", "ID", "_key"):
        if column.endswith(ending) and len(column) > len(ending):
            return column.removesuffix(ending)
    return column


def _keyless(sides: tuple[Side, Side], fields: Sequence[FieldPair], place: int) -> str:
    """Why rows that come from the other system would have no key, or ""."""
    table = sides[place].sample.table
    mapped = {column for each in fields for column in each.sides[place]}
    if table.autokey or all(name in mapped for name in table.key):
        return ""
    key = table.columns[table.key[0]]
    wide = key.length is None or key.length >= _RID_LENGTH
    if len(table.key) == 1 and key.kind in ("text", "uuid") and wide:
        return ""
    return (
        f"new rows of {table.name} would have no key: map {' and '.join(table.key)}, or let the "
        "database number its rows"
    )


def choose_match(sides: tuple[Side, Side], fields: Sequence[FieldPair]) -> tuple[str, ...]:
    """The fields whose values tell which rows are the same: an e-mail address if there is one, else
    what is unique; none if nothing is in the sampled rows of both systems."""
    telling = [each for each in fields if not each.ref and _may_tell(sides, each)]
    unique = [each for each in telling if is_unique(sides, (each,))]
    names = [side.sample.table.name for side in sides]
    emails = [
        each for each in unique if meaning(each.columns.first[0], names[0]).concept == "email"
    ]
    if emails:
        plain = [e for e in emails if not meaning(e.columns.first[0], names[0]).qualifiers]
        return ((plain or emails)[0].name,)
    for place, side in enumerate(sides):
        keys = [side.sample.table.key, *side.sample.table.uniques]
        for key in keys:
            of_key = [each for each in fields if set(each.sides[place]) <= set(key)]
            covers = {column for each in of_key for column in each.sides[place]} == set(key)
            if covers and is_unique(sides, of_key):
                return tuple(each.name for each in of_key)
    for each in sorted(unique, key=lambda each: -each.columns.shared):
        if each.columns.shared >= 2 and _mostly_shared(sides, each):
            return (each.name,)
    references = [each for each in fields if each.ref]
    others = [each for each in fields if not each.ref and each.columns.shared]
    for both in combinations([*references, *others][:_MOST_COMBINED], 2):
        if both[0].ref and is_unique(sides, both):
            return tuple(each.name for each in both)
    return ()


def _may_tell(sides: tuple[Side, Side], each: FieldPair) -> bool:
    """Whether values of a field may be what names a record: no times, amounts or contents."""
    return all(
        side.sample.table.columns[column].kind in ("text", "uuid")
        for side, columns in zip(sides, each.sides, strict=True)
        for column in columns
    )


def _mostly_shared(sides: tuple[Side, Side], each: FieldPair) -> bool:
    counts = [len(side.compared(of)) for side, of in zip(sides, each.sides, strict=True)]
    return 2 * each.columns.shared >= min(counts)


def is_unique(sides: tuple[Side, Side], fields: Sequence[FieldPair]) -> bool:
    """Whether no two sampled rows of one table agree in all ``fields``, and some row has them."""
    filled = False
    for place, side in enumerate(sides):
        columns = [side.sample.joined(each.sides[place]) for each in fields]
        rows = [
            tuple(str(value).casefold() for value in row)
            for row in zip(*columns, strict=True)
            if all(value not in (None, "") for value in row)
        ]
        if any(count > 1 for count in Counter(rows).values()):
            return False
        filled = filled or bool(rows)
    return filled or not any(side.sample.rows for side in sides)
