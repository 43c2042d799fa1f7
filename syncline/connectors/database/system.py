"""A system: one database that takes part in a pipeline, and transactions in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from syncline.connectors.file.spec import SystemSpec
from syncline.connectors.report import Refusal
from syncline.engine.errors import ConnectorError, SystemRefused, SystemUnavailable

RETRY_SECONDS = 5.0
"""When a system that could not be reached is tried again."""
LOCK_SECONDS = 30
"""How long a statement waits for a row that somebody else changes."""
CONNECT_SECONDS = 10

_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}


class System:
    """One database. Transactions see the last commit at each statement (READ COMMITTED; in SQLite
    one moment), times are UTC, and what does not fit is refused.

    Raises SystemRefused if the driver is missing or a SQLite file does not exist.
    """

    def __init__(self, spec: SystemSpec) -> None:
        self.name = spec.name
        url = sa.make_url(spec.url)
        backend = url.get_backend_name()
        if url.drivername in _DRIVERS:
            url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
        self.label = f"{spec.name} ({backend})"
        try:
            self.engine = self._engine(url)
        except (ImportError, NoSuchModuleError) as error:
            raise SystemRefused(
                f"{self.label} needs a driver that is not installed.",
                hint=f'pip install "syncline[{_EXTRAS.get(backend, "postgres")}]"',
            ) from error
        self.dialect = self.engine.dialect.name
        # mariadb is a dialect of its own by name; everything here is the same for both.
        if self.dialect == "mariadb":
            self.dialect = "mysql"
        self._keeps = False
        self._kept: sa.Connection | None = None

    def _engine(self, url: sa.URL) -> sa.Engine:
        match url.get_backend_name():
            case "sqlite":
                return _sqlite_engine(url, self.label)
            case "postgresql":
                engine = sa.create_engine(
                    url,
                    isolation_level="READ COMMITTED",
                    pool_size=2,
                    connect_args={"connect_timeout": CONNECT_SECONDS},
                )
                event.listen(engine, "connect", _prepare_postgresql)
                return engine
            case _:
                engine = sa.create_engine(
                    url,
                    isolation_level="READ COMMITTED",
                    pool_size=2,
                    connect_args={"connect_timeout": CONNECT_SECONDS, "charset": "utf8mb4"},
                )
                event.listen(engine, "connect", _prepare_mariadb)
                return engine

    @contextmanager
    def kept(self) -> Generator[None]:
        """Transactions inside use one connection to SQLite, one after the other. Not for longer
        than a sync: a file that is open must not be replaced. (Servers have a pool.)"""
        self._keeps = self.dialect == "sqlite"
        try:
            yield
        finally:
            self._keeps = False
            if self._kept is not None:
                self._kept.close()
                self._kept = None

    @contextmanager
    def _connected(self) -> Generator[sa.Connection]:
        if self._keeps and self._kept is None:
            self._kept = self.engine.connect()
        if self._kept is None or self._kept.in_transaction():
            with self.engine.connect() as connection:
                yield connection
        else:
            try:
                yield self._kept
            finally:
                self._kept.rollback()

    @contextmanager
    def writing(self) -> Generator[sa.Connection]:
        """A transaction that may write. Its changes are marked as Syncline's own, so that triggers
        tell them from the user's. Raises SystemUnavailable, ConnectorError."""
        with self.translated(), self._connected() as connection:
            connection.execution_options(syncline_reading=False)
            with connection.begin():
                match self.dialect:
                    case "postgresql":
                        connection.exec_driver_sql(
                            "SELECT set_config('syncline.origin', 'own', true)"
                        )
                    case "mysql":
                        connection.exec_driver_sql("SET @syncline_origin = 'own'")
                    case _:
                        pass  # SQLite has no session variables, and one writer at a time
                yield connection

    @contextmanager
    def reading(self) -> Generator[sa.Connection]:
        """A transaction that only reads. Raises as ``writing`` does."""
        with self.translated(), self._connected() as connection:
            yield connection.execution_options(syncline_reading=True)

    @contextmanager
    def translated(self) -> Generator[None]:
        """Turns what the database raises into ConnectorError, or SystemUnavailable when trying
        again may help."""
        try:
            yield
        except DBAPIError as error:
            raise self.error_of(error) from error

    def error_of(self, error: DBAPIError) -> ConnectorError:
        """What a failure of the database means. Neither values nor passwords are in it."""
        reason = reason_of(error)
        if error.connection_invalidated or is_passing(error):
            return SystemUnavailable(
                f"{self.label} cannot be used at the moment: {reason}.",
                hint="It is tried again; its changes wait. Check that it runs if this goes on.",
                retry_after=RETRY_SECONDS if error.connection_invalidated else _wait(error),
            )
        return SystemRefused(
            f"{self.label} refused: {reason}.",
            hint="Check the rights of the user in its URL, and its tables.",
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()


def refusal_of(error: DBAPIError, field: str = "") -> Refusal:
    """Why the database did not take a row: the rule ``parent`` for a foreign key, else
    ``database``."""
    original: Any = error.orig
    state = getattr(original, "sqlstate", "") or ""
    number = getattr(original, "args", ("",))[0]
    code = getattr(original, "sqlite_errorcode", 0)
    reason = reason_of(error)
    if state == "23503" or number in (1216, 1452, 1451) or code == _SQLITE_FOREIGN_KEY:
        message = f"It refers to a row that is not there: {reason}."
        return Refusal(field, "parent", message, "It goes on as soon as that row is there.")
    message = f"The database did not take it: {reason}."
    return Refusal(field, "database", message, "Correct the row, or the table that it goes to.")


_SQLITE_FOREIGN_KEY = 787


def reason_of(error: DBAPIError) -> str:
    """The database's own first line about a failure."""
    original: Any = error.orig
    code_and_text = getattr(original, "args", ())
    text = code_and_text[-1] if code_and_text and isinstance(code_and_text[-1], str) else original
    return (str(text).strip().splitlines() or ["no reason given"])[0].rstrip(".")


def _wait(error: DBAPIError) -> float:
    """0 where the database gave up a transaction in favour of another: it may run at once."""
    original: Any = error.orig
    given_up = str(getattr(original, "sqlstate", None) or "")[:2] == "40"
    return 0.0 if given_up or getattr(original, "args", ("",))[0] == 1213 else RETRY_SECONDS


_PASSING_MYSQL = {1205, 1213, 2002, 2003, 2006, 2013, 1040, 1053, 1927}
_PASSING_SQLITE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_passing(error: DBAPIError) -> bool:
    """Whether trying again may help: the server is away, or others hold what is needed."""
    original: Any = error.orig
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in _PASSING_SQLITE
    state = getattr(original, "sqlstate", None)
    if state is not None:  # 08: connection; 40: deadlock; 53: resources; 55P03: lock; 57: shutdown
        return str(state)[:2] in ("08", "40", "53", "57") or state == "55P03"
    arguments = getattr(original, "args", ())
    if arguments and arguments[0] in _PASSING_MYSQL:
        return True
    # psycopg has no state for a server that it could not connect to
    kind = cast("type[Any]", type(original))
    return kind.__name__ == "OperationalError" and kind.__module__.startswith("psycopg")


def _sqlite_engine(url: sa.URL, label: str) -> sa.Engine:
    file = url.database or ""
    if not file.startswith("file:") and not Path(file).is_file():
        raise SystemRefused(
            f"{label}: there is no file {file}.",
            hint="Correct the URL; relative paths start from the working directory.",
        )

    engine = sa.create_engine(url, poolclass=NullPool)

    def connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # no transaction but those begun below
        connection.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.text_factory = _text_or_bytes

    def begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("syncline_reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)
    return engine


def _text_or_bytes(value: bytes) -> str | bytes:
    """SQLite keeps what it is given as text: a value that is none must not stop others."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _loader_of_all(adapters: Any, oid: int) -> Any:
    """A loader that gives what Python has no value for, such as ``infinity``, as text."""
    from psycopg import DataError
    from psycopg.adapt import Loader
    from psycopg.pq import Format

    strict = adapters.get_loader(oid, Format.TEXT)

    class LoaderOfAll(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._load = strict(oid, context).load

        def load(self, data: Any) -> Any:
            try:
                return self._load(data)
            except DataError:
                return bytes(data).decode()

    return LoaderOfAll


def _prepare_postgresql(connection: Any, _: object) -> None:
    for name in ("date", "timestamp", "timestamptz"):
        oid = connection.adapters.types[name].oid
        connection.adapters.register_loader(oid, _loader_of_all(connection.adapters, oid))
    with connection.cursor() as cursor:
        cursor.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = '{LOCK_SECONDS}s'")
    connection.commit()


def _prepare_mariadb(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
            f" time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_SECONDS}"
        )
