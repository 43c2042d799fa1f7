"""What PostgreSQL and MariaDB have in common: drivers, connections that break, one writer.

The connection that writes holds the exclusive right itself, as a lock of its session: whoever can
still write has it, and who lost the one has lost the other. A separate connection for the lock
could be lost unnoticed while writing goes on.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from syncline.engine.errors import InvalidUrl, StoreBusy, StoreError, StoreFailed
from syncline.stores.faults import damaged
from syncline.stores.tables import schema

from . import database
from .backends import Backend
from .database import RETRY_SECONDS, check_layout, translated
from .url_secrets import UrlSecrets

_T = TypeVar("_T")

LOCK_SECONDS = 1
"""How long to wait for the exclusive right: a server needs a moment to notice a dead holder."""

ROW_LOCK_SECONDS = 30
"""How long a write waits for somebody else's transaction."""

CONNECT_SECONDS = 10
SILENCE_SECONDS = 120
"""After how long without an answer a connection counts as broken."""

_ATTEMPTS = 5  # at a transaction that the database gives up in favour of another
_logger = logging.getLogger(__name__)


class Server(ABC):
    """A Database on a server; a subclass knows one kind."""

    backend: Backend
    path = None
    paramstyle: str | None = None

    def __init__(self, url: URL) -> None:
        kind = self.backend.kind
        if not url.database:
            raise InvalidUrl(
                f"The {kind} URL names no database.",
                hint=f'Write "{kind}://user@host/database"; the database has to exist.',
            )
        self._url = self._with_driver(url)
        where = URL.create(kind, host=url.host, port=url.port, database=url.database)
        # Neither user nor password nor parameters, of which one may be a password.
        self.name = f"The store {where.render_as_string()}"
        self._secrets = UrlSecrets(url)
        self._taken = threading.Lock()  # from ``acquire`` to ``close``
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._opened = ""

    def _with_driver(self, url: URL) -> URL:
        kind, extra, drivers = self.backend
        asked = url.drivername.partition("+")[2]
        for driver, module in drivers:
            if asked in ("", driver) and importlib.util.find_spec(module) is not None:
                return url.set(drivername=f"{kind}+{driver}")
        if asked and asked not in dict(drivers):
            known = ", ".join(driver for driver, _ in drivers)
            raise InvalidUrl(
                f"Syncline does not use the {kind} driver {asked}.",
                hint=f'Write "{kind}://" for the one that is installed, or one of {known}.',
            )
        raise StoreError(
            f"No driver for {kind} is installed" + (f" under the name {asked}." if asked else "."),
            hint=f'pip install "syncline[{extra}]"',
        )

    # Opening and closing

    def acquire(self) -> None:
        if not self._taken.acquire(blocking=False):
            raise self.busy("this SqlStore")

    def open_to_write(self) -> Engine:
        self._engine = self.writer_engine()
        self._connection = connection = self._connect(self._engine)
        with connection.begin():
            found = schema.found_layout(connection, self.name, alone=False)
            if found != schema.LAYOUT:
                from syncline.stores.migrations import upgrade

                upgrade(connection)
        with connection.begin():
            self._opened = self.identity(connection)
        return self._reader_engine()

    def writer_engine(self) -> Engine:
        # Each statement sees what was committed before it: behind the lock on a workspace's row,
        # everything that was written to the workspace.
        return self._create_engine(isolation_level="READ COMMITTED", poolclass=NullPool)

    def open_to_look(self) -> Engine:
        engine = self._reader_engine()
        try:
            with self._first_connection(engine) as connection:
                check_layout(self.name, schema.found_layout(connection, self.name, alone=False))
                self._opened = self.identity(connection)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def close(self) -> None:
        try:
            self._let_go()
        finally:
            self._engine = None
            with suppress(RuntimeError):  # nobody has it: closed twice, or opened for looking
                self._taken.release()

    def fingerprint(self) -> str:
        return self._opened

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        with suppress(SQLAlchemyError):
            if connection is not None:
                connection.close()

    def _create_engine(self, **options: Any) -> Engine:
        given = self._url.query
        if self.paramstyle is not None:
            options["paramstyle"] = self.paramstyle
        arguments = {key: value for key, value in self.arguments().items() if key not in given}
        try:
            # Parameters are what users wrote: they appear in no error.
            return create_engine(self._url, connect_args=arguments, hide_parameters=True, **options)
        except (ArgumentError, NoSuchModuleError, TypeError, ValueError):
            raise self._unreadable() from None

    def _first_connection(self, engine: Engine) -> Connection:
        """A connection of ``engine``. Raises InvalidUrl for parameters that the driver refuses,
        whatever it raises for them."""
        try:
            return engine.connect()
        except DBAPIError as error:
            if not self._url.query or not self.is_the_drivers(error):
                raise
        except (AttributeError, LookupError, OSError, TypeError, ValueError):
            if not self._url.query:
                raise
        raise self._unreadable()

    def _unreadable(self) -> InvalidUrl:
        return InvalidUrl(
            f"{self.name} has a URL that its driver cannot read.",
            hint="Check the parameters behind the question mark.",
        )

    def _reader_engine(self) -> Engine:
        # Every read is one statement, or is right whatever happens between its statements.
        return self._create_engine(
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=database.READERS,
            pool_timeout=database.READER_SECONDS,
            max_overflow=0,
            pool_reset_on_return=None,
            skip_autocommit_rollback=True,
        )

    def _connect(self, engine: Engine) -> Connection:
        """A connection that holds the exclusive right and commits to the disk."""
        connection = self._first_connection(engine)
        try:
            with connection.begin():
                self.take_lock(connection)
                self.set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    # Writing

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        for attempt in range(1, _ATTEMPTS + 1):
            connection = self._connection or self._reconnect()
            try:
                return work(connection)
            except DBAPIError as error:
                if error.connection_invalidated:
                    self._let_go()
                    raise
                if attempt == _ATTEMPTS or not self.gave_way(error):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _reconnect(self) -> Connection:
        if self._engine is None:
            raise StoreError(f"{self.name} is not open.", hint="Call open() first.")
        connection = self._connect(self._engine)
        try:
            with connection.begin():
                self._check_identity(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        _logger.info("%s is connected again", self.name)
        return connection

    def _check_identity(self, connection: Connection) -> None:
        if self.identity(connection) != self._opened:
            raise StoreError(
                f"{self.name} was replaced by another store while it was open.",
                hint="Close it and open it again, to begin with what is there now.",
            )

    # What each kind knows

    @abstractmethod
    def arguments(self) -> Mapping[str, object]:
        """Arguments of the driver's ``connect``, unless the URL has them."""

    @abstractmethod
    def take_lock(self, connection: Connection) -> None:
        """Take the session's exclusive lock; raises StoreBusy."""

    @abstractmethod
    def set_up(self, connection: Connection) -> None:
        """Set what the writing session needs, and warn of what makes commits not durable."""

    @abstractmethod
    def identity(self, connection: Connection) -> str:
        """What tells the store in this database from a copy of it."""

    @abstractmethod
    def gave_way(self, error: DBAPIError) -> bool:
        """Whether the database rolled the transaction back in favour of another."""

    @abstractmethod
    def is_the_drivers(self, error: DBAPIError) -> bool:
        """Whether the driver refused what it was given, before a server said anything."""

    @abstractmethod
    def translate(self, error: DBAPIError) -> StoreError: ...

    # Errors

    def problems(self, connection: Connection) -> list[str]:
        return []  # a server checks its pages as it reads them

    @contextmanager
    def translated(self) -> Generator[None]:
        try:
            with translated(self.name, self.translate):
                yield
        except StoreError as error:
            if not self._secrets.shown_by(error):
                raise
            raise self._secrets.hidden(error, self.name) from None

    def warn(self, setting: str) -> None:
        _logger.warning(
            "%s is on a server with %s: what is acknowledged can be lost in a power cut",
            self.name,
            setting,
        )

    def busy(self, holder: str) -> StoreBusy:
        return StoreBusy(
            f"{self.name} is already open in {holder}.",
            hint="Close it there first, or give this program a database of its own; to look "
            "without writing, use `syncline inspect`, or SqlStore(…, exclusive=False).",
            retry_after=RETRY_SECONDS,
        )

    def locked(self) -> StoreBusy:
        return StoreBusy(
            f"Another program keeps rows of {self.name[4:]} locked.",
            hint="End its transaction, or try again.",
            retry_after=1.0,
        )

    def full(self, error: DBAPIError) -> StoreFailed:
        return StoreFailed(
            f"The disk is full: nothing was written to {self.name[4:]} ({_first_line(error)}).",
            hint="Free some disk space on the server; reading goes on meanwhile.",
            retry_after=RETRY_SECONDS,
        )

    def failed(self, error: DBAPIError) -> StoreFailed:
        return StoreFailed(
            f"{self.name} cannot be reached or failed: {_first_line(error)}.",
            hint="Check the server; what failed can be tried again.",
            retry_after=RETRY_SECONDS,
        )

    def refused(self, error: DBAPIError) -> StoreError:
        return StoreError(
            f"{self.name} refused: {_first_line(error)}.",
            hint="Check that the database exists, and the user, the password and the rights.",
        )

    def broken(self, error: DBAPIError) -> StoreError:
        return damaged(self.name, _first_line(error))


def _first_line(error: DBAPIError) -> str:
    """What the driver says, without the lines that may quote values."""
    said: tuple[Any, ...] = error.orig.args if error.orig is not None else ()
    text = next((part for part in reversed(said) if isinstance(part, str)), None)
    lines = (text or str(error.orig) or type(error.orig).__name__).strip().splitlines()
    return lines[0].strip().rstrip(".")
