"""Plans of one-way pipelines: how the rows of one table become rows at the destination."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeAlias, cast

import sqlalchemy as sa

from syncline.cleaning import FieldCleaner, OnInvalid
from syncline.connectors.database.rows import Key, Row, Rows
from syncline.connectors.database.tables import PREFIX, Column, Table
from syncline.connectors.database.values import GIVES, NotOfKind, Unreadable, ValueKind, canonical
from syncline.connectors.file.spec import TableSpec
from syncline.connectors.report import RowRefusal
from syncline.engine.document.values import same_value
from syncline.engine.errors import InvalidValue, SystemRefused

DELETED_AT = f"{PREFIX}deleted_at"
"""The column that says when a row went at the source, where ``on_delete`` is ``mark``."""


@dataclass(slots=True)
class PlannedRow:
    """A row on its way: its keys here and there, its ``values`` by column of the destination, and
    why some have none. The columns in ``kept`` stay as they are there."""

    source_key: Key
    key: Key
    values: Row
    refusals: list[RowRefusal] = field(default_factory=list[RowRefusal])
    kept: set[str] = field(default_factory=set[str])
    cleaned: list[str] = field(default_factory=list[str])
    quarantined: bool = False
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
        self.dialects = dialects
        """Those of the source and the destination."""
        self.rows = Rows(source, dialects[0])
        self.target_rows = Rows(target, dialects[1])
        self.columns = columns_of(spec, source, target)
        """The columns at the destination, by those of the source."""
        self._kinds: dict[str, ValueKind] = {
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
        limits = {name: _limit(target.columns[to], dialects) for name, to in self.columns.items()}
        self._limits = [(name, limit) for name, limit in limits.items() if limit]
        self._key_columns = [self._source_of(name) for name in target.key]
        if set(self._key_columns) != set(source.key):
            raise SystemRefused(
                f"The primary key of {target.name} is {', '.join(target.key)}, and that of "
                f"{self.name} is {', '.join(source.key)}.",
                hint="Let the destination's table have the same key as the source's.",
            )
        self._key_may_change = any(
            name in self._cleaners or name in self._converted for name in source.key
        )
        self._without_nul = dialects[1] == "postgresql" and any(
            self._kinds[name] == "text" for name in source.key
        )
        self.direct = not (self._cleaners or self._converted or self._limits)
        """Whether rows go as they are."""
        rules = [(name, *map(_described, each.rules)) for name, each in self._cleaners.items()]
        columns = (sorted(self.columns.items()), sorted(self._kinds.items()))
        described = repr((*columns, sorted(rules), spec.on_delete))
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

    def target_key(self, key: Key) -> Key | None:
        """The key at the destination of the row that has ``key`` at the source, None if there can
        be none."""
        parts = dict(zip(self.source.key, key, strict=True))
        if self._without_nul and any("\0" in part for part in key if isinstance(part, str)):
            return None
        try:
            return tuple(canonical(parts[name], self._kinds[name]) for name in self._key_columns)
        except NotOfKind:
            return None

    def source_key(self, key: Key) -> Key | None:
        """The reverse of ``target_key``."""
        parts = dict(zip(self._key_columns, key, strict=True))
        try:
            return tuple(
                canonical(parts[name], self.source.columns[name].kind) for name in self.source.key
            )
        except NotOfKind:
            return None

    def policy(self, target: str) -> OnInvalid:
        """What becomes of a value for this column at the destination that is refused."""
        names = [name for name, to in self.columns.items() if to == target]
        cleaner = self.spec.cleaners.get(names[0]) if names else None
        return cleaner.on_invalid if cleaner and target not in self.target.key else "quarantine"

    def live(self, connection: sa.Connection, keys: Iterable[Key]) -> dict[Key, tuple[Key, Row]]:
        """Those rows at the destination that have these keys at the source, and did not go: by the
        key there, the key at the destination and the row."""
        by_target = {target: key for key in keys if (target := self.target_key(key)) is not None}
        return {
            by_target[key]: (key, row)
            for key, row in self.target_rows.by_keys(connection, by_target).items()
            # A collation may find rows by other keys.
            if key in by_target and not (self.marks and row[DELETED_AT] is not None)
        }

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
                refusal = RowRefusal(to, "type", message, "Correct it there.", value.original)
                self._refuse(planned, refusal)
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
                refusal = RowRefusal(self.columns[name], "type", message, hint, value)
                self._refuse(planned, refusal)
        for name, limit in self._limits:
            value = values[self.columns[name]]
            reason = None if value is None else limit(value)
            if reason:
                hint = "Correct it there, or let the destination's column have another type."
                refusal = RowRefusal(self.columns[name], "type", f"{value} {reason}.", hint, value)
                self._refuse(planned, refusal)
        planned.key = tuple(values[name] for name in self.target.key)
        if (self._key_may_change or self._without_nul) and not planned.quarantined:
            self._check_key(planned)
        return planned

    def _check_key(self, planned: PlannedRow) -> None:
        """A row whose key is another one at the destination would not be found there again, and
        several rows might become one."""
        if (
            self.target_key(planned.source_key) == planned.key
            and self.source_key(planned.key) == planned.source_key
        ):
            return
        message = f"The key {planned.source_key!r:.60} cannot be the same at the destination."
        hint = "Correct it there, and let no rule be about a column of the primary key."
        original = planned.source_key[0]
        refusal = RowRefusal(self.columns[self.source.key[0]], "type", message, hint, original)
        self._refuse(planned, refusal)

    def _clean(
        self, planned: PlannedRow, name: str, cleaner: FieldCleaner, value: Any, row: Row
    ) -> None:
        to = self.columns[name]
        try:
            clean = cleaner.clean(value, row)
        except InvalidValue as error:
            refusal = RowRefusal(to, error.rule, error.message, error.hint, value, error.suggestion)
            self._refuse(planned, refusal)
            return
        if not same_value(clean, value):
            planned.values[to] = clean
            typed = [rule.name for rule in cleaner.rules if rule.stage == "type"]
            planned.cleaned.append((typed or ["text"])[0])

    def _refuse(self, planned: PlannedRow, refusal: RowRefusal) -> None:
        planned.refusals.append(refusal)
        policy = self.policy(refusal.field)
        planned.values[refusal.field] = None
        match policy:
            case "quarantine":
                planned.quarantined = True
            case "keep-old":
                planned.kept.add(refusal.field)
            case "stop":
                planned.stop = True
            case _:
                pass  # blank


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
        gives: ValueKind | None = (
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


class WithColumns(Rows):
    """The rows of a table as they are when it has got more columns, which ``added`` names."""

    def __init__(self, table: Table, dialect: str, added: Iterable[str]) -> None:
        super().__init__(table, dialect)
        self._added: Row = dict.fromkeys(added)

    def by_keys(
        self, connection: sa.Connection, keys: Iterable[Key], *, lock: bool = False
    ) -> dict[Key, Row]:
        found = super().by_keys(connection, keys, lock=lock)
        return {key: row | self._added for key, row in found.items()}

    def page(
        self,
        connection: sa.Connection,
        after: Key | None,
        limit: int,
        since: tuple[str, Any] | None = None,
    ) -> list[Row]:
        return [row | self._added for row in super().page(connection, after, limit, since)]

    def count(self, connection: sa.Connection, *, null: str | None = None) -> int:
        return super().count(connection, null=None if null in self._added else null)


_Fits: TypeAlias = Callable[[Any], str | None]


def _limit(column: Column, dialects: tuple[str, str]) -> _Fits | None:
    """What says why a value would not be kept exactly in a column of the destination, where the
    database itself does not say so."""
    match column.kind:
        case "decimal" if dialects[1] == "sqlite":
            return None if dialects[0] == "sqlite" else _fits_sqlite
        case "json" if dialects[1] == "sqlite" and dialects[0] != "sqlite":
            return _json_fits_sqlite
        case "decimal" if (scale := column.scale) is not None:
            return lambda value: (
                f"has more than {scale} digits after the point"
                if -cast("int", value.as_tuple().exponent) > scale
                else None
            )
        case "int" if dialects == ("mysql", "sqlite"):
            return lambda value: None if value < 1 << 63 else "does not fit into 64 bits"
        case _:
            return None


def _fits_sqlite(value: Decimal) -> str | None:
    """SQLite has whole numbers of 64 bits, and floats; other numbers are rounded."""
    whole = value == value.to_integral_value() and abs(value) < 1 << 63
    if whole or Decimal(repr(float(value))) == value:
        return None
    return "has more digits than SQLite keeps"


def _json_fits_sqlite(value: Any) -> str | None:
    """SQLite takes JSON that is a number alone for a number of its own."""
    if not isinstance(value, str) or value == "null" or value.startswith(('"', "[", "{")):
        return None
    return "has more digits than SQLite keeps"


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
