"""SqlStore: a store in an SQL database."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from syncline.engine.document.document import log_state
from syncline.engine.errors import StoreError
from syncline.engine.names import Address
from syncline.engine.records.projection import ProjectedTable
from syncline.engine.updates.parse import StateVector
from syncline.stores.base import (
    DocumentInfo,
    DocumentState,
    LogPage,
    LogSize,
    OutboxBatch,
    Receipt,
    RefusedUpdate,
    RowOf,
    StoredDocument,
    Write,
)
from syncline.stores.databases import files
from syncline.stores.databases.from_url import database_of
from syncline.stores.faults import damaged, not_open

from . import compact as sql_compact
from . import copying, projection_keeper
from . import read as sql_read
from .projection_keeper import ProjectionKeeper
from .verify import Problem, Verification
from .write import Writer

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqlStore:
    """A Store in a SQLite file, or in a PostgreSQL or MariaDB database.

    A file is given as a path or a ``sqlite:///`` URL. A relative path starts from the working
    directory at the time of construction. Next to ``app.db`` lie ``app.db.lock`` and, while it is
    open, ``app.db-wal`` and ``app.db-shm``, which belong to it: never copy or move the file alone
    while it is open.

    A database on a server is given as ``postgresql://user@host/database`` or
    ``mariadb://user@host/database`` (``mysql://`` means the same), and may hold other tables:
    Syncline's begin with ``syncline_``. A URL without a driver takes the one that is installed;
    ``pip install "syncline[postgres]"`` or ``"syncline[mysql]"`` brings one.

    One SqlStore at a time has the right to write: through a lock file beside the file, or a lock
    that the writing connection holds in the database. ``exclusive=False`` opens the store for
    looking only, also while another process writes it: it takes no lock, creates no store, and
    ``write`` is refused.

    Raises InvalidUrl for a URL that names no store, StoreError when the driver is missing.
    """

    def __init__(self, url_or_path: str | Path, *, exclusive: bool = True) -> None:
        self._database = database_of(url_or_path)
        self._name = self._database.name
        self._exclusive = exclusive
        self._projection = ProjectionKeeper(self._name)
        self._writer = Writer(self._name, self._projection)
        self._readers: Engine | None = None
        self._was_open = False

    @property
    def path(self) -> Path | None:
        """The database file, None for a database on a server."""
        return self._database.path

    def open(self) -> None:
        """Open the store; create it when there is none and it is opened for writing.

        The structure of a file up to 16 MiB is checked page by page; damage in a larger one is
        met where it is read, so that opening takes milliseconds. Raises StoreBusy naming who has
        the store, StoreDamaged, StoreVersion, StoreFailed, and StoreError for a missing folder,
        database or right. A server that is set up to lose commits in a power cut (``fsync=off``,
        ``innodb_flush_log_at_trx_commit=0``) is named in a warning to the logger.
        """
        if self._exclusive:
            with self._database.translated():
                self._database.acquire()
        elif self._readers is not None:
            return
        try:
            with self._database.translated():
                if self._exclusive:
                    self._readers = self._database.open_to_write()
                else:
                    self._readers = self._database.open_to_look()
                # Another store may have taken the place since it was last open.
                self._projection = ProjectionKeeper(self._name)
                self._writer = Writer(self._name, self._projection)
                if self._exclusive:
                    self._database.transact(self._projection.load)
        except BaseException:
            self.close()
            raise
        self._was_open = True

    def close(self) -> None:
        """Close every connection and free the lock. Reads have to be over; twice is allowed."""
        readers, self._readers = self._readers, None
        try:
            with suppress(SQLAlchemyError):
                if readers is not None:
                    readers.dispose()
        finally:
            self._database.close()  # last, since a writer of SQLite may tidy the log away

    def fingerprint(self) -> str:
        """What tells this store from a copy of it; the store has to be open.

        Path and inode of a file: a copy has another inode, a moved file another path. A backup
        written over the file's own bytes keeps both and is not told apart. On a server: the
        server, the database and the table, as the server numbers or dates them; a copy of the
        server's own files is not told apart.
        """
        self._expect_open()
        return self._database.fingerprint()

    def project(
        self, tables: Sequence[ProjectedTable], *, anew: bool = False, row_of: RowOf | None = None
    ) -> dict[str, int]:
        self._expect_writable()
        with self._database.translated():
            return self._database.transact(
                lambda connection: self._projection.declare(
                    connection, tables, anew=anew, row_of=row_of
                )
            )

    def projected(self) -> list[ProjectedTable]:
        """The tables that the store has, as far as they describe themselves: for making them
        anew without the record classes."""
        return self._projection.declared()

    def select(self, statement: Select[*tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        for table in self._projection.stale.intersection(projection_keeper.tables_of(statement)):
            raise projection_keeper.left_behind(self._name, table)
        return self._read(projection_keeper.query, statement)

    def write(self, writes: Sequence[Write]) -> list[int]:
        self._expect_writable()
        if not writes:
            return []
        with self._database.translated():
            return self._database.transact(
                lambda connection: self._writer.write(connection, writes)
            )

    def _expect_writable(self) -> None:
        self._expect_open()
        if not self._exclusive:
            raise StoreError(
                f"{self._name} was opened for looking only.",
                hint="Open it without exclusive=False to write.",
            )

    def verify(
        self, state_of: Callable[[Sequence[bytes]], StateVector] = log_state
    ) -> list[Problem]:
        """Read the whole store and return everything that does not agree: nothing, in a sound one.

        The database's own check of its structure (SQLite's), the counts and seqs that are noted
        with documents and workspaces against the log, and each log against the state vector that
        its document has when it is rebuilt (``state_of``). Changes nothing; others may write
        meanwhile.
        """
        return Verification(self._read, self._database.problems, state_of).run()

    def compact(self, workspace: str, document: StoredDocument, snapshot: bytes) -> bool:
        self._expect_writable()
        with self._database.translated():
            return self._database.transact(
                lambda connection: sql_compact.compact(connection, workspace, document, snapshot)
            )

    def shrink(self) -> None:
        """Give back to the file system what compaction has freed: rewrites a SQLite file. A server
        does so by itself."""
        self._expect_writable()
        if self.path is not None:
            from syncline.stores.databases.sqlite import shrink

            with self._database.translated():
                shrink(self._database.writer_engine())

    def save_copy(self, file: Path) -> None:
        """Write a copy of this store, as it is at one moment, to the SQLite file ``file``, which
        must not exist yet. The store may be in use, and its writers are not held up."""
        readers = self._open_readers()
        if readers.dialect.name == "sqlite":
            files.make(file)
            with self._database.translated(), readers.connect() as connection:
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
        self._expect_writable()
        with source._one_moment() as reading, self._database.translated():
            self._database.transact(lambda connection: self._take(reading, connection))
        # The row ids that it remembers are gone.
        self._writer = Writer(self._name, self._projection)

    def _take(self, reading: Connection, writing: Connection) -> None:
        with writing.begin():
            copying.copy_tables(reading, writing)
            if copying.count_rows(writing) != copying.count_rows(reading):
                raise damaged(self._name, "a copy of the rows has another number of rows")
            self._projection.distrust(writing)

    def check(self) -> None:
        """Read everything through, however large, and raise StoreDamaged unless it is sound."""
        with self._one_moment() as connection:
            for problem in self._database.problems(connection):
                raise damaged(self._name, problem)
            copying.check_log(connection, self._name)

    @contextmanager
    def _one_moment(self) -> Generator[Connection]:
        """A connection whose queries all see the same moment."""
        with self._database.translated(), self._open_readers().connect() as connection:
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

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        return self._read(sql_read.load, workspace, address)

    def load_many(self, workspace: str, addresses: Sequence[Address]) -> list[StoredDocument]:
        return self._read(sql_read.load_many, workspace, addresses)

    def state(self, workspace: str, address: Address) -> DocumentState | None:
        return self._read(sql_read.state, workspace, address)

    def states(
        self, workspace: str, after: Address, until: Address | None, limit: int
    ) -> list[DocumentState]:
        return self._read(sql_read.states, workspace, after, until, limit)

    def log_size(self, workspace: str, address: Address) -> LogSize | None:
        return self._read(sql_read.log_size, workspace, address)

    def liveness(self, workspace: str, collection: str) -> list[tuple[str, bool | None]]:
        return self._read(sql_read.liveness, workspace, collection)

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

    def since(self, workspace: str, cursor: int, *, max_bytes: int, max_updates: int) -> LogPage:
        return self._read(sql_read.since, workspace, cursor, max_bytes, max_updates)

    def workspaces(self) -> list[str]:
        return self._read(sql_read.workspaces)

    def head(self, workspace: str) -> int:
        return self._read(sql_read.head, workspace)

    def meta(self, workspace: str) -> dict[str, str]:
        return self._read(sql_read.meta, workspace)

    def owners(self, workspace: str, writers: Sequence[str]) -> dict[str, str]:
        return self._read(sql_read.owners, workspace, writers)

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
            raise not_open(self._name, closed=self._was_open)
        return self._readers

    def _read(
        self, query: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        readers = self._open_readers()
        with self._database.translated():
            try:
                with readers.connect() as connection:
                    return query(connection, *args, **kwargs)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server went away or came back since; the pool has let go of what it had.
            with readers.connect() as connection:
                return query(connection, *args, **kwargs)
