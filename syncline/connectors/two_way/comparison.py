"""The rows of two systems, compared as the records that they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa

from syncline.cleaning import OnInvalid
from syncline.connectors import verification
from syncline.connectors.bookkeeping.quarantine import KEY_RULE, Quarantine, split_reasons
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.pages import is_key, pages
from syncline.connectors.database.rows import Key, Row, show_key
from syncline.connectors.verification import ComparedRow, Side, Verification, compare_sides

from .apply import records_without_row
from .mapping import TableMapping
from .record_table import RecordTable
from .replica import SystemReplica
from .shadows import Shadow, Shadows


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
        reasons = Quarantine(connection, state.pipeline).reasons(self.system, self._table)
        self.quarantined = len(reasons)
        """How many rows are in quarantine, or records that have none."""
        self._held, partly = split_reasons(reasons, self._policy)
        shadows = self._shadows.by_keys(self._table, reasons)
        rids = {key: shadow.rid for key, shadow in shadows.items()}
        rids |= {key: rid for key in reasons for rid in records_without_row([key])}
        self.held = {rids[key]: rule for key, rule in self._held.items() if key in rids}
        """Records that this system is known not to show as the others do, and the rule."""
        self.partly = {rids[key]: names for key, names in partly.items() if key in rids}
        """Likewise fields, by record."""
        self.parted = self._shadows.parted(self._table) - self.held.keys()
        """Records that this system is to show no more."""

    def _policy(self, field: str) -> OnInvalid:
        if field not in self.mapping.fields:
            return "quarantine"
        return self.mapping.fields[field].cleaner.on_invalid

    @property
    def _table(self) -> str:
        return self.mapping.table.name

    def count(self) -> int:
        """How many rows the table has."""
        return self.mapping.rows.count(self._connection)

    def rows(self, other: ComparedSide) -> Iterator[ComparedRow]:
        """All rows, and which of them are to be the same in the other system."""
        rows = self.mapping.rows
        for page in pages(rows, self._connection, verification.PAGE):
            usable: dict[Key, Row] = {}
            for row in page:
                key = rows.key_of(row)
                if is_key(key):
                    usable[key] = row
                else:
                    yield ComparedRow("", key, [], held=KEY_RULE)
            yield from self._compared(usable, other)

    def values(self, other: ComparedSide, key: Key) -> list[Any] | None:
        """The values of the row with this key, if it is there."""
        found = self.mapping.rows.by_keys(self._connection, [key])
        return next((row.values for row in self._compared(found, other)), None)

    def _compared(self, rows: Mapping[Key, Row], other: ComparedSide) -> Iterator[ComparedRow]:
        shadows = self._shadows.by_keys(self._table, rows)
        dead = self._records.dead({shadow.rid for shadow in shadows.values()})
        if self.mapping.record.on_delete == "apply":
            dead = set[str]()  # its row should not be there
        linked = self._links(rows.values())
        for key, row in rows.items():
            shadow = shadows.get(key)
            name = shadow.rid if shadow else f"{self.system} {show_key(key)}"
            held = self._held.get(key) or self.held.get(name) or other.held.get(name, "")
            ignored = self._is_ignored(shadow, dead, other)
            masked = self.partly.get(name, set[str]()) | other.partly.get(name, set())
            partly = name in self.partly or name in other.partly
            values = self._values(row, linked, masked)
            yield ComparedRow(name, key, values, held, ignored=ignored, partly=partly)

    def _is_ignored(
        self, shadow: Shadow | None, dead: Collection[str], other: ComparedSide
    ) -> bool:
        """Whether a row is left alone: its record has ended, or is none of the other system's."""
        if shadow is None:
            return False
        return shadow.agreed is None or shadow.rid in dead or shadow.rid in other.parted

    def _links(self, rows: Collection[Row]) -> dict[str, dict[Key, str]]:
        """The records that the fields of these rows refer to, by kind and local key."""
        found: dict[str, dict[Key, str]] = {}
        for name in self.fields:
            if ref := self.mapping.fields[name].ref:
                column = self.mapping.columns[name][0]
                keys = {key for row in rows if is_key(key := (row[column],))}
                table = self._mappings[ref].table.name
                for key, shadow in self._shadows.by_keys(table, keys).items():
                    found.setdefault(ref, {})[key] = shadow.rid
        return found

    def _values(
        self, row: Row, linked: Mapping[str, Mapping[Key, str]], masked: Collection[str]
    ) -> list[Any]:
        """The values by field, None for those that are ``masked``."""
        reading = self.mapping.read(row)
        values: list[Any] = []
        for name in self.fields:
            columns = self.mapping.columns[name]
            if name in masked:
                value = None
            elif name in reading.raw:
                value = reading.clean.get(name, reading.raw[name])
            else:  # it cannot be read, and is nothing that another row has
                value = f"{self.system} {[row[column] for column in columns]!r}"
            if (ref := self.mapping.fields[name].ref) and value is not None:
                local = row[columns[0]]
                value = linked.get(ref, {}).get((local,), f"{self.system} {local}")
            values.append(value)
        return values


def common_fields(first: TableMapping, second: TableMapping) -> list[str]:
    """The fields that both systems have."""
    return [name for name in first.fields if name in second.fields]


def compare(first: ComparedSide, second: ComparedSide, result: Verification) -> None:
    """Compare all rows of one record in two systems."""
    ours, theirs = (
        Side(each.system, partial(each.rows, other), partial(each.values, other), each.count)
        for each, other in ((first, second), (second, first))
    )
    compare_sides(first.mapping.record.name, ours, theirs, first.fields, result)
