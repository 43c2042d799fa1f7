"""Keeps the projected tables of a store: made when declared, changed with the log.

A table is never the reason for which a change is not stored: its rows are written behind a
savepoint, and a table that does not take them (somebody altered it) is marked as stale, in the same
transaction, and made anew when the store is next opened.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Select,
    String,
    Table,
    and_,
    delete,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import (
    CompileError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.sql import visitors

from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken, StoreError, UsageError
from syncline.engine.names import Address
from syncline.engine.records.liveness import is_live
from syncline.engine.records.projection import KEY, WORKSPACE, ProjectedTable, Rows
from syncline.stores.base import DocumentWrite, RowOf, Write
from syncline.stores.tables.projection import (
    DECIMAL_COLLATION,
    FieldType,
    compare_decimals,
    sql_table,
)

from . import read as sql_read

logger = logging.getLogger("syncline.projection")

BATCH = 256
"""Rows per statement."""

_own = MetaData()
# Which projected tables are ours, and what they show. A table without a signature is stale.
projections = Table(
    "syncline_projections",
    _own,
    Column("collection", String(63), primary_key=True),
    Column("signature", FieldType("text")),  # may hold long defaults
)

_Place: TypeAlias = tuple[str, Address]  # workspace, address


class ProjectionKeeper:
    """The projected tables of one open store. ``store`` names it in sentences.

    Used by the thread that writes; ``stale`` may be read from any.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._tables: dict[str, Table] = {}
        self._signatures: dict[str, str | None] = {}
        self.stale: frozenset[str] = frozenset()
        """Collections whose tables do not show their records at the moment."""

    def load(self, connection: Connection) -> None:
        """Learn which tables the store has."""
        with connection.begin():
            if inspect(connection).has_table(projections.name):
                rows = connection.execute(select(projections.c.collection, projections.c.signature))
                self._signatures = {row[0]: row[1] for row in rows}

    def declared(self) -> list[ProjectedTable]:
        """The tables that the store has, as far as they describe themselves."""
        tables = (
            ProjectedTable.from_signature(collection, signature)
            for collection, signature in sorted(self._signatures.items())
            if signature is not None
        )
        return [table for table in tables if table is not None]

    def declare(
        self,
        connection: Connection,
        tables: Sequence[ProjectedTable],
        *,
        anew: bool,
        row_of: RowOf | None = None,
    ) -> dict[str, int]:
        """Keep these tables; returns the rows of those that had to be made, by collection."""
        with connection.begin():
            found = set(inspect(connection).get_table_names())
        made: dict[str, int] = {}
        for table in tables:
            name, signature = table.collection, table.signature()
            if name not in self._signatures and name in found:
                raise _foreign(self._store, name)
            if anew or name not in found or self._signatures[name] != signature:
                made[name] = self._make(connection, table, signature, row_of or log_row)
        self._tables = {table.collection: sql_table(table) for table in tables}
        self.stale = frozenset()
        return made

    def _make(
        self, connection: Connection, table: ProjectedTable, signature: str, row_of: RowOf
    ) -> int:
        # First, in a transaction of its own, that the table is ours and not complete: MariaDB
        # commits before it drops or creates one, and a crash then must leave neither a table that
        # is taken for complete nor one that is taken for somebody else's.
        with connection.begin():
            _own.create_all(connection)
            _sign(connection, table.collection, None)
        self._signatures[table.collection] = None
        target = sql_table(table)
        count = 0
        with connection.begin():
            target.drop(connection, checkfirst=True)
            target.create(connection)
            rows = _stored_rows(connection, table, row_of)
            while batch := list(islice(rows, BATCH)):
                connection.execute(insert(target), batch)
                count += len(batch)
            _sign(connection, table.collection, signature)
        self._signatures[table.collection] = signature
        if count:
            logger.info("%s: the table %s has %d rows", self._store, table.collection, count)
        return count

    def write(self, connection: Connection, writes: Sequence[Write]) -> set[str]:
        """Bring the tables up to date, inside the transaction that writes the log.

        Returns the collections whose tables are left behind, for ``left_behind`` after the commit.
        """
        left: set[str] = set()
        changed: dict[str, dict[_Place, DocumentWrite]] = {}
        for write in writes if self._signatures else ():
            for change in write.documents:
                if self._signatures.get(change.address.collection) is not None:
                    rows = changed.setdefault(change.address.collection, {})
                    rows[write.workspace, change.address] = change
        for collection, rows in changed.items():
            table = self._tables.get(collection)
            # A table that is not declared this time falls behind with its first change.
            if table is None or not self._write_table(connection, table, rows):
                _sign(connection, collection, None)
                left.add(collection)
        return left

    def distrust(self, connection: Connection) -> None:
        """Have every table made anew when it is next declared; part of a transaction."""
        for collection in self._signatures:
            _sign(connection, collection, None)
            self._signatures[collection] = None

    def left_behind(self, collections: set[str]) -> None:
        """These tables do not follow their records any more, by a committed transaction."""
        for collection in collections:
            self._signatures[collection] = None
        self.stale |= collections

    def _write_table(
        self, connection: Connection, table: Table, changes: Mapping[_Place, DocumentWrite]
    ) -> bool:
        try:
            with connection.begin_nested():
                _replace(connection, table, changes)
        except StatementError as error:
            if not _is_of_the_table(error):
                raise
            logger.error(
                "%s: the table %s takes no rows, and is left behind until the store is opened "
                "again: %s",
                self._store,
                table.name,
                error.orig,
            )
            return False
        return True


def _sign(connection: Connection, collection: str, signature: str | None) -> None:
    connection.execute(delete(projections).where(projections.c.collection == collection))
    connection.execute(insert(projections), {"collection": collection, "signature": signature})


def _is_of_the_table(error: StatementError) -> bool:
    """Whether a statement failed by what the table is or holds, and not the database."""
    if not isinstance(error, DBAPIError):
        return True  # a value that could not be bound
    if error.connection_invalidated:
        return False
    if isinstance(error, OperationalError):
        raised: Any = error.orig
        code = getattr(raised, "sqlite_errorcode", None) or next(iter(raised.args), None)
        return code in _FAULTS_OF_TABLES
    return isinstance(error, DataError | IntegrityError | NotSupportedError | ProgrammingError)


# Of those that drivers call operational. SQLite: an unknown table or column. MariaDB: an unknown
# column, a column of somebody that must be given.
_FAULTS_OF_TABLES = (sqlite3.SQLITE_ERROR, 1054, 1364)


def _stored_rows(
    connection: Connection, table: ProjectedTable, row_of: RowOf
) -> Iterator[dict[str, Any]]:
    """The rows of every record in the store."""
    for workspace in sql_read.workspaces(connection):
        place = {WORKSPACE: workspace} if table.by_workspace else {}
        for address in _addresses(connection, workspace, table.collection):
            row = _stored_row(connection, table, row_of, workspace, address)
            if row is not None:
                yield {**place, KEY: address.key, **row}


def _addresses(connection: Connection, workspace: str, collection: str) -> Iterator[Address]:
    after = Address(collection, "")
    while True:
        page = sql_read.documents_after(connection, workspace, collection, after)
        yield from [info.address for info in page]
        if len(page) < sql_read.DOCUMENTS_PAGE:
            return
        after = page[-1].address


def _stored_row(
    connection: Connection,
    table: ProjectedTable,
    row_of: RowOf,
    workspace: str,
    address: Address,
) -> Mapping[str, Any] | None:
    stored = sql_read.load(connection, workspace, address)
    if stored is None:
        return None
    try:
        return row_of(table, stored.updates)
    except DocumentBroken as error:
        logger.error("%s has no row in its table: %s", address, error)
        return None


def log_row(table: ProjectedTable, updates: Sequence[bytes]) -> Mapping[str, Any] | None:
    """The row of the document with this log; None if its record does not live. Raises
    DocumentBroken."""
    document = Document(1, ())
    try:
        for update in updates:
            document.apply(update)
        return _maker(table).row(document) if is_live(document) else None
    finally:
        document.close()


@lru_cache(100)
def _maker(table: ProjectedTable) -> Rows:
    return Rows(table)


def tables_of(statement: Select[*tuple[Any, ...]]) -> set[str]:
    """The names of the tables that ``statement`` reads."""
    return {part.name for part in visitors.iterate(statement) if isinstance(part, Table)}


def query(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What ``statement`` finds. Raises UsageError for one that cannot be executed."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.create_collation(DECIMAL_COLLATION, compare_decimals)
    try:
        return [tuple(row) for row in connection.execute(statement)]
    except (StatementError, CompileError) as error:
        if isinstance(error, StatementError) and not _is_of_the_table(error):
            raise
        raise UsageError(
            f"The query cannot be executed: {getattr(error, 'orig', None) or error}.",
            hint="Compare a column with a value of its field's type, and use only functions that "
            "the database has.",
        ) from error


def _replace(connection: Connection, table: Table, changes: Mapping[_Place, DocumentWrite]) -> None:
    """Delete and insert, because every database spells an upsert in its own way."""
    gone: dict[str, list[str]] = {}
    rows: list[dict[str, Any]] = []
    by_workspace = WORKSPACE in table.c
    for (workspace, address), change in changes.items():
        if change.live is False or change.row is not None:
            gone.setdefault(workspace, []).append(address.key)
        if change.live is not False and change.row is not None:
            place = {WORKSPACE: workspace} if by_workspace else {}
            rows.append({**place, KEY: address.key, **change.row})
    for workspace, keys in gone.items():
        for start in range(0, len(keys), BATCH):
            these = table.c[KEY].in_(keys[start : start + BATCH])
            here = and_(table.c[WORKSPACE] == workspace, these) if by_workspace else these
            connection.execute(delete(table).where(here))
    if rows:
        connection.execute(insert(table), rows)


def _foreign(store: str, name: str) -> StoreError:
    return StoreError(
        f"{store} has a table {name} that Syncline did not make.",
        hint="Rename that table, give the collection another name, or give Syncline a database of "
        "its own.",
    )


def left_behind(store: str, name: str) -> StoreError:
    """The error for reading a table that does not follow its records at the moment."""
    return StoreError(
        f"The table {name} of {store[:1].lower()}{store[1:]} does not show the latest changes, "
        "because somebody altered it.",
        hint="Open the store again: that makes the table anew from the records, which are whole.",
    )
