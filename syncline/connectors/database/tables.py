"""Tables of connected databases: what they are made of, and how one is made for another's rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import NoSuchTableError, SAWarning
from sqlalchemy.sql.type_api import TypeEngine

from syncline.engine.errors import SystemRefused

from .order import referred_first
from .values import ValueKind

PREFIX = "_syncline_"
"""How the names of all tables, triggers and functions that Syncline makes begin."""
MARIADB_OPTIONS: Mapping[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")  # SQLAlchemy takes those of the URL's name only
    for option, value in (
        ("engine", "InnoDB"),
        ("default_charset", "utf8mb4"),
        ("collate", "utf8mb4_bin"),  # keys that differ in case only are two
    )
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``length`` of text, ``scale`` of a decimal, where the database limits them;
    ``zoned`` says that a timestamp keeps its offset, ``computed`` that the database fills it."""

    name: str
    kind: ValueKind
    nullable: bool = True
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    zoned: bool = False
    computed: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that hold the key of a row of ``table``. ``cascades``: the database changes or
    deletes this row when that one goes."""

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    cascades: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns by name, its primary key, and ``autokey``: whether the database makes
    the key of a row that is inserted without one."""

    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    autokey: bool = False
    uniques: tuple[tuple[str, ...], ...] = ()
    unsupported: Mapping[str, str] = field(default_factory=dict[str, str])
    """Columns that are left alone because of their type, and that type."""

    @property
    def sql(self) -> sa.TableClause:
        """The table for statements. Its columns have no types: values.py is what converts."""
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in self.columns]
        return sa.table(self.name, *columns)

    @property
    def writable(self) -> tuple[str, ...]:
        """The columns that take values."""
        return tuple(name for name, column in self.columns.items() if not column.computed)


def names_of(connection: sa.Connection) -> list[str]:
    """The names of all tables of the user's in the database, sorted."""
    inspector = sa.inspect(connection)
    return sorted(name for name in inspector.get_table_names() if not name.startswith(PREFIX))


def reflect(connection: sa.Connection, name: str) -> Table:
    """The table called ``name``. Raises SystemRefused if there is none, or it has no key."""
    inspector = sa.inspect(connection)
    dialect = connection.dialect.name
    with warnings.catch_warnings():
        # Of types and indexes that SQLAlchemy does not know: unsupported columns are reported.
        warnings.simplefilter("ignore", SAWarning)
        try:
            reflected = inspector.get_columns(name)
        except NoSuchTableError:
            raise SystemRefused(
                f"There is no table {name!r} in {connection.engine.url.database}.",
                hint=f"It has {', '.join(names_of(connection)[:20]) or 'no tables'}.",
            ) from None
        key = tuple(inspector.get_pk_constraint(name)["constrained_columns"])
        if not key:
            raise SystemRefused(
                f"The table {name!r} has no primary key, so its rows cannot be told apart.",
                hint="Give it a primary key, or leave the table out.",
            )
        columns, unsupported = _columns(reflected, dialect)
        if lost := [column for column in key if column in unsupported]:
            raise SystemRefused(
                f"The key {name}.{lost[0]} is of the type {unsupported[lost[0]]}, which is not "
                "supported.",
                hint="Leave the table out, or give it another primary key.",
            )
        return Table(
            name,
            columns,
            key,
            _foreign_keys(inspector, name),
            _makes_keys(connection, name, reflected, columns, key),
            tuple(tuple(each["column_names"]) for each in inspector.get_unique_constraints(name)),
            unsupported,
        )


def _columns(
    reflected: Iterable[ReflectedColumn], dialect: str
) -> tuple[dict[str, Column], dict[str, str]]:
    columns: dict[str, Column] = {}
    unsupported: dict[str, str] = {}
    for each in reflected:
        kind = kind_of(each["type"], dialect)
        if kind is None:
            unsupported[each["name"]] = str(each["type"])
            continue
        columns[each["name"]] = Column(
            each["name"],
            kind,
            each["nullable"],
            _attribute(each["type"], "length") if kind == "text" else None,
            _attribute(each["type"], "precision") if kind == "decimal" else None,
            _attribute(each["type"], "scale") if kind == "decimal" else None,
            # MariaDB's TIMESTAMP is an instant, shown in the session's zone, which is UTC here.
            bool(_attribute(each["type"], "timezone")),
            "computed" in each,
        )
    return columns, unsupported


def _attribute(type_: TypeEngine[Any], name: str) -> Any:
    return getattr(type_, name, None)


def kind_of(type_: TypeEngine[Any], dialect: str) -> ValueKind | None:
    """The kind of the values of an SQL type, None for one that is not supported."""
    match type_:
        case mysql.TINYINT() if type_.display_width == 1:
            return "bool"
        case sa.Boolean() | mysql.BIT():
            return "bool" if isinstance(type_, sa.Boolean) else None
        case sa.Integer():
            return "int"
        case sa.Float():
            return "float"
        case sa.Numeric():
            return "decimal"
        case sa.DateTime():
            return "datetime"
        case sa.Date():
            return "date"
        case sa.Time():
            return "time"
        case sa.JSON() | postgresql.JSONB():
            return "json"
        case sa.Uuid():
            return "uuid"
        case sa.LargeBinary() | mysql.BINARY() | mysql.VARBINARY() | sa.types._Binary():  # pyright: ignore[reportPrivateUsage]
            return "bytes"
        case sa.String() | sa.Enum():
            return "text"
        case sa.types.NullType() if dialect == "sqlite":
            return "text"
        case _:
            return None


def _foreign_keys(inspector: Inspector, name: str) -> tuple[ForeignKey, ...]:
    return tuple(
        ForeignKey(
            tuple(each["constrained_columns"]),
            each["referred_table"],
            tuple(each["referred_columns"]),
            any(
                (each.get("options") or {}).get(event, "NO ACTION").upper()
                in ("CASCADE", "SET NULL", "SET DEFAULT")
                for event in ("ondelete", "onupdate")
            ),
        )
        for each in inspector.get_foreign_keys(name)
    )


def _makes_keys(
    connection: sa.Connection,
    name: str,
    reflected: Sequence[ReflectedColumn],
    columns: Mapping[str, Column],
    key: tuple[str, ...],
) -> bool:
    if len(key) != 1 or columns[key[0]].kind != "int":
        return False
    if connection.dialect.name == "sqlite":
        return _is_rowid(connection, name)
    declared = next(each for each in reflected if each["name"] == key[0])
    return bool(
        declared.get("autoincrement") is True
        or "identity" in declared
        or str(declared.get("default") or "").startswith("nextval")
    )


def _is_rowid(connection: sa.Connection, name: str) -> bool:
    """Whether SQLite numbers the rows: only "INTEGER PRIMARY KEY" is an alias of the rowid
    (lang_createtable.html). With INT, a row that is inserted without a key gets NULL for one."""
    declared = connection.execute(
        sa.text(
            "SELECT upper(k.type), upper(t.sql) FROM pragma_table_info(:name) k"
            " JOIN sqlite_master t ON t.name = :name AND t.type = 'table' WHERE k.pk = 1"
        ),
        {"name": name},
    ).one_or_none()
    return (
        declared is not None
        and declared[0] == "INTEGER"
        and re.search(r"\bWITHOUT\s+ROWID\s*(,\s*STRICT\s*)?$", declared[1].strip()) is None
    )


def table_for(source: Table, name: str, columns: Sequence[Column], target: str) -> sa.Table:
    """A table ``name`` for the rows of ``source``, as the dialect ``target`` declares it.

    Text gets no length but in keys, and decimals no precision where the database allows that: a
    source such as SQLite does not hold itself to those it declares.
    """
    key = set(source.key)
    made = [
        sa.Column(
            column.name,
            sql_type(column, target, keyed=column.name in key),
            primary_key=column.name in key,
            autoincrement=False,
            nullable=column.name not in key,
        )
        for column in columns
    ]
    return sa.Table(
        name,
        sa.MetaData(),
        *made,
        **MARIADB_OPTIONS,
    )


def sql_type(column: Column, dialect: str, *, keyed: bool = False) -> TypeEngine[Any]:
    """The type in ``dialect`` that holds every value of ``column``."""
    maria = dialect == "mysql"
    match column.kind:
        case "text" if maria:
            return sa.String(column.length or 255) if keyed else mysql.LONGTEXT()
        case "text":
            return sa.Text()
        case "int":
            return sa.BigInteger()
        case "float":
            return sa.Double()
        case "decimal" if maria:
            return sa.Numeric(65, max(column.scale or 0, 20))
        case "decimal":
            return sa.Numeric()
        case "bool":
            return sa.Boolean()
        case "datetime" if maria:
            return mysql.DATETIME(fsp=6)
        case "datetime":
            return sa.DateTime(timezone=column.zoned)
        case "date":
            return sa.Date()
        case "time" if maria:
            return mysql.TIME(fsp=6)
        case "time":
            return sa.Time()
        case "bytes" if maria:
            return mysql.VARBINARY(255) if keyed else mysql.LONGBLOB()
        case "bytes":
            return sa.LargeBinary()
        case "json" if dialect == "postgresql":
            return postgresql.JSONB()
        case "json":
            return sa.JSON()
        case "uuid":
            return sa.Uuid()


MAX_MARIADB_KEY_BYTES = 3_072
"""What a key of InnoDB has room for (innodb-limitations)."""


def cannot_be_made(table: Table, dialect: str) -> str | None:
    """Why the database cannot have such a table, if that is known before; the rest of a
    sentence."""
    if dialect != "mysql":
        return None
    size = 0
    for name in table.key:
        column = table.columns[name]
        if column.kind == "text":
            size += 4 * (column.length or 255)
        elif column.kind == "bytes":
            size += 255
    if size <= MAX_MARIADB_KEY_BYTES:
        return None
    return f"its key would have {size:,} bytes, and MariaDB takes {MAX_MARIADB_KEY_BYTES:,}"


def in_order(tables: Mapping[str, Table]) -> list[str]:
    """The names of ``tables``, each after those that its foreign keys name."""
    return referred_first(
        {name: [key.table for key in table.foreign_keys] for name, table in tables.items()}
    )


def without(table: Table, columns: Iterable[str]) -> Table:
    """``table`` as if it had no such columns. Raises SystemRefused if one is of the key."""
    left_out = set(columns)
    if missing := [name for name in table.key if name in left_out]:
        raise SystemRefused(
            f"{table.name}.{missing[0]} cannot be left out: it is part of the primary key.",
            hint="Remove it from exclude.",
        )
    kept = {name: each for name, each in table.columns.items() if name not in left_out}
    return replace(table, columns=cast("Mapping[str, Column]", kept))
