"""Rows of one table of a connected database: read and written in canonical values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias, TypeVar, cast

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from syncline.engine.values import decode_value, encode_value

from .tables import Table
from .values import NotOfKind, Unreadable, canonical, reader, writer

Key: TypeAlias = tuple[Any, ...]
"""A primary key: the canonical values of its columns."""
Row: TypeAlias = dict[str, Any]
"""Canonical values by column; Unreadable where a value has none."""
T = TypeVar("T")

KEYS_AT_ONCE = 500
"""Keys in one statement: SQLite and PostgreSQL have limits on parameters."""
MAX_KEY_LENGTH = 255
"""Characters of an encoded key, which is itself part of a key."""


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
    return "/".join(str(part) for part in key)


class Rows:
    """The rows of ``table`` in a database of ``dialect`` (sqlite, postgresql, mysql)."""

    def __init__(self, table: Table, dialect: str) -> None:
        self.table = table
        self._dialect = dialect
        self._sql = table.sql
        self._readers = [(name, reader(each.kind)) for name, each in table.columns.items()]
        self._writers = {
            name: writer(each.kind, dialect, zoned=each.zoned)
            for name, each in table.columns.items()
        }
        self._key_columns = [self._sql.c[name] for name in table.key]
        self._key_places = [list(table.columns).index(name) for name in table.key]
        self._select = sa.select(*self._sql.c)

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
        them until the transaction ends."""
        found: dict[Key, Row] = {}
        for batch in batches(sorted(keys, key=repr)):
            statement = self._select.where(self._among(batch))
            if lock and self._dialect != "sqlite":
                statement = statement.order_by(*self._key_columns).with_for_update()
            for values in connection.execute(statement):
                row = self.row(values)
                found[self.key_of(row)] = row
        return found

    def _among(self, keys: Sequence[Key]) -> sa.ColumnElement[bool]:
        if len(self._key_columns) == 1:
            name = self.table.key[0]
            return self._key_columns[0].in_([self.raw(name, key[0]) for key in keys])
        raws = [
            tuple(self.raw(name, part) for name, part in zip(self.table.key, key, strict=True))
            for key in keys
        ]
        return sa.tuple_(*self._key_columns).in_(raws)

    def page(
        self, connection: sa.Connection, after: Key | None, limit: int, until: Key | None = None
    ) -> list[Row]:
        """At most ``limit`` rows with ``after < key <= until``, in the database's order of keys."""
        statement = self._select.order_by(*self._key_columns).limit(limit)
        statement = statement.where(*self._between(after, until))
        return [self.row(values) for values in connection.execute(statement)]

    def _between(self, after: Key | None, until: Key | None) -> list[sa.ColumnElement[bool]]:
        bounds: list[sa.ColumnElement[bool]] = []
        if after is not None:
            bounds.append(self._beyond(after))
        if until is not None:
            bounds.append(sa.not_(self._beyond(until)))
        return bounds

    def _beyond(self, key: Key) -> sa.ColumnElement[bool]:
        """key columns > ``key``; spelled out, because MariaDB uses no index for tuples."""
        raws = [self.raw(name, part) for name, part in zip(self.table.key, key, strict=True)]
        condition: sa.ColumnElement[bool] = self._key_columns[-1] > raws[-1]
        for column, value in reversed(list(zip(self._key_columns, raws, strict=True))[:-1]):
            condition = sa.and_(column >= value, sa.or_(column > value, condition))
        return condition

    def count(self, connection: sa.Connection) -> int:
        found = connection.execute(sa.select(sa.func.count()).select_from(self._sql)).scalar_one()
        return int(found)

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

    def upsert(self, connection: sa.Connection, raws: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, or replace those of the same key; all have the same columns, as ``raw_row``
        gives them."""
        if not raws:
            return
        names = [name for name in raws[0] if name not in self.table.key]
        sql = self._sql
        statement: Any
        match self._dialect:
            case "mysql":
                inserting = mysql.insert(sql)
                new = {name: inserting.inserted[name] for name in names or self.table.key}
                statement = inserting.on_duplicate_key_update(new)
            case dialect:
                insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
                upserting = insert(sql)
                if names:
                    statement = upserting.on_conflict_do_update(
                        index_elements=self._key_columns,
                        set_={name: upserting.excluded[name] for name in names},
                    )
                else:
                    statement = upserting.on_conflict_do_nothing(index_elements=self._key_columns)
        connection.execute(statement, [dict(each) for each in raws])

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
