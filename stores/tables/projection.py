"""Projected tables in SQL: their columns, the same on every database as far as it has the types.

What a database cannot hold exactly in a type of its own is held as text. Text is compared and
sorted by code point everywhere; a datetime is the instant in UTC (one without a zone is taken for
UTC).

==========  ==================  ========================  ==============
kind        SQLite              PostgreSQL                MariaDB
==========  ==================  ========================  ==============
text        TEXT                TEXT COLLATE "C"          LONGTEXT
integer     BIGINT              BIGINT                    BIGINT
float       DOUBLE              DOUBLE PRECISION          DOUBLE
boolean     BOOLEAN (0, 1)      BOOLEAN                   BOOL
decimal     TEXT, in digits     NUMERIC                   DECIMAL(65, 30)
datetime    TEXT, with +00:00   TIMESTAMP WITH TIME ZONE  DATETIME(6)
date        DATE (TEXT)         DATE                      DATE
bytes       BLOB                BYTEA                     LONGBLOB
uuid        CHAR(36)            UUID                      CHAR(36)
json        TEXT                JSONB                     LONGTEXT
==========  ==================  ========================  ==============
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Double,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    literal,
    quoted_name,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from syncline.engine.records.projection import KEY, WORKSPACE, ColumnKind, ProjectedTable, to_column

from .criteria import guarded

DECIMAL_COLLATION = "syncline_decimal"
"""Compares digits as numbers, where decimals are text; ``compare_decimals`` is its function."""

_Type = TypeEngine[Any]

_UTF8: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_nopad_bin"}
_TYPES: dict[str, dict[ColumnKind, _Type]] = {
    "sqlite": {
        "text": Text(),
        "decimal": Text(),
        "datetime": Text(),
        "uuid": String(36),
        "json": Text(),
    },
    "postgresql": {
        "text": postgresql.TEXT(collation="C"),
        "decimal": Numeric(),
        "datetime": DateTime(timezone=True),
        "uuid": postgresql.UUID(as_uuid=True),
        "json": postgresql.JSONB(none_as_null=True),
    },
    "mysql": {
        "text": mysql.LONGTEXT(**_UTF8),
        "bytes": mysql.LONGBLOB(),
        "decimal": mysql.DECIMAL(65, 30),
        "datetime": mysql.DATETIME(fsp=6),
        "uuid": mysql.CHAR(36),
        "json": mysql.LONGTEXT(**_UTF8),
    },
}
_EVERYWHERE: dict[ColumnKind, _Type] = {
    "integer": BigInteger(),
    "float": Double(),
    "boolean": Boolean(),
    "date": Date(),
    "bytes": LargeBinary(),
}


_READ_BACK = frozenset[ColumnKind](("datetime", "decimal", "uuid", "json"))


def _family(dialect: Dialect) -> str:
    if dialect.name in ("mysql", "mariadb"):
        return "mysql"
    # Any other only spells out a statement for people to read.
    return dialect.name if dialect.name in _TYPES else "sqlite"


class FieldType(TypeDecorator[Any]):
    """The type of one field's column: takes the field's values, in rows and in criteria, and gives
    those that ``to_column`` made of them."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: ColumnKind) -> None:
        super().__init__()
        self.kind: ColumnKind = kind

    def load_dialect_impl(self, dialect: Dialect) -> _Type:
        own = _TYPES[_family(dialect)].get(self.kind)
        return dialect.type_descriptor(own or _EVERYWHERE[self.kind])

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        value = to_column(self.kind, value)
        if value is None:
            return None
        family = _family(dialect)
        match self.kind:
            case "datetime" if family == "sqlite":
                return value.isoformat(" ", "microseconds")
            case "datetime" if family == "mysql":
                return value.replace(tzinfo=None)
            case "decimal" if family == "sqlite":
                return format(value, "f")
            case "uuid" if family != "postgresql":
                return str(value)
            case "json" if family != "postgresql":
                return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            case _:
                return value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        family = _family(dialect)
        match self.kind:
            case "datetime" if family == "sqlite":
                return datetime.fromisoformat(value)
            case "datetime" if family == "mysql":
                return value.replace(tzinfo=UTC)
            case "datetime":
                return value.astimezone(UTC)
            case "decimal" if family == "sqlite":
                return Decimal(value)
            case "uuid" if family != "postgresql":
                return UUID(value)
            case "json" if family != "postgresql":
                return orjson.loads(value)
            case _:
                return value

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # Most kinds come as they are: a call for each value would cost more than reading it.
        if self.kind in _READ_BACK:
            return super().result_processor(dialect, coltype)
        return self.load_dialect_impl(dialect).result_processor(dialect, coltype)

    class Comparator(TypeDecorator.Comparator[Any]):
        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            if is_decimal(self.expr) and not isinstance(self.expr, ByNumber):
                return ByNumber(self.expr).operate(op, *other, **kwargs)
            return guarded(super().operate(op, *other, **kwargs))

        def contains(self, other: Any, **kwargs: Any) -> ColumnElement[bool]:
            """Of a set or a list: whether it has this element. Of a text: whether it has this
            part."""
            kind = cast("FieldType", self.type)
            if kind.kind == "json":
                return Holds(self.expr, literal(other, kind))
            return cast("ColumnElement[bool]", super().contains(other, **kwargs))

    comparator_factory = Comparator  # pyright: ignore[reportAssignmentType]


def is_decimal(expression: ColumnElement[Any]) -> bool:
    """Whether ``expression`` is a column of decimals, which have to be ordered by ``ByNumber``."""
    return isinstance(expression.type, FieldType) and expression.type.kind == "decimal"


class ByNumber(FunctionElement[Any]):
    """A column of decimals, compared as numbers."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(ByNumber)
def _by_number(element: ByNumber, compiler: SQLCompiler, **kwargs: Any) -> str:
    column = compiler.process(element.clauses, **kwargs)
    return f"{column} COLLATE {DECIMAL_COLLATION}" if compiler.dialect.name == "sqlite" else column


def compare_decimals(one: str, other: str) -> int:
    """Which of two texts of digits is the larger number; what is no number comes first."""
    first, second = _by_size(one), _by_size(other)
    return (first > second) - (first < second)


def _by_size(text: str) -> tuple[bool, Decimal, str]:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False, Decimal(0), text
    # Where the program does not have that raised, it is a NaN.
    return (False, Decimal(0), text) if number.is_nan() else (True, number, "")


class Holds(FunctionElement[bool]):
    """Whether the JSON array of a column has an element."""

    inherit_cache = True
    type = Boolean()


@compiles(Holds)
def _holds(element: Holds, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, item = (compiler.process(part, **kwargs) for part in element.clauses)
    if compiler.dialect.name == "postgresql":
        return f"({column} @> {item})"
    if compiler.dialect.name == "sqlite":
        elements = f"json_each({column}) AS held, json_each('[' || {item} || ']') AS wanted"
        same = "held.value IS wanted.value AND held.type = wanted.type"
        return f"EXISTS (SELECT 1 FROM {elements} WHERE {same})"  # noqa: S608  compiled parts
    return f"JSON_CONTAINS({column}, {item})"


def _name(length: int) -> _Type:
    """A key or a workspace: compared by code point."""
    return (
        String(length)
        .with_variant(postgresql.VARCHAR(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, **_UTF8), "mysql", "mariadb")
    )


def sql_table(table: ProjectedTable) -> Table:
    """The SQL table, named as its collection. Every column but the key admits NULL."""
    keys: list[Column[Any]] = [Column(KEY, _name(512), primary_key=True)]
    if table.by_workspace:
        keys.insert(0, Column(WORKSPACE, _name(63), primary_key=True))
    columns: list[Column[Any]] = [
        # Quoted: no list of the words that a database reserves is ever complete.
        Column(quoted_name(column.name, True), FieldType(column.kind))
        for column in table.columns
    ]
    name = quoted_name(table.collection, True)
    return Table(name, MetaData(), *keys, *columns, mysql_engine="InnoDB")
