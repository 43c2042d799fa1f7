"""Columns of two tables that mean the same, by their names, types and sampled values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from syncline.connectors.database.tables import ForeignKey
from syncline.connectors.database.values import ValueKind

from .names import column_likeness, meaning
from .samples import TableSample

ALIKE = 0.8
"""Score from which two columns are taken to mean the same."""
_GUESSED = 0.5
"""Score of names from which values in common may decide."""
_FEW = 5
"""Columns with fewer different values have values in common by chance."""
_HALF = 0.5

_KINDS: dict[ValueKind, str] = {
    "text": "text",
    "uuid": "text",
    "int": "number",
    "float": "number",
    "decimal": "number",
    "date": "time",
    "datetime": "time",
}
_PHONES = ("phone", "mobile", "fax")


class ColumnPair(NamedTuple):
    """A field: its columns in the one table and in the other, how sure that is, 0 to 1, and how
    many of the sampled values both have."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    score: float
    shared: int


@dataclass(frozen=True)
class Side:
    """One table and the columns of it that may become fields."""

    sample: TableSample

    @cached_property
    def references(self) -> dict[str, ForeignKey]:
        """The foreign keys by their columns; every system has other keys."""
        keys = self.sample.table.foreign_keys
        return {column: key for key in keys for column in key.columns}

    @cached_property
    def columns(self) -> list[str]:
        """Not among them: keys that the database makes, and when a row was last changed, which
        every database notes by itself."""
        return [name for name in self.sample.table.writable if not self.why_left_out(name)]

    def why_left_out(self, column: str) -> str:
        """Why a column is no field, as a part of a sentence; "" if it may be one."""
        table = self.sample.table
        if table.autokey and column in table.key:
            return "the key: every system has its own"
        if column in self.references:
            return f"refers to {self.references[column].table}"
        if table.columns[column].computed:
            return "the database computes it"
        if meaning(column, table.name).concept == "updated":
            return "every system notes by itself when a row was changed"
        return ""

    @cached_property
    def values(self) -> dict[str, frozenset[str]]:
        return {name: self.compared((name,)) for name in self.columns}

    def compared(self, columns: Sequence[str]) -> frozenset[str]:
        """The different values of a field, in the form in which they are compared."""
        concept = meaning(columns[0], self.sample.table.name).concept
        found = self.sample.joined(columns)
        return frozenset(_plain(value, concept) for value in found if value not in (None, ""))

    def by_meaning(self, concept: str) -> list[str]:
        """The text columns with a meaning, those without a qualifier first."""
        table = self.sample.table
        meant = {name: meaning(name, table.name) for name in self.columns}
        found = [
            name
            for name, each in meant.items()
            if each.concept == concept and table.columns[name].kind == "text"
        ]
        return sorted(found, key=lambda name: len(meant[name].qualifiers))


def _plain(value: Any, concept: str) -> str:
    text = str(value).casefold().strip()
    # The end of a phone number is the same with and without the code of its country.
    return re.sub(r"\D", "", text)[-8:] if concept in _PHONES else text


def pair_columns(first: Side, second: Side) -> list[ColumnPair]:
    """The fields that two tables have in common, in the order of the first's columns."""
    found = _split_names(first, second)
    used = {name for pair in found for name in pair.first}
    used_second = {name for pair in found for name in pair.second}
    scored = [
        pair
        for name in first.columns
        for other in second.columns
        if name not in used and other not in used_second
        if (pair := _scored(first, name, second, other)).score >= ALIKE
    ]
    place = {name: index for index, name in enumerate(second.columns)}
    scored.sort(key=lambda pair: (-pair.score, -pair.shared, place[pair.second[0]]))
    for pair in scored:
        if pair.first[0] not in used and pair.second[0] not in used_second:
            used.add(pair.first[0])
            used_second.add(pair.second[0])
            found.append(pair)
    order = {name: index for index, name in enumerate(first.columns)}
    return sorted(found, key=lambda pair: order[pair.first[0]])


def _scored(first: Side, name: str, second: Side, other: str) -> ColumnPair:
    tables = first.sample.table, second.sample.table
    score = column_likeness(name, tables[0].name, other, tables[1].name)
    score *= _fit(tables[0].columns[name].kind, tables[1].columns[other].kind)
    one, two = first.values[name], second.values[other]
    shared = len(one & two)
    smaller = min(len(one), len(two))
    if 0 < score < ALIKE and score >= _GUESSED and shared >= _FEW and shared > _HALF * smaller:
        score = ALIKE
    # Two columns of text that nobody would take for each other, but for what is in them.
    texts = tables[0].columns[name].kind == tables[1].columns[other].kind == "text"
    if score < ALIKE and texts and shared >= _FEW and shared > ALIKE * max(len(one), len(two)):
        score = ALIKE
    own = name in tables[0].key or other in tables[1].key
    if own and smaller and not shared:
        score = 0.0  # keys that each system gives out by itself
    return ColumnPair((name,), (other,), score, shared)


def _fit(first: ValueKind, second: ValueKind) -> float:
    """How well values of one kind go into a column of the other."""
    if first == second:
        return 1.0
    one, other = _KINDS.get(first), _KINDS.get(second)
    if one is not None and one == other:
        return 0.95
    if "text" in (one, other) and {one, other} & {"number", "time"}:
        return 0.85
    return 0.85 if {first, second} == {"bool", "int"} else 0.0


def _split_names(first: Side, second: Side) -> list[ColumnPair]:
    """A full name in the one table and its two parts in the other."""
    for whole, parts in ((second, first), (first, second)):
        split = [parts.by_meaning("first_name")[:1], parts.by_meaning("last_name")[:1]]
        if not all(split) or whole.by_meaning("first_name") or whole.by_meaning("last_name"):
            continue
        columns = (split[0][0], split[1][0])
        for full in whole.by_meaning("full_name"):
            shared = len(parts.compared(columns) & whole.compared((full,)))
            if shared or _are_names(whole.sample.values(full)):
                pair = ColumnPair(columns, (full,), 0.9, shared)
                return [pair if whole is second else pair._replace(first=(full,), second=columns)]
    return []


def _are_names(values: Sequence[Any]) -> bool:
    """Whether most values have a first and a last name; nothing speaks against it in no values."""
    several = sum(len(str(value).split()) in (2, 3) for value in values)
    return several >= _HALF * len(values)
