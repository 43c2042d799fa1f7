"""Rows of one table of a connected database: read and written in canonical values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias, TypeVar, cast

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError

from syncline.engine.document.values import decode_value, encode_value

from .tables import PREFIX, Table
from .values import NotOfKind, Unreadable, canonical, fits_sqlite, reader, writer

Key: TypeAlias = tuple[Any, ...]
"""A primary key: the canonical values of its columns."""
Row: TypeAlias = dict[str, Any]
"""Canonical values by column; Unreadable where a value has none."""
T = TypeVar("T")

KEYS_AT_ONCE = 500
"""Keys in one statement: SQLite and PostgreSQL have limits on parameters."""
MAX_KEY_LENGTH = 255
"""Characters of an encoded key, which is itself part of a key."""
UNUSABLE = "$key"
"""Begins what stands for a key that no row can be remembered by (pages.py)."""
_ONE_PARAMETER = 5_000
"""The same where all of them are one parameter."""
_MANY = 100
"""Rows from which on it pays to change them by way of a temporary table."""
_NEW = f"{PREFIX}new"
_KEY = "syncline_key_"
"""Begins the names of parameters that say which row is meant."""


def batches(items: Iterable[T], size: int = KEYS_AT_ONCE) -> Iterator[list[T]]:
    """``items`` in lists of at most ``size``."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def encode_key(key: Key) -> str:
    """A key as text: equal for equal keys."""
    return encode_value(list(key), where="the primary key").decode()


def decode_key(text: str) -> Key:
    """The reverse of ``encode_key``."""
    return tuple(cast("list[Any]", decode_value(text)))


def show_key(key: Key) -> str:
    """A key for people: ``881``, ``3/17``."""
    if key[0] == UNUSABLE:
        return str(key[-1])
    return "/".join(str(part) for part in key)


def copy_in(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    raws: Iterable[tuple[Any, ...]],
) -> None:
    """Insert rows with PostgreSQL's COPY, many times faster than statements are."""
    quote = connection.dialect.identifier_preparer.quote
    statement = f"COPY {quote(table)} ({', '.join(map(quote, columns))}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        try:
            with cursor.copy(statement) as copy:
                for raw in raws:
                    copy.write_row(raw)
        except cast("Any", connection.dialect).loaded_dbapi.Error as error:
            lost = connection.dialect.is_disconnect(error, None, None)
            raise DBAPIError.instance(
                statement,
                None,
                error,
                cast("type[Exception]", type(error)),
                connection_invalidated=lost,
                dialect=connection.dialect,
            ) from error


class Rows:
    """The rows of ``table`` in a database of ``dialect`` (sqlite, postgresql, mysql)."""

    def __init__(self, table: Table, dialect: str) -> None:
        self.table = table
        self._dialect = dialect
        self._sql = table.sql
        self._readers = [(name, reader(each.kind, dialect)) for name, each in table.columns.items()]
        self._writers = {
            name: writer(each.kind, dialect, zoned=each.zoned)
            for name, each in table.columns.items()
        }
        if dialect == "sqlite":
            for name, each in table.columns.items():
                if each.kind == "int":
                    self._writers[name] = fits_sqlite(self._writers[name])
        self._key_columns = [self._sql.c[name] for name in table.key]
        self._select = sa.select(*self._sql.c)
        self._insert = sa.insert(self._sql)

    def row(self, values: Sequence[Any]) -> Row:
        """The canonical row of what the driver gave."""
        return {
            name: read(value) for (name, read), value in zip(self._readers, values, strict=True)
        }

    def key_of(self, row: Mapping[str, Any]) -> Key:
        return tuple(row[name] for name in self.table.key)

    def raw(self, column: str, value: Any) -> Any:
        """What the driver takes for ``value``. Raises NotOfKind."""
        return self._writers[column](value)

    def parse_noted(self, text: str) -> Key | None:
        """The key that a trigger noted, or None if it has no canonical form."""
        parts: list[Any] = []
        for part, name in zip(orjson.loads(text), self.table.key, strict=True):
            kind = self.table.columns[name].kind
            value = bytes.fromhex(part) if kind == "bytes" else part
            parts.append(reader(kind)(value))
        return None if any(isinstance(part, Unreadable) for part in parts) else tuple(parts)

    # Reading

    def by_keys(
        self, connection: sa.Connection, keys: Iterable[Key], *, lock: bool = False
    ) -> dict[Key, Row]:
        """The rows with these keys, as far as there are any. ``lock`` keeps others from changing
        them until the transaction ends; those that somebody else has locked are left out."""
        found: dict[Key, Row] = {}
        one = self._dialect == "postgresql" and len(self._key_columns) == 1
        possible = (key for key in sorted(keys, key=repr) if self._can_be_there(key))
        for batch in batches(possible, _ONE_PARAMETER if one else KEYS_AT_ONCE):
            statement = self._select.where(self._among(batch))
            if lock and self._dialect != "sqlite":
                statement = statement.order_by(*self._key_columns).with_for_update(skip_locked=True)
            for values in connection.execute(statement).all():
                row = self.row(values)
                found[self.key_of(row)] = row
        return found

    def _can_be_there(self, key: Key) -> bool:
        try:
            for name, part in zip(self.table.key, key, strict=True):
                self.raw(name, part)
        except NotOfKind:
            return False
        return True

    def select_of(self, keys: Sequence[Key], columns: Iterable[str]) -> sa.Select[Any]:
        """A query for these columns of the rows with these keys."""
        return sa.select(*(self._sql.c[name] for name in columns)).where(self._among(keys))

    def _among(self, keys: Sequence[Key]) -> sa.ColumnElement[bool]:
        whole = [key for key in keys if None not in key]
        if len(whole) == len(keys):
            return self._among_whole(keys)
        # SQLite has keys that are empty, and they are equal to none.
        empty = [
            sa.and_(
                *(
                    column.is_not_distinct_from(part)
                    for column, part in zip(self._key_columns, key, strict=True)
                )
            )
            for key in keys
            if None in key
        ]
        return sa.or_(*empty, self._among_whole(whole)) if whole else sa.or_(*empty)

    def _among_whole(self, keys: Sequence[Key]) -> sa.ColumnElement[bool]:
        if len(self._key_columns) == 1:
            name = self.table.key[0]
            values = [self.raw(name, key[0]) for key in keys]
            if self._dialect == "postgresql":
                # One parameter, whatever the number of keys: it is prepared once.
                among: sa.ColumnElement[Any] = sa.func.any(sa.bindparam(None, values))
                return self._key_columns[0] == among
            return self._key_columns[0].in_(values)
        raws = [
            tuple(self.raw(name, part) for name, part in zip(self.table.key, key, strict=True))
            for key in keys
        ]
        return sa.tuple_(*self._key_columns).in_(raws)

    def page(
        self,
        connection: sa.Connection,
        after: Key | None,
        limit: int,
        since: tuple[str, Any] | None = None,
    ) -> list[Row]:
        """At most ``limit`` rows with a key beyond ``after``, in the database's order of keys;
        with ``since`` those of which that column has this value or a greater one."""
        return list(map(self.row, self.raw_page(connection, after, limit, since)))

    def raw_page(
        self,
        connection: sa.Connection,
        after: Key | None,
        limit: int,
        since: tuple[str, Any] | None = None,
    ) -> Sequence[Sequence[Any]]:
        """The same rows as the driver gives them."""
        statement = self._select.order_by(*self._key_columns).limit(limit)
        if after is not None:
            statement = statement.where(self._beyond(after))
        if since is not None:
            name, value = since
            statement = statement.where(self._sql.c[name] >= self.raw(name, value))
        return connection.execute(statement).all()

    def greatest(self, connection: sa.Connection, column: str) -> Any:
        """The greatest value of a column, None without rows."""
        found = connection.execute(sa.select(sa.func.max(self._sql.c[column]))).scalar_one()
        return reader(self.table.columns[column].kind)(found)

    def _beyond(self, key: Key) -> sa.ColumnElement[bool]:
        """key columns > ``key``; spelled out, because MariaDB uses no index for tuples."""
        raws = [self.raw(name, part) for name, part in zip(self.table.key, key, strict=True)]
        condition: sa.ColumnElement[bool] = self._key_columns[-1] > raws[-1]
        for column, value in reversed(list(zip(self._key_columns, raws, strict=True))[:-1]):
            condition = sa.and_(column >= value, sa.or_(column > value, condition))
        return condition

    def count(self, connection: sa.Connection, *, null: str | None = None) -> int:
        """How many rows there are; with ``null`` those without a value in that column."""
        statement = sa.select(sa.func.count()).select_from(self._sql)
        if null is not None:
            statement = statement.where(self._sql.c[null].is_(None))
        return int(connection.execute(statement).scalar_one())

    # Writing; values come canonical, and may be of another kind than the column

    def raw_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the driver takes for ``row``. Raises NotOfKind, whose message begins with the
        column."""
        raws: dict[str, Any] = {}
        for name, value in row.items():
            try:
                raws[name] = self._writers[name](value)
            except NotOfKind as error:
                raise NotOfKind(f"{name} {error}") from None
        return raws

    def insert_many(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """Insert rows; all have the same columns. Raises NotOfKind."""
        if not rows:
            return
        raws = self._raws(rows)
        self.insert_raws(connection, tuple(raws[0]), [tuple(raw.values()) for raw in raws])

    def insert_raws(
        self, connection: sa.Connection, columns: Sequence[str], raws: Sequence[tuple[Any, ...]]
    ) -> None:
        """Insert rows as the driver takes them, with values for these columns."""
        if self._dialect == "postgresql":
            copy_in(connection, self.table.name, columns, raws)
            return
        rows = [dict(zip(columns, raw, strict=True)) for raw in raws]
        connection.execute(self._insert, rows)

    def update_many(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """Change rows that are there; each has its key, and all have the same columns. Raises
        NotOfKind."""
        if not rows:
            return
        raws = self._raws(rows)
        names = [name for name in rows[0] if name not in self.table.key]
        whole = all(
            name in rows[0] or column.nullable or column.computed
            for name, column in self.table.columns.items()
        )
        if not names:
            return
        if self._dialect == "mysql" and whole and not self.table.uniques:
            # PyMySQL sends an insert of many rows as one statement, and each update by itself. With
            # other unique keys, another row than that of the primary key might be meant.
            inserting = mysql.insert(self._sql)
            new = {name: inserting.inserted[name] for name in names}
            connection.execute(inserting.on_duplicate_key_update(new), raws)
            return
        if self._dialect == "postgresql" and len(raws) >= _MANY:
            self._update_from_copy(connection, names, raws)
            return
        statement = sa.update(self._sql).values({name: sa.bindparam(name) for name in names})
        for name, column in zip(self.table.key, self._key_columns, strict=True):
            statement = statement.where(column == sa.bindparam(f"{_KEY}{name}"))
            for raw in raws:
                raw[f"{_KEY}{name}"] = raw.pop(name)
        connection.execute(statement, raws)

    def _update_from_copy(
        self, connection: sa.Connection, names: Sequence[str], raws: Sequence[Mapping[str, Any]]
    ) -> None:
        """Change rows by way of a temporary table, which PostgreSQL fills and reads at once."""
        quote = connection.dialect.identifier_preparer.quote
        columns = ", ".join(map(quote, raws[0]))
        making = (
            f"CREATE TEMPORARY TABLE {_NEW} AS "  # noqa: S608 (names are quoted)
            f"SELECT {columns} FROM {quote(self.table.name)} WITH NO DATA"
        )
        connection.execute(sa.text(making.replace(":", "\\:")))
        copy_in(connection, _NEW, tuple(raws[0]), [tuple(raw.values()) for raw in raws])
        fields: list[sa.ColumnClause[Any]] = [sa.column(name) for name in raws[0]]
        new = sa.table(_NEW, *fields)
        changing = sa.update(self._sql).values({name: new.c[name] for name in names})
        same = (self._sql.c[name] == new.c[name] for name in self.table.key)
        connection.execute(changing.where(*same))
        connection.execute(sa.text(f"DROP TABLE {_NEW}"))

    def _raws(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return [self.raw_row(row) for row in rows]

    def insert(self, connection: sa.Connection, row: Mapping[str, Any]) -> Key:
        """Insert a row; return its key, which the database may have made. Raises NotOfKind."""
        raws = self.raw_row(row)
        statement = sa.insert(self._sql).values(raws)
        if all(name in raws for name in self.table.key):
            connection.execute(statement)
            return tuple(
                canonical(row[name], self.table.columns[name].kind) for name in self.table.key
            )
        if self._dialect == "mysql":
            made = connection.execute(statement).lastrowid
        else:
            made = connection.execute(statement.returning(*self._key_columns)).scalar_one()
        return (int(made),)

    def update(self, connection: sa.Connection, key: Key, changes: Mapping[str, Any]) -> None:
        """Change columns of one row. Raises NotOfKind."""
        statement = sa.update(self._sql).where(self._among([key])).values(self.raw_row(changes))
        connection.execute(statement)

    def delete(self, connection: sa.Connection, keys: Iterable[Key]) -> None:
        for batch in batches(keys):
            connection.execute(sa.delete(self._sql).where(self._among(batch)))
