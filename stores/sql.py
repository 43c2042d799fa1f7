"""SqlStore: a store in an SQL database, today a SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from syncline.engine.errors import StoreError
from syncline.engine.names import Address

from . import copying, schema, sql_compact, sql_read
from .base import (
    DocumentInfo,
    LogSize,
    OutboxBatch,
    Page,
    Receipt,
    RefusedUpdate,
    StoredDocument,
    Write,
)
from .faults import damaged, not_open
from .lock import StoreLock
from .sql_write import Writer
from .sqlite import (
    check_all_pages,
    check_pages,
    database_file,
    examine_file,
    onlooker_engine,
    reader_engine,
    shrink,
    translated,
    use_write_ahead_log,
    writer_engine,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqlStore:
    """A Store in a SQLite file, given as a path or a ``sqlite:///`` URL.

    A relative path starts from the working directory at the time of construction. Next to
    ``app.db`` lie ``app.db.lock`` and, while it is open, ``app.db-wal`` and ``app.db-shm``, which
    belong to it: never copy or move the file alone while it is open.

    ``exclusive=False`` opens the store for looking only, also while another process writes it: it
    takes no lock, creates no store, and ``write`` is refused.

    Raises InvalidUrl for anything but a SQLite file.
    """

    def __init__(self, url_or_path: str | Path, *, exclusive: bool = True) -> None:
        self._path = database_file(url_or_path).resolve()
        self._name = f"The store {self._path}"
        self._exclusive = exclusive
        self._lock = StoreLock(self._path)
        self._writer = Writer(self._name)
        self._readers: Engine | None = None
        self._connection: Connection | None = None  # the one that writes

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def open(self) -> None:
        """Open the store; create it when there is none and it is opened for writing.

        The structure of a file up to 16 MiB is checked page by page; damage in a larger one is
        met where it is read, so that opening takes milliseconds. Raises StoreBusy naming the
        process that has the store, StoreDamaged, StoreVersion, StoreFailed, and StoreError for a
        missing folder or right.
        """
        if self._exclusive:
            examine_file(self._path, create=True)
            self._lock.acquire()
        elif self._readers is not None:
            return
        try:
            with translated(self._path):
                self._readers = self._open_to_write() if self._exclusive else self._open_to_look()
        except BaseException:
            self.close()
            raise

    def _open_to_write(self) -> Engine:
        engine = writer_engine(self._path)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            check_pages(connection, self._path)
            created = schema.is_created(connection, self._name)
        if not created:
            with engine.begin() as connection:
                schema.create(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            use_write_ahead_log(connection, self._path)
        self._connection = engine.connect()
        self._writer = Writer(self._name)  # another file may have taken the place since
        return reader_engine(self._path)

    def _open_to_look(self) -> Engine:
        examine_file(self._path, create=False)
        engine = onlooker_engine(self._path)
        try:
            with engine.connect() as connection:
                check_pages(connection, self._path)
                created = schema.is_created(connection, self._name)
        except BaseException:
            engine.dispose()
            raise
        if not created:
            engine.dispose()
            raise StoreError(
                f"{self._name} is empty.",
                hint="Correct the path; a store is created when it is opened for writing.",
            )
        return engine

    def close(self) -> None:
        """Close every connection and free the lock. Reads have to be over; twice is allowed."""
        readers, self._readers = self._readers, None
        connection, self._connection = self._connection, None
        # What is acknowledged is on the disk already: a failure to tidy up loses nothing.
        with suppress(SQLAlchemyError):
            if readers is not None:
                readers.dispose()
            if connection is not None:
                connection.close()  # last, since it is the one that may tidy the log away
        self._lock.release()

    def fingerprint(self) -> str:
        """Path and inode of the database file; the store has to be open.

        A copied file has another inode, a moved one another path. A backup written over the
        file's own bytes keeps both and is not told apart.
        """
        self._expect_open()
        try:
            return f"{self._path}#{self._path.stat().st_ino}"
        except OSError as error:
            raise StoreError(
                f"{self._name} is gone: {error.strerror}.",
                hint="Something moved or deleted the file of an open store; put it back.",
            ) from error

    def write(self, writes: Sequence[Write]) -> list[int]:
        connection = self._writing()
        # A commit that failed is tried again on the same connection: SQLite writes the same
        # stretch of its log once more, so nothing depends on what an fsync that failed left.
        with translated(self._path):
            return self._writer.write(connection, writes) if writes else []

    def compact(self, workspace: str, document: StoredDocument, snapshot: bytes) -> bool:
        connection = self._writing()
        with translated(self._path):
            return sql_compact.compact(connection, workspace, document, snapshot)

    def shrink(self) -> None:
        """Give back to the file system what compaction has freed: rewrites the file."""
        connection = self._writing()
        with translated(self._path):
            engine = connection.engine
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
                shrink(other)

    def save_copy(self, file: Path) -> None:
        """Write a copy of this store, as it is at one moment, to the SQLite file ``file``, which
        must not exist yet. The store may be in use, and its writers are not held up."""
        readers = self._open_readers()
        if readers.dialect.name == "sqlite":
            with translated(file), readers.connect() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(file),))
            return
        copy = SqlStore(file)
        copy.open()
        try:
            copy.take_copy(self)
        finally:
            copy.close()

    def take_copy(self, source: SqlStore) -> None:
        """Replace everything in this store by what is in ``source``, in one commit."""
        connection = self._writing()
        with source._one_moment() as reading, translated(self._path), connection.begin():
            copying.copy_tables(reading, connection)
            if copying.count_rows(connection) != copying.count_rows(reading):
                raise damaged(self._name, "a copy of the rows has another number of rows")
        self._writer = Writer(self._name)  # the row ids it remembers are gone

    def check(self) -> None:
        """Read everything through, however large, and raise StoreDamaged unless it is sound."""
        with self._one_moment() as connection:
            if connection.dialect.name == "sqlite":
                check_all_pages(connection, self._path)
            copying.check_log(connection, self._name)

    @contextmanager
    def _one_moment(self) -> Generator[Connection]:
        """A connection whose queries all see the same moment."""
        with translated(self._path), self._open_readers().connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
                try:
                    yield connection
                finally:
                    connection.exec_driver_sql("ROLLBACK")
            else:
                whole = connection.execution_options(isolation_level="REPEATABLE READ")
                with whole.begin():
                    yield whole

    def _writing(self) -> Connection:
        if self._connection is None:
            self._expect_open()
            raise StoreError(
                f"{self._name} was opened for looking only.",
                hint="Open it without exclusive=False to write.",
            )
        return self._connection

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        return self._read(sql_read.load, workspace, address)

    def log_size(self, workspace: str, address: Address) -> LogSize | None:
        return self._read(sql_read.log_size, workspace, address)

    def documents(self, workspace: str, collection: str | None = None) -> Iterator[DocumentInfo]:
        self._expect_open()
        return self._documents(workspace, collection)

    def _documents(self, workspace: str, collection: str | None) -> Iterator[DocumentInfo]:
        # Page by page, so that a slow consumer holds no connection and no old snapshot.
        after = Address("", "")
        while True:
            page = self._read(sql_read.documents_after, workspace, collection, after)
            yield from page
            if len(page) < sql_read.DOCUMENTS_PAGE:
                return
            after = page[-1].address

    def since(self, workspace: str, cursor: int, *, max_bytes: int, max_updates: int) -> Page:
        return self._read(sql_read.since, workspace, cursor, max_bytes, max_updates)

    def workspaces(self) -> list[str]:
        return self._read(sql_read.workspaces)

    def head(self, workspace: str) -> int:
        return self._read(sql_read.head, workspace)

    def meta(self, workspace: str) -> dict[str, str]:
        return self._read(sql_read.meta, workspace)

    def last_batch(self, workspace: str, replica: str) -> int:
        return self._read(sql_read.last_batch, workspace, replica)

    def receipt(self, workspace: str, replica: str, batch: int) -> Receipt | None:
        return self._read(sql_read.receipt, workspace, replica, batch)

    def outbox(self, workspace: str, *, after: int = 0, limit: int) -> list[OutboxBatch]:
        return self._read(sql_read.outbox, workspace, after, limit)

    def outbox_count(self, workspace: str) -> int:
        return self._read(sql_read.outbox_count, workspace)

    def refused(self, workspace: str) -> list[RefusedUpdate]:
        return self._read(sql_read.refused, workspace)

    def _expect_open(self) -> None:
        self._open_readers()

    def _open_readers(self) -> Engine:
        if self._readers is None:
            raise not_open(self._name)
        return self._readers

    def _read(
        self, query: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        with translated(self._path), self._open_readers().connect() as connection:
            return query(connection, *args, **kwargs)
