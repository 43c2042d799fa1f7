"""Rows that go as they are: no rule is about them, and both tables have the same types.

A page of them is looked at column by column, which takes a fraction of the time that rows take one
by one: most columns hold values of one type, which need not be touched at all. Whatever is not
plain sends the whole page the long way (table_plan.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syncline.connectors.database.rows import Key
from syncline.connectors.database.values import EXACT, Unreadable, ValueKind, reader, stores, writer

from .plan import TablePlan

_PLAIN_KEY = 40
"""Characters of a text in a key that is short enough however it is written."""


class DirectRows:
    """The columns of one table, each with what turns a driver's values into the other's."""

    def __init__(self, plan: TablePlan) -> None:
        self._plan = plan
        self.columns = tuple(plan.columns.values())
        """The names at the destination."""
        places = {name: place for place, name in enumerate(plan.source.columns)}
        self._keys = [places[name] for name in plan.source.key]
        self._columns = [
            _Column(
                places[name],
                plan.source.columns[name].kind,
                plan.dialects,
                zoned=plan.target.columns[to].zoned,
            )
            for name, to in plan.columns.items()
        ]

    def convert(self, raws: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]] | None:
        """The rows for the destination's driver, or None if they have to be looked at one by
        one."""
        if not raws:
            return []
        by_column: list[tuple[Any, ...]] = list(zip(*raws, strict=True))
        if not all(_is_plain_key(by_column[place]) for place in self._keys):
            return None
        converted: list[Sequence[Any]] = []
        for column in self._columns:
            values = column.convert(by_column[column.place])
            if values is None:
                return None
            converted.append(values)
        return list(zip(*converted, strict=True))

    def last_key(self, raws: Sequence[Sequence[Any]]) -> Key:
        """The key of the last of these rows."""
        return self._plan.rows.key_of(self._plan.rows.row(raws[-1]))


class _Column:
    def __init__(
        self, place: int, kind: ValueKind, dialects: tuple[str, str], *, zoned: bool
    ) -> None:
        self.place = place
        self._read = reader(kind, dialects[0])
        self._write = writer(kind, dialects[1], zoned=zoned)
        # Of this type values are canonical, and what the other driver takes.
        exact = EXACT.get(kind)
        untouched = exact is not None and not stores(kind, dialects[1])
        self._untouched = {exact, type(None)} if untouched else set[Any]()

    def convert(self, values: Sequence[Any]) -> Sequence[Any] | None:
        if self._untouched and set(map(type, values)) <= self._untouched:
            return values
        read = [self._read(value) for value in values]
        if Unreadable in set(map(type, read)):
            return None
        return [self._write(value) for value in read]


def _is_plain_key(values: Sequence[Any]) -> bool:
    kinds = set(map(type, values))
    return kinds == {int} or (kinds == {str} and max(map(len, values)) <= _PLAIN_KEY)
