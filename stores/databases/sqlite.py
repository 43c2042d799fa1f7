"""What is true of SQLite only: the file, its connections, its errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool, QueuePool

from syncline.engine.errors import StoreBusy, StoreError, StoreFailed
from syncline.stores.faults import already_stored, damaged, not_open
from syncline.stores.tables import schema

from . import database, files
from .database import RETRY_SECONDS, cannot_hold, check_layout, translated
from .error_codes import extended_result_of, result_of
from .lock import StoreLock

_T = TypeVar("_T")

CHECKED_BYTES = 16 * 2**20
"""Largest file that is checked page by page when it is opened: about 20 ms from the page cache,
0.3 s from a slow disk. In a larger one a damaged page is met, and reported, when it is read."""

BUSY_SECONDS = 5.0
"""How long a write waits for another program that has the file locked."""

_LOG_BYTES = 64 * 2**20  # a log that a long reader made grow shrinks to this again


class SqliteFile:
    """The Database in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.name = f"The store {self.path}"
        self._lock = StoreLock(self.path)
        self._connection: Connection | None = None

    def acquire(self) -> None:
        """Raises StoreBusy naming the process that has the file, StoreError, StoreFailed."""
        files.examine(self.path, create=True)
        self._lock.acquire()

    def open_to_write(self) -> Engine:
        files.examine_start(self.path)
        _create(self.path)
        engine = self.writer_engine()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _check_pages(connection, self.path)
            found = schema.found_layout(connection, self.name, alone=True)
        if found != schema.LAYOUT:
            from syncline.stores.migrations import upgrade

            with engine.begin() as connection:
                upgrade(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _use_write_ahead_log(connection, self.path)
        self._connection = engine.connect()
        return _reader_engine(self.path)

    def writer_engine(self) -> Engine:
        """Every transaction takes the write lock first and ends in an fsync.

        With the execution option ``isolation_level="AUTOCOMMIT"`` statements run outside of any.
        """
        engine = create_engine(
            "sqlite://", creator=lambda: _connect(self.path, "mode=rwc"), poolclass=NullPool
        )

        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        event.listen(engine, "begin", begin)
        return engine

    def open_to_look(self) -> Engine:
        files.examine(self.path, create=False)
        files.examine_start(self.path)
        engine = _onlooker_engine(self.path)
        try:
            with engine.connect() as connection:
                _check_pages(connection, self.path)
                found = schema.found_layout(connection, self.name, alone=True)
            check_layout(self.name, found)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        if self._connection is None:
            raise not_open(self.name)
        # A commit that failed is tried again on the same connection: SQLite writes the same
        # stretch of its log once more, so nothing depends on what an fsync that failed left.
        return work(self._connection)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        # What is acknowledged is on the disk already: a failure to tidy up loses nothing.
        try:
            with suppress(SQLAlchemyError):
                if connection is not None:
                    connection.close()
        finally:
            self._lock.release()

    def fingerprint(self) -> str:
        """Path and inode of the file: a copy has another inode, a moved file another path."""
        try:
            return f"{self.path}#{self.path.stat().st_ino}"
        except OSError as error:
            raise StoreError(
                f"{self.name} is gone: {error.strerror}.",
                hint="Something moved or deleted the file of an open store; put it back.",
            ) from error

    def problems(self, connection: Connection) -> list[str]:
        """What SQLite's integrity_check says, 100 findings at most."""
        found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return [text for text in found if text != "ok"]

    @contextmanager
    def translated(self) -> Generator[None]:
        try:
            with translated(self.name, lambda error: _translate(error, self.path)):
                yield
        except OSError as error:
            # Making a store reads migrations, and modules.
            if error.errno not in files.NONE_LEFT:
                raise
            raise files.out_of_files(self.path) from error


def _create(path: Path) -> None:
    try:
        files.make(path)
    except OSError as error:
        if error.errno in files.NONE_LEFT:
            raise files.out_of_files(path) from error
        raise StoreError(
            f"The store {path} cannot be created: {error.strerror}.",
            hint="Check the owner and the rights of the folder, and the disk.",
        ) from error


def _reader_engine(path: Path, *, options: str = "mode=ro") -> Engine:
    """Connections that read while another one writes: every statement sees one moment."""
    return create_engine(
        "sqlite://",
        creator=lambda: _connect(path, options),
        poolclass=QueuePool,
        pool_size=database.READERS,
        pool_timeout=database.READER_SECONDS,
        max_overflow=0,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
    )


def _onlooker_engine(path: Path) -> Engine:
    """Connections for looking at a store that another process may be writing.

    A reader of a WAL database needs its two side files, and SQLite makes them if it may. Where it
    may not (a backup on a read-only medium) and no log of transactions lies beside the file,
    nobody writes, and it is read without them.
    """
    engine = _reader_engine(path)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA schema_version")
    except DBAPIError as error:
        engine.dispose()
        if result_of(error) not in (
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
        ) or files.has_beside(path, "-wal"):
            raise
        return _reader_engine(path, options="immutable=1")
    return engine


def _connect(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        # Private, whatever the program has made the default for the whole process.
        f"{path.as_uri()}?{options}&cache=private",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions begin where we say
        check_same_thread=False,  # the pool hands a connection to one thread at a time
    )
    try:
        # FULL: a commit returns after an fsync of the log. NORMAL loses commits in a power cut.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("PRAGMA cache_size=-8192")  # KiB
        connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: Connection, path: Path) -> None:
    """Let readers and the writer work at the same time. Raises StoreError where that cannot be."""
    mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar()
    if mode != "wal":
        raise StoreError(
            f"The store {path} cannot be switched to write-ahead logging.",
            hint="Keep the store on a local disk: network file systems cannot share it.",
        )


def shrink(engine: Engine) -> None:
    """Rewrite the database without its free pages, and shorten the file."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _check_pages(connection: Connection, path: Path) -> None:
    """Read a small file through and raise StoreDamaged unless its structure is sound."""
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    page_size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    if pages * page_size <= CHECKED_BYTES:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise damaged(
                f"The store {path}", found.removeprefix("*** in database main ***").strip()
            )


def _translate(error: DBAPIError, path: Path) -> StoreError:
    if isinstance(error, (DataError, InterfaceError, ProgrammingError)):
        return cannot_hold(f"The store {path}", error.orig)
    match result_of(error):
        case sqlite3.SQLITE_CONSTRAINT if _is_duplicate(error):
            return already_stored(f"The store {path}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(
                f"Another program keeps the store {path} locked.",
                hint="Close the program that has the file open, or try again.",
                retry_after=1.0,
            )
        case sqlite3.SQLITE_NOTADB:
            return damaged(f"The store {path}", files.NO_DATABASE)
        case sqlite3.SQLITE_CANTOPEN if files.are_used_up():
            return files.out_of_files(path)
        case sqlite3.SQLITE_FULL:
            return StoreFailed(
                f"The disk is full: nothing was written to the store {path}.",
                hint="Free some disk space; reading goes on meanwhile.",
                retry_after=RETRY_SECONDS,
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM:
            return StoreFailed(
                f"The store {path} failed: {error.orig}.",
                hint="Check the disk; what failed was not stored, and can be tried again.",
                retry_after=RETRY_SECONDS,
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreError(
                f"The store {path} cannot be opened for this: {error.orig}.",
                hint="Check the owner and the rights of the file and its folder, and how many "
                "files this program may have open.",
            )
        case _:
            # Our statements are fixed and tested: what else fails in one is the file's doing.
            return damaged(f"The store {path}", str(error.orig))


def _is_duplicate(error: DBAPIError) -> bool:
    return extended_result_of(error) in (
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    )
