"""Projections: what an ordinary SQL table shows of the records of one collection.

Pure: which columns a schema makes, and the row that a document makes. ``stores/tables``
turns them into SQL. A projected table describes itself wholly, defaults and policies included, so
that its rows can be made again from the documents by whoever has only the store.
"""

from __future__ import annotations

import base64
import logging
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin
from uuid import UUID

import orjson

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.types import ValueType
from syncline.engine.document.values import decode_value, encode_value
from syncline.engine.errors import SchemaError
from syncline.engine.fields import Counter, FieldView, Host, ListOf, MapOf, SetOf, Text

from .schema import REGISTER, REGISTERS, FieldSpec, OnConflict, Schema

logger = logging.getLogger("syncline.projection")

ColumnKind: TypeAlias = Literal[
    "text", "integer", "float", "boolean", "decimal", "datetime", "date", "bytes", "uuid", "json"
]

KEY = "key"
WORKSPACE = "workspace"
MAX_NAME_BYTES = 63
"""Longest name of a column: PostgreSQL cuts off what is longer."""

_INT64 = 1 << 63
# What MariaDB's largest DECIMAL holds; the others hold more.
_DECIMAL_WHOLE = 35
_DECIMAL_FRACTION = 30
_MAX_TEXT_BYTES = 16 << 20

_KINDS: dict[Any, ColumnKind] = {
    str: "text",
    int: "integer",
    float: "float",
    bool: "boolean",
    Decimal: "decimal",
    datetime: "datetime",
    date: "date",
    bytes: "bytes",
    UUID: "uuid",
}
_VIEWS: dict[str, type[FieldView]] = {
    view.kind: view for view in (Text, Counter, SetOf, ListOf, MapOf)
}
_EMPTY: dict[type[FieldView], Callable[[], Any]] = {
    Text: str,
    Counter: int,
    SetOf: list,
    ListOf: list,
    MapOf: dict,
}
_KINDS_OF_VIEWS: dict[str, ColumnKind] = {Text.kind: "text", Counter.kind: "integer"}


@dataclass(frozen=True, slots=True)
class ProjectedColumn:
    """A column and where its values come from: the field ``stored`` of the kind ``source``.

    ``default`` is the encoded value that stands in the row while nobody has written the field.
    """

    name: str
    stored: str
    source: str
    kind: ColumnKind
    on_conflict: OnConflict = "newest"
    default: str | None = None

    def spec(self) -> FieldSpec:
        """The field as its column sees it: values in their stored form, enum members by value."""
        view = None if self.source == REGISTER else _VIEWS[self.source]
        return FieldSpec(self.stored, ValueType(Any, self.name), view, None, self.on_conflict)


@dataclass(frozen=True, slots=True)
class ProjectedTable:
    """The table of one collection: ``key``, then ``columns``; with ``by_workspace``, where a store
    holds many workspaces, the column ``workspace`` before them."""

    collection: str
    columns: tuple[ProjectedColumn, ...]
    by_workspace: bool = False

    def signature(self) -> str:
        """Everything about the table, as text: equal signatures mean equal rows."""
        columns = [
            [each.name, each.stored, each.source, each.kind, each.on_conflict, each.default]
            for each in self.columns
        ]
        return orjson.dumps([_VERSION, self.by_workspace, columns]).decode()

    @classmethod
    def from_signature(cls, collection: str, signature: str) -> ProjectedTable | None:
        """The table that has this signature; None if an older Syncline wrote it."""
        version, by_workspace, columns = orjson.loads(signature)
        if version != _VERSION:
            return None
        return cls(collection, tuple(ProjectedColumn(*column) for column in columns), by_workspace)


_VERSION = 1
"""To be raised when the same columns get other rows: every table is then rebuilt."""


def projected(schema: Schema, *, by_workspace: bool = False) -> ProjectedTable:
    """The table that shows the records of ``schema``."""
    columns = tuple(_column(name, spec) for name, spec in schema.fields.items())
    return ProjectedTable(schema.collection, columns, by_workspace)


def check_projectable(schema: Schema) -> None:
    """Raise SchemaError unless every database can have the table of ``schema``."""
    if schema.collection.startswith(("syncline_", "sqlite_")):
        raise SchemaError(
            f"A collection cannot be named {schema.collection!r}: its table would be mistaken for "
            "one that belongs to the database.",
            hint="Choose a name that does not begin with syncline_ or sqlite_.",
        )
    taken = {KEY: KEY, WORKSPACE: WORKSPACE}
    for name in schema.fields:
        other = taken.setdefault(name.lower(), name)
        if other != name or name in (KEY, WORKSPACE):
            raise SchemaError(
                f"{schema.collection}.{name} cannot have a column of its own beside {other!r}.",
                hint="SQL does not tell capital letters from small ones, and key and workspace are "
                "taken: choose another name, and keep the stored one with "
                f"field(stored_as={name!r}).",
            )
        if len(name.encode()) > MAX_NAME_BYTES:
            raise SchemaError(
                f"The field name {schema.collection}.{name} is too long for a column.",
                hint=f"Choose one of at most {MAX_NAME_BYTES} bytes.",
            )


def _column(name: str, spec: FieldSpec) -> ProjectedColumn:
    if spec.view is not None:
        kind = _KINDS_OF_VIEWS.get(spec.kind, "json")
        return ProjectedColumn(name, spec.name, spec.kind, kind)
    kind = column_kind(spec.value.annotation)
    default = None if spec.unwritten is None else spec.unwritten.decode()
    return ProjectedColumn(name, spec.name, spec.kind, kind, spec.on_conflict, default)


def column_kind(annotation: Any) -> ColumnKind:
    """The kind of column that holds the values of ``annotation``; json where no other does."""
    if get_origin(annotation) in (Union, types.UnionType):
        present = (item for item in get_args(annotation) if item is not types.NoneType)
        kinds: set[ColumnKind] = {column_kind(item) for item in present}
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        kinds = {_KINDS.get(type(member.value), "json") for member in annotation}
    elif get_origin(annotation) is Literal:
        kinds = {_KINDS.get(type(item), "json") for item in get_args(annotation)}
    else:
        kinds = {_KINDS.get(annotation, "json")}
    return kinds.pop() if len(kinds) == 1 else "json"


class Rows:
    """Makes the rows of one table."""

    def __init__(self, table: ProjectedTable) -> None:
        self._collection = table.collection
        self._columns = [
            (column, spec, _root_of(spec), _initial(column, spec))
            for column in table.columns
            for spec in (column.spec(),)
        ]
        self._reported: set[str] = set()

    def row(self, document: Document) -> dict[str, Any]:
        """The values of the columns by name, but for ``key`` and ``workspace``.

        A value that its column cannot hold is None in the row; it stays as it is in the document.
        Raises DocumentBroken.
        """
        cells = cells_of(document, REGISTERS)
        host = _Reading(document)
        row: dict[str, Any] = {}
        # To open a root, and to watch it, costs more than all the rest of an empty field.
        there = frozenset(document.root_names())
        for column, spec, root, initial in self._columns:
            if root not in there or (spec.view is None and spec.name not in cells):
                row[column.name] = initial
                continue
            try:
                row[column.name] = to_column(column.kind, _read(spec, cells, host))
            except (ValueError, OverflowError) as error:
                row[column.name] = None
                self._report(column.name, error)
        return row

    def _report(self, column: str, error: Exception) -> None:
        if column not in self._reported:
            self._reported.add(column)
            logger.warning(
                "a value of %s.%s stands as NULL in its table, and exact in its record: %s",
                self._collection,
                column,
                error,
            )


class _Reading(Host):
    """The host of views that only read one document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def document(self) -> Document:
        return self._document

    def writing(self) -> AbstractContextManager[Document]:
        raise AssertionError("a row is made by reading")

    def tick(self, seen: int = 0) -> int:
        raise AssertionError("a row is made by reading")


def _root_of(spec: FieldSpec) -> str:
    return REGISTERS if spec.view is None else f"{spec.kind}:{spec.name}"


def _initial(column: ProjectedColumn, spec: FieldSpec) -> Any:
    """What stands in the column while nobody has written the field."""
    if spec.view is not None:
        return _EMPTY[spec.view]()
    if column.default is None:
        return None
    try:
        return to_column(column.kind, decode_value(column.default))
    except (ValueError, OverflowError):
        return None


def _read(spec: FieldSpec, cells: Cells, host: Host) -> Any:
    if spec.view is None:
        cell = spec.choose(cells)
        return None if cell is None else cell.value
    plain = spec.view(host, "", spec.name, spec.value).to_plain()
    if spec.view is SetOf:
        return sorted(plain, key=lambda element: encode_value(element, where=spec.name))
    return plain


def to_column(kind: ColumnKind, value: Any) -> Any:
    """``value`` as a column of this kind holds it. Raises ValueError or OverflowError if it cannot
    hold it exactly."""
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return None
    return _CONVERT[kind](value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _misfit(value, "a text")
    if "\0" in value:  # PostgreSQL holds none
        raise ValueError("a text with a NUL character")
    if len(value) * 4 > _MAX_TEXT_BYTES and len(value.encode()) > _MAX_TEXT_BYTES:
        raise ValueError(f"a text of more than {_MAX_TEXT_BYTES:,} bytes")
    return value


def _integer(value: Any) -> int:
    if type(value) is Counter:
        value = int(value)
    if type(value) is not int:
        raise _misfit(value, "an int")
    if not -_INT64 <= value < _INT64:
        raise ValueError("an int beyond 64 bits")
    return value


def _float(value: Any) -> float:
    if type(value) is int and abs(value) <= 1 << 53:
        return float(value)
    if type(value) is not float:
        raise _misfit(value, "a float")
    return value


def _decimal(value: Any) -> Decimal:
    if type(value) is int:
        value = Decimal(value)
    if type(value) is not Decimal:
        raise _misfit(value, "a Decimal")
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, str):
        raise _misfit(value, "a number")
    whole = len(digits) + exponent if any(digits) else exponent
    if whole > _DECIMAL_WHOLE or -exponent > _DECIMAL_FRACTION:
        raise ValueError(
            f"a Decimal with more than {_DECIMAL_WHOLE} digits before the point or "
            f"{_DECIMAL_FRACTION} after it"
        )
    return value


def _datetime(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise _misfit(value, "a datetime")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _date(value: Any) -> date:
    if type(value) is not date:
        raise _misfit(value, "a date")
    return value


def _exactly(kind: type) -> Any:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise _misfit(value, kind.__name__)
        return value

    return convert


def _json(value: Any) -> Any:
    """What JSON can say; the rest as readable text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, Any]", value)
        return {_text(key): _json(entries[key]) for key in sorted(entries)}
    if isinstance(value, set | frozenset):
        value = sorted(
            cast("Iterable[Any]", value), key=lambda element: encode_value(element, where="")
        )
    if isinstance(value, list | tuple):
        return [to_column("json", item) for item in cast("Iterable[Any]", value)]
    raise _misfit(value, "JSON")


def _misfit(value: object, expected: str) -> ValueError:
    return ValueError(f"{type(value).__qualname__} where {expected} is expected")


_CONVERT: dict[ColumnKind, Any] = {
    "text": _text,
    "integer": _integer,
    "float": _float,
    "boolean": _exactly(bool),
    "decimal": _decimal,
    "datetime": _datetime,
    "date": _date,
    "bytes": _exactly(bytes),
    "uuid": _exactly(UUID),
    "json": _json,
}
