"""Samples: the tables of a system and some rows of each, on which proposals rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DBAPIError

from syncline.connectors.database.rows import Row, Rows
from syncline.connectors.database.system import System, reason_of
from syncline.connectors.database.tables import Table, names_of, reflect
from syncline.connectors.database.values import Unreadable
from syncline.engine.errors import SystemRefused
from syncline.stores.databases.error_codes import is_transient

SAMPLE = 200
"""Most rows of a table that are read."""


@dataclass(frozen=True)
class TableSample:
    """A table and its first rows by key. ``complete`` says that it has no more."""

    table: Table
    rows: list[Row]
    complete: bool

    def values(self, column: str) -> list[Any]:
        """The sampled values of a column but NULL, and but those that cannot be read."""
        found = [row[column] for row in self.rows]
        return [value for value in found if value is not None and not isinstance(value, Unreadable)]

    def joined(self, columns: Collection[str]) -> list[Any]:
        """For each sampled row the value of a field that is made of ``columns``, or None."""
        return [joined(row, columns) for row in self.rows]


def joined(row: Row, columns: Collection[str]) -> Any:
    """The value of a field that is made of ``columns``: several are joined with spaces."""
    values = [row[column] for column in columns]
    values = [value for value in values if value is not None and not isinstance(value, Unreadable)]
    if len(columns) == 1:
        return values[0] if values else None
    return " ".join(str(value) for value in values if value != "") or None


@dataclass(frozen=True)
class SystemSample:
    """What was found in a system. ``url`` is what the file shall say, ``skipped`` are the tables
    that cannot take part, with the reason."""

    name: str
    url: str
    tables: Mapping[str, TableSample] = field(default_factory=dict[str, TableSample])
    skipped: Mapping[str, str] = field(default_factory=dict[str, str])


def read_system(
    system: System, url: str, progress: Callable[[str], None] | None = None
) -> SystemSample:
    """Read the tables of ``system`` and at most 200 rows of each; write nothing. ``progress`` is
    told each table. Raises SystemUnavailable, SystemRefused."""
    tables: dict[str, TableSample] = {}
    skipped: dict[str, str] = {}
    with system.reading() as connection:
        for name in names_of(connection):
            if progress is not None:
                progress(name)
            try:
                table = reflect(connection, name)
            except SystemRefused as error:
                skipped[name] = error.message
                continue
            try:
                # A savepoint: PostgreSQL takes no statement after one that it refused.
                with connection.begin_nested():
                    rows = Rows(table, system.dialect).page(connection, None, SAMPLE + 1)
            except DBAPIError as error:
                if is_transient(error):
                    raise
                skipped[name] = f"The table {name!r} cannot be read: {reason_of(error)}."
                continue
            tables[name] = TableSample(table, rows[:SAMPLE], len(rows) <= SAMPLE)
    return SystemSample(system.name, url, tables, skipped)
