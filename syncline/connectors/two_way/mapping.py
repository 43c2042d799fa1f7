"""Mappings: how the rows of one table are the records of a pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from syncline.connectors.database.rows import Row, Rows
from syncline.connectors.database.tables import Table
from syncline.connectors.database.values import GIVES, NotOfKind, Unreadable, ValueKind, canonical
from syncline.connectors.file.spec import MappedField, MappedRecord
from syncline.connectors.report import Finding, RowRefusal
from syncline.engine.document.values import encode_value, same_value
from syncline.engine.errors import InvalidValue, SystemRefused, ValueRefused
from syncline.engine.suggestions import did_you_mean

MISSING: Any = object()
"""A column of which nothing was agreed yet."""


class Agreed(NamedTuple):
    """What was agreed on last about a row: its columns as they were read back, and the fields of
    its record that had been written to it. ``made`` is when a pass inserted the row, in
    milliseconds since the epoch; None if a user did, or if it was changed since."""

    columns: dict[str, Any]
    fields: dict[str, Any]
    made: int | None = None


@dataclass(slots=True)
class Reading:
    """A row read as a record: ``raw`` and ``clean`` values by field, and ``refusals`` of those that
    have none. ``blanked`` fields read as None, ``kept`` ones as they were, by their rules."""

    raw: dict[str, Any] = field(default_factory=dict[str, Any])
    clean: dict[str, Any] = field(default_factory=dict[str, Any])
    refusals: list[RowRefusal] = field(default_factory=list[RowRefusal])
    kept: set[str] = field(default_factory=set[str])
    stop: bool = False
    """Whether the pipeline is not to go on."""


class TableMapping:
    """The table of one record in one system."""

    def __init__(
        self,
        record: MappedRecord,
        system: str,
        table: Table,
        dialect: str,
        kinds: Mapping[str, ValueKind],
    ) -> None:
        self.record = record
        self.table = table
        self.rows = Rows(table, dialect)
        self.kinds = kinds
        self.columns = {
            name: each.columns[system]
            for name, each in record.fields.items()
            if system in each.columns
        }
        self.fields = {name: record.fields[name] for name in self.columns}
        self.mapped = [column for columns in self.columns.values() for column in columns]
        self.keys_mapped = all(name in self.mapped for name in table.key)
        described = repr((sorted(self.columns.items()), sorted(kinds.items())))
        self.digest = hashlib.sha256(described.encode()).hexdigest()[:16]
        """Another one when the rows of the table are other records than before."""

    def changed_fields(self, row: Row, agreed: Agreed) -> set[str]:
        """The fields one of whose columns is not as it was agreed on."""
        return {
            name
            for name, columns in self.columns.items()
            if any(not _is_agreed(row[each], agreed.columns.get(each, MISSING)) for each in columns)
        }

    def columns_of(self, row: Row) -> dict[str, Any]:
        """The mapped columns, as they are remembered."""
        return {
            name: str(value.original) if isinstance(value, Unreadable) else value
            for name, value in row.items()
            if name in self.mapped
        }

    def read(self, row: Row) -> Reading:
        """The record that a row is. Fields that refer to others are left as local keys."""
        reading = Reading()
        for name in self.columns:
            try:
                reading.raw[name] = self.join(name, row)
            except NotOfKind as error:
                original = row[self.columns[name][0]]
                shown = original.original if isinstance(original, Unreadable) else original
                message = f"{shown!r:.60} {error}."
                hint = "Correct it in its row."
                self._refuse(reading, name, RowRefusal(name, "type", message, hint, shown))
        for name, value in list(reading.raw.items()):
            spec = self.fields[name]
            try:
                clean = canonical(spec.cleaner.clean(value, reading.raw), self.kinds[name])
                encode_value(clean, where=f"{self.record.name}.{name}")
                reading.clean[name] = clean
            except InvalidValue as error:
                refusal = RowRefusal(
                    name, error.rule, error.message, error.hint, value, error.suggestion
                )
                self._refuse(reading, name, refusal)
            except ValueRefused as error:
                self._refuse(reading, name, RowRefusal(name, "size", error.message, error.hint))
            except NotOfKind as error:
                message = f"{value!r:.60} {error}."
                hint = "Let the rules of the field give the type of its columns."
                self._refuse(reading, name, RowRefusal(name, "type", message, hint, value))
        return reading

    def _refuse(self, reading: Reading, name: str, refusal: RowRefusal) -> None:
        reading.refusals.append(refusal)
        match self.fields[name].cleaner.on_invalid:
            case "keep-old":
                reading.kept.add(name)
            case "blank":
                reading.clean[name] = None
            case "stop":
                reading.stop = True
            case _:
                pass  # quarantine: capture.py looks at the refusals

    def join(self, name: str, row: Mapping[str, Any]) -> Any:
        """The value of a field in a row, before cleaning. Raises NotOfKind."""
        columns = self.columns[name]
        values = [row[column] for column in columns]
        for value in values:
            if isinstance(value, Unreadable):
                raise NotOfKind(value.message)
        if len(columns) == 1:
            return canonical(values[0], self.kinds[name])
        parts = [str(value) for value in values if value not in (None, "")]
        return " ".join(parts) if parts else None

    def split(self, name: str, value: Any) -> dict[str, Any]:
        """The columns for a value of a field: of several, each takes a word from the end, and the
        first what is left."""
        columns = self.columns[name]
        if len(columns) == 1:
            return {columns[0]: value}
        words = str(value).split(" ") if value is not None else []
        last = words[1:][-(len(columns) - 1) :]
        first = words[: len(words) - len(last)]
        parts: list[str | None] = [" ".join(first) or None, *last]
        parts += [None] * (len(columns) - len(parts))
        return {
            column: "" if part is None and not self.table.columns[column].nullable else part
            for column, part in zip(columns, parts, strict=True)
        }

    def new_key(self, rid: str) -> dict[str, Any]:
        """The key columns of a new row, as far as neither fields nor the database give them."""
        if self.keys_mapped or self.table.autokey:
            return {}
        return {self.table.key[0]: rid}

    def check_keys(self) -> None:
        """Raise SystemRefused unless rows that come from elsewhere can get a key."""
        if self.keys_mapped or self.table.autokey:
            return
        key = self.table.columns[self.table.key[0]]
        wide = key.length is None or key.length >= len("00000000-0000-7000-8000-000000000000")
        if len(self.table.key) > 1 or key.kind not in ("text", "uuid") or not wide:
            raise SystemRefused(
                f"New rows of {self.table.name} would have no key: the database does not make one.",
                hint=f"Map {' and '.join(self.table.key)} as fields of the record "
                f"{self.record.name}, or let the database number its rows.",
            )


def _is_agreed(value: Any, agreed: Any) -> bool:
    if isinstance(value, Unreadable):
        value = str(value.original)
    return same_value(value, agreed)


def kinds_of(record: MappedRecord, tables: Mapping[str, Table]) -> dict[str, ValueKind]:
    """The kind of each field: that of its rules, else of its column in the first system that has
    one. ``tables`` are by system."""
    kinds: dict[str, ValueKind] = {}
    for name, mapped in record.fields.items():
        gives = GIVES.get(mapped.cleaner.gives.__name__) if mapped.cleaner.gives else None
        kinds[name] = "text" if mapped.ref else gives or _declared_kind(mapped, tables)
    return kinds


def _declared_kind(mapped: MappedField, tables: Mapping[str, Table]) -> ValueKind:
    for system, columns in mapped.columns.items():
        if len(columns) == 1 and system in tables:
            return tables[system].columns[columns[0]].kind
    return "text"


def check_columns(record: MappedRecord, system: str, table: Table) -> list[Finding]:
    """What the mapping names that the table does not have, or that may lose values."""
    findings: list[Finding] = []
    for name, mapped in record.fields.items():
        where = f"record.{record.name}.field.{name}.in.{system}"
        for column in mapped.columns.get(system, ()):
            if column in table.unsupported:
                message = f"{table.name}.{column} is of a type that is not supported."
                findings.append(Finding(True, where, message, "Leave the field out."))
            elif column not in table.columns:
                message = f"The table {table.name} has no column {column!r}."
                findings.append(Finding(True, where, message, did_you_mean(column, table.columns)))
            elif table.columns[column].computed and mapped.owner != system:
                message = f"{table.name}.{column} is generated: nothing can be written to it."
                hint = f'Leave the field out, or write owner = "{system}": it is only read there.'
                findings.append(Finding(True, where, message, hint))
    return findings
