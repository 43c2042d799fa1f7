"""Plans of one-way pipelines: how the rows of one table become rows at the destination."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import sqlalchemy as sa

from syncline.cleaning import FieldCleaner
from syncline.engine.errors import InvalidValue, SystemRefused

from .mapping import GIVES
from .pipeline import TableSpec
from .report import Refusal
from .rows import MAX_KEY_LENGTH, Key, Row, Rows, encode_key
from .tables import PREFIX, Column, Table
from .values import Kind, NotOfKind, Unreadable, canonical

DELETED_AT = f"{PREFIX}deleted_at"
"""The column that says when a row went at the source, where ``on_delete`` is ``mark``."""


@dataclass(slots=True)
class PlannedRow:
    """A row on its way: its keys here and there, its ``values`` by column of the destination, and
    why some have none. The columns in ``kept`` stay as they are there."""

    source_key: Key
    key: Key
    values: Row
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    kept: set[str] = field(default_factory=set[str])
    cleaned: list[str] = field(default_factory=list[str])
    held: bool = False
    stop: bool = False


class TablePlan:
    """How one table is copied. ``source`` is without the columns that are left out; ``target`` is
    the table at the destination as it is, or as it will be made."""

    def __init__(
        self, spec: TableSpec, source: Table, target: Table, dialects: tuple[str, str]
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.source = source
        self.target = target
        self.rows = Rows(source, dialects[0])
        self.target_rows = Rows(target, dialects[1])
        self.columns = columns_of(spec, source, target)
        """The columns at the destination, by those of the source."""
        self._kinds: dict[str, Kind] = {
            name: target.columns[to].kind for name, to in self.columns.items()
        }
        self._cleaners = {
            name: cleaner
            for name, cleaner in spec.cleaners.items()
            if name in self.columns and cleaner.rules
        }
        self._converted = [
            name for name, kind in self._kinds.items() if source.columns[name].kind != kind
        ]
        self._key_columns = [self._source_of(name) for name in target.key]
        rules = [(name, *map(_described, each.rules)) for name, each in self._cleaners.items()]
        described = repr((sorted(self.columns.items()), sorted(self._kinds.items()), sorted(rules)))
        self.digest = hashlib.sha256(described.encode()).hexdigest()[:16]
        """Another one when rows that were copied would be copied otherwise now."""

    def _source_of(self, target: str) -> str:
        for name, to in self.columns.items():
            if to == target:
                return name
        raise SystemRefused(
            f"{self.target.name}.{target} is part of a primary key, and no column of {self.name} "
            "goes there.",
            hint="Let the destination's table have the same key as the source's.",
        )

    @property
    def marks(self) -> bool:
        """Whether deleted rows stay, with the time."""
        return self.spec.on_delete == "mark"

    def target_key(self, key: Key) -> Key:
        """The key at the destination of the row that has ``key`` at the source."""
        parts = dict(zip(self.source.key, key, strict=True))
        return tuple(canonical(parts[name], self._kinds[name]) for name in self._key_columns)

    def source_key(self, key: Key) -> Key:
        """The reverse of ``target_key``."""
        parts = dict(zip(self._key_columns, key, strict=True))
        return tuple(
            canonical(parts[name], self.source.columns[name].kind) for name in self.source.key
        )

    def count_live(self, connection: sa.Connection) -> int:
        """How many rows the destination has that did not go."""
        return self.target_rows.count(connection, null=DELETED_AT if self.marks else None)

    def read(self, row: Row) -> PlannedRow:
        """What becomes of a row of the source."""
        planned = PlannedRow(self.rows.key_of(row), (), {})
        values = planned.values
        for name, to in self.columns.items():
            value = values[to] = row[name]
            if type(value) is Unreadable:
                message = f"{value.original!r:.60} {value.message}."
                refusal = Refusal(to, "type", message, "Correct it there.", value.original)
                self._refuse(planned, name, refusal)
        for name, cleaner in self._cleaners.items():
            value = values[self.columns[name]]
            if type(value) is not Unreadable:
                self._clean(planned, name, cleaner, value, row)
        for name in self._converted:
            value = values[self.columns[name]]
            try:
                values[self.columns[name]] = canonical(value, self._kinds[name])
            except NotOfKind as error:
                message = f"{value!r:.60} {error}."
                hint = f"The destination's column is of the type {self._kinds[name]}."
                refusal = Refusal(self.columns[name], "type", message, hint, value)
                self._refuse(planned, name, refusal)
        planned.key = tuple(values[name] for name in self.target.key)
        return planned

    def _clean(
        self, planned: PlannedRow, name: str, cleaner: FieldCleaner, value: Any, row: Row
    ) -> None:
        to = self.columns[name]
        try:
            clean = cleaner.clean(value, row)
        except InvalidValue as error:
            refusal = Refusal(to, error.rule, error.message, error.hint, value, error.suggestion)
            self._refuse(planned, name, refusal)
            return
        if type(clean) is not type(value) or clean != value:
            planned.values[to] = clean
            planned.cleaned.append(to)

    def _refuse(self, planned: PlannedRow, name: str, refusal: Refusal) -> None:
        planned.refusals.append(refusal)
        cleaner = self.spec.cleaners.get(name)
        policy = cleaner.on_invalid if cleaner else "quarantine"
        planned.values[refusal.field] = None
        if refusal.field in self.target.key or policy == "quarantine":
            planned.held = True
        elif policy == "keep-old":
            planned.kept.add(refusal.field)
        elif policy == "stop":
            planned.stop = True


def columns_of(spec: TableSpec, source: Table, target: Table) -> dict[str, str]:
    """The columns at the destination that take values, by those of the source."""
    named = {name: spec.rename.get(name, name) for name in source.columns}
    return {
        name: to
        for name, to in named.items()
        if to in target.columns and not target.columns[to].computed
    }


def shaped(spec: TableSpec, source: Table) -> Table:
    """``source`` as its rows leave it: with the new names, and the types that the rules give."""
    columns: dict[str, Column] = {}
    for name, column in source.columns.items():
        cleaner = spec.cleaners.get(name)
        gives: Kind | None = (
            GIVES.get(cleaner.gives.__name__) if cleaner and cleaner.gives else None
        )
        to = spec.rename.get(name, name)
        if gives is not None and gives != column.kind:
            columns[to] = Column(to, gives, column.nullable)
        else:
            columns[to] = replace(column, name=to, computed=False)
    if len(columns) < len(source.columns):
        raise SystemRefused(
            f"Two columns of {source.name} have the same name at the destination.",
            hint="Correct its rename.",
        )
    key = tuple(spec.rename.get(name, name) for name in source.key)
    return Table(spec.target, columns, key)


def with_mark(table: Table) -> Table:
    """``table`` with the column for the time when a row went."""
    column = Column(DELETED_AT, "datetime", zoned=True)
    columns = cast("Mapping[str, Column]", dict(table.columns) | {DELETED_AT: column})
    return replace(table, columns=columns)


def is_key(key: Key) -> bool:
    """Whether a row with this key can be told from others, and remembered by it."""
    if all(type(part) is int for part in key):
        return True
    readable = all(part is not None and type(part) is not Unreadable for part in key)
    return readable and len(encode_key(key)) <= MAX_KEY_LENGTH


def _described(value: Any) -> str:
    """A rule and its options as text, the same in every process."""
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    if isinstance(value, re.Pattern):
        return f"/{cast('re.Pattern[str]', value).pattern}/"
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value).items()
        return "{" + ", ".join(f"{key}: {_described(each)}" for key, each in entries) + "}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_described, cast('Iterable[Any]', value))))}}}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_described, cast('Iterable[Any]', value)))})"
    options = _described(getattr(value, "__dict__", {}))
    return f"{getattr(value, '__qualname__', type(value).__qualname__)}{options}"
