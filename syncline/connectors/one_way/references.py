"""References: rows of one table that have to be there before others, by its foreign keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from syncline.connectors.database.order import numbers_in_order, with_descendants
from syncline.connectors.database.rows import batches
from syncline.connectors.database.tables import ForeignKey
from syncline.connectors.database.values import NotOfKind, Unreadable, reader
from syncline.connectors.report import RowRefusal

from .plan import PlannedRow, TablePlan

Values: TypeAlias = tuple[Any, ...]
Node: TypeAlias = tuple[str, Values]
"""A row of the destination, by the name of its table and its key."""


class Missing(NamedTuple):
    """A row that a foreign key keeps from being written: no row has these values."""

    row: PlannedRow
    key: ForeignKey
    values: Values


class References:
    """The foreign keys of a table at the destination, in a transaction."""

    def __init__(self, connection: sa.Connection, plan: TablePlan) -> None:
        self._connection = connection
        self._plan = plan
        columns = plan.target.columns
        # Whether texts are equal is for their collation to say.
        self._keys = [
            key
            for key in plan.target.foreign_keys
            if all(name in columns and columns[name].kind != "text" for name in key.columns)
        ]

    @property
    def of_itself(self) -> bool:
        """Whether rows refer to rows of their own table."""
        return any(self._is_own(key) for key in self._keys)

    def _is_own(self, key: ForeignKey) -> bool:
        return key.table == self._plan.target.name

    def sort(self, rows: Sequence[PlannedRow]) -> tuple[list[PlannedRow], list[Missing]]:
        """The rows of which all parents are there, or among these rows: each after its parents, as
        far as they do not go round in a circle; and those that have to wait."""
        children: dict[int, list[int]] = {}
        waits: dict[int, int] = {}
        missing: dict[int, Missing] = {}
        for key in self._keys:
            wanted = {number: self._values(row, key.columns) for number, row in enumerate(rows)}
            here: dict[Values, int] = {}
            if self._is_own(key):
                here = {self._values(row, key.referred): n for n, row in enumerate(rows)}
            named = {values for values in wanted.values() if None not in values}
            there = self._there(key, named - here.keys())
            for number, values in wanted.items():
                if None in values or values in there:
                    continue
                if values in here:
                    if here[values] != number:
                        children.setdefault(here[values], []).append(number)
                        waits[number] = waits.get(number, 0) + 1
                else:
                    missing[number] = Missing(rows[number], key, values)
        for number in with_descendants(missing, children):
            if number not in missing:
                missing[number] = self._missing_parent(rows, number)
        order = numbers_in_order(range(len(rows)), children, waits)
        return [rows[n] for n in order if n not in missing], list(missing.values())

    def missing(self, rows: Sequence[PlannedRow]) -> list[Missing]:
        """All that these rows refer to and the destination does not have."""
        found: list[Missing] = []
        for key in self._keys:
            wanted = [(row, self._values(row, key.columns)) for row in rows]
            there = self._there(key, {values for _, values in wanted if None not in values})
            found += [
                Missing(row, key, values)
                for row, values in wanted
                if None not in values and values not in there
            ]
        return found

    def _missing_parent(self, rows: Sequence[PlannedRow], number: int) -> Missing:
        key = next(key for key in self._keys if self._is_own(key))
        return Missing(rows[number], key, self._values(rows[number], key.columns))

    def _values(self, row: PlannedRow, names: Iterable[str]) -> Values:
        return tuple(row.values.get(name) for name in names)

    def _there(self, key: ForeignKey, wanted: Iterable[Values]) -> set[Values]:
        """Those of these values that a row of the referred table has."""
        readers = [reader(self._plan.target.columns[name].kind) for name in key.columns]
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in key.referred]
        found: set[Values] = set()
        for batch in batches(wanted):
            raws: list[tuple[Any, ...]] = []
            for values in batch:
                try:
                    raws.append(
                        tuple(
                            self._plan.target_rows.raw(name, value)
                            for name, value in zip(key.columns, values, strict=True)
                        )
                    )
                except NotOfKind:
                    continue
            condition = (
                columns[0].in_([raw[0] for raw in raws])
                if len(columns) == 1
                else sa.tuple_(*columns).in_(raws)
            )
            statement = sa.select(*columns).select_from(sa.table(key.table, *columns))
            for row in self._connection.execute(statement.where(condition)):
                read = tuple(each(value) for each, value in zip(readers, row, strict=True))
                if not any(isinstance(value, Unreadable) for value in read):
                    found.add(read)
        return found


def refusal_of_missing(missing: Missing) -> RowRefusal:
    """Why such a row waits."""
    shown = "/".join(map(str, missing.values))
    message = f"It refers to a row that is not there: {missing.key.table} {shown}."
    hint = "It goes on as soon as that row is there."
    return RowRefusal("", "parent", message, hint, shown)
