"""The rows of two systems, compared as the records that they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.rows import Key, Row, show_key
from syncline.connectors.database.values import Unreadable
from syncline.connectors.verification import ComparedRow, Side, Verification, compare_sides

from .apply import records_without_row
from .mapping import TableMapping
from .record_table import RecordTable
from .replica import SystemReplica
from .shadows import Shadows

ROWS_AT_ONCE = 1_000


class ComparedSide:
    """The table of one record in one system, in a transaction that reads. ``fields`` are those that
    the other system has too."""

    def __init__(
        self, connection: sa.Connection, replica: SystemReplica, kind: str, fields: Collection[str]
    ) -> None:
        self.system = replica.name
        self.mapping = replica.mappings[kind]
        self.fields = [name for name in self.mapping.fields if name in fields]
        self._connection = connection
        self._mappings = replica.mappings
        state: State = replica.state(connection)
        self._shadows = Shadows(connection, state.pipeline)
        self._records = RecordTable(state)
        quarantine = Quarantine(connection, state.pipeline)
        keys = quarantine.all_keys(self.system, self._table)
        waiting = records_without_row(keys)
        self._quarantined = {key for key in keys if key[-1] not in waiting}
        shadows = self._shadows.by_keys(self._table, self._quarantined).values()
        self.left_out = {
            *waiting,
            *(shadow.rid for shadow in shadows),
            *self._shadows.parted(self._table),
        }
        """Records that this system is known not to show as the others do."""

    @property
    def quarantined(self) -> int:
        """How many rows are in quarantine."""
        return len(self._quarantined)

    @property
    def _table(self) -> str:
        return self.mapping.table.name

    def rows(self, left_out: Collection[str]) -> Iterator[ComparedRow]:
        """All rows that are to be the same elsewhere."""
        after: Key | None = None
        rows = self.mapping.rows
        while page := rows.page(self._connection, after, ROWS_AT_ONCE):
            after = rows.key_of(page[-1])
            yield from self._compared({rows.key_of(row): row for row in page}, left_out)

    def values(self, key: Key) -> list[Any] | None:
        """The values of the row with this key, if it is there."""
        found = self.mapping.rows.by_keys(self._connection, [key])
        return next((row.values for row in self._compared(found, ())), None)

    def _compared(self, rows: dict[Key, Row], left_out: Collection[str]) -> Iterator[ComparedRow]:
        shadows = self._shadows.by_keys(self._table, rows)
        dead = self._records.dead({shadow.rid for shadow in shadows.values()})
        linked = self._links(rows.values())
        for key, row in rows.items():
            shadow = shadows.get(key)
            if key in self._quarantined or (shadow and shadow.agreed is None):
                continue
            name = shadow.rid if shadow else f"{self.system} {show_key(key)}"
            if name not in dead and name not in left_out:
                yield ComparedRow(name, key, self._values(row, linked))

    def _links(self, rows: Collection[Row]) -> dict[str, dict[Key, str]]:
        """The records that the fields of these rows refer to, by kind and local key."""
        found: dict[str, dict[Key, str]] = {}
        for name in self.fields:
            if ref := self.mapping.fields[name].ref:
                column = self.mapping.columns[name][0]
                keys = {(row[column],) for row in rows if row[column] is not None}
                table = self._mappings[ref].table.name
                for key, shadow in self._shadows.by_keys(table, keys).items():
                    found.setdefault(ref, {})[key] = shadow.rid
        return found

    def _values(self, row: Row, linked: dict[str, dict[Key, str]]) -> list[Any]:
        reading = self.mapping.read(row)
        values: list[Any] = []
        for name in self.fields:
            value = reading.clean.get(name, reading.raw.get(name))
            if (ref := self.mapping.fields[name].ref) and value is not None:
                local = row[self.mapping.columns[name][0]]
                value = linked.get(ref, {}).get((local,), f"{self.system} {local}")
            values.append(str(value.original) if isinstance(value, Unreadable) else value)
        return values


def common_fields(first: TableMapping, second: TableMapping) -> list[str]:
    """The fields that both systems have."""
    return [name for name in first.fields if name in second.fields]


def compare(first: ComparedSide, second: ComparedSide, result: Verification) -> None:
    """Compare all rows of one record in two systems."""
    left_out = first.left_out | second.left_out
    ours, theirs = (
        Side(each.system, partial(each.rows, left_out), each.values) for each in (first, second)
    )
    kind = first.mapping.record.name
    counts = compare_sides(kind, ours, theirs, first.fields, result)
    result.rows[kind] = max(*counts, result.rows.get(kind, 0))
    result.quarantined += first.quarantined + second.quarantined
