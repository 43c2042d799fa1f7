"""A system: one database that takes part in a pipeline, and transactions in it."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from syncline.connectors.database.packets import refuse_large_packets
from syncline.connectors.file.spec import SystemSpec
from syncline.connectors.report import RowRefusal
from syncline.engine.errors import ConnectorError, SystemRefused, SystemUnavailable
from syncline.stores.databases.backends import BACKENDS
from syncline.stores.databases.error_codes import gave_way, is_foreign_key, is_transient

RETRY_SECONDS = 5.0
"""When a system that could not be reached is tried again."""
LOCK_SECONDS = 30
"""How long a statement waits for a row that somebody else changes."""
CONNECT_SECONDS = 10
SILENT_SECONDS = 30
"""How long the other end of a connection may be silent until it is asked whether it is there."""
_KEEPALIVES = {
    "keepalives_idle": SILENT_SECONDS,
    "keepalives_interval": SILENT_SECONDS // 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 2 * SILENT_SECONDS * 1000,
}
"""For libpq: a connection of which nobody is at the other end any more is noticed in a minute."""


class System:
    """One database. Transactions see the last commit at each statement (READ COMMITTED; in SQLite
    one moment), times are UTC, and what does not fit is refused.

    Raises SystemRefused if the driver is missing or a SQLite file does not exist.
    """

    def __init__(self, spec: SystemSpec) -> None:
        self.name = spec.name
        url = sa.make_url(spec.url)
        backend = url.get_backend_name()
        if url.drivername in BACKENDS and backend != "sqlite":
            driver, _ = BACKENDS[backend].drivers[0]
            url = url.set(drivername=f"{backend}+{driver}")
        self.label = f"{spec.name} ({backend})"
        try:
            self.engine = self._engine(url)
        except (ImportError, NoSuchModuleError) as error:
            known = BACKENDS.get(backend)
            raise SystemRefused(
                f"{self.label} needs a driver that is not installed.",
                hint=f'pip install "syncline[{known.extra}]"'
                if known and known.extra
                else f"Use one of {', '.join(BACKENDS)}.",
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
                    connect_args={"connect_timeout": CONNECT_SECONDS, **_KEEPALIVES},
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
                refuse_large_packets(engine)
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
    def undone(self) -> Generator[sa.Connection]:
        """A transaction that may write, and leaves nothing: it is rolled back in any case. Raises
        as ``writing`` does."""
        with self.translated(), self.engine.connect() as connection:
            connection.detach()  # MariaDB would keep its temporary tables in the pool
            transaction = connection.begin()
            try:
                yield connection
            finally:
                transaction.rollback()

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
        lost = error.connection_invalidated
        if lost or is_transient(error):
            return SystemUnavailable(
                f"{self.label} cannot be used at the moment: {reason}.",
                hint="It is tried again; its changes wait. Check that it runs if this goes on.",
                retry_after=0.0 if gave_way(error) and not lost else RETRY_SECONDS,
            )
        return SystemRefused(
            f"{self.label} refused: {reason}.",
            hint="Check the rights of the user in its URL, and its tables.",
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()


def refusal_of(error: DBAPIError, field: str = "") -> RowRefusal:
    """Why the database did not take a row: the rule ``parent`` for a foreign key, else
    ``database``."""
    reason = reason_of(error)
    if is_foreign_key(error):
        message = f"It refers to a row that is not there: {reason}."
        return RowRefusal(field, "parent", message, "It goes on as soon as that row is there.")
    message = f"The database did not take it: {reason}."
    return RowRefusal(field, "database", message, "Correct the row, or the table that it goes to.")


def reason_of(error: DBAPIError) -> str:
    """The database's own first line about a failure."""
    original: Any = error.orig
    code_and_text = getattr(original, "args", ())
    text = code_and_text[-1] if code_and_text and isinstance(code_and_text[-1], str) else original
    return (str(text).strip().splitlines() or ["no reason given"])[0].rstrip(".")


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


def keep_alive(connection: socket.socket | None) -> None:
    """As _KEEPALIVES, for a driver that has no such settings, where the system has them."""
    settings = {
        "TCP_KEEPIDLE": SILENT_SECONDS,
        "TCP_KEEPINTVL": SILENT_SECONDS // 3,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 2 * SILENT_SECONDS * 1000,
    }
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in settings.items():
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _prepare_postgresql(connection: Any, _: object) -> None:
    from psycopg.types.string import TextLoader

    for name in ("date", "timestamp", "timestamptz"):
        oid = connection.adapters.types[name].oid
        connection.adapters.register_loader(oid, _loader_of_all(connection.adapters, oid))
    for name in ("json", "jsonb"):  # exactly as they are: parsing would round numbers
        oid = connection.adapters.types[name].oid
        connection.adapters.register_loader(oid, TextLoader)
    with connection.cursor() as cursor:
        cursor.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = '{LOCK_SECONDS}s'")
    connection.commit()


def _prepare_mariadb(connection: Any, _: object) -> None:
    keep_alive(getattr(connection, "_sock", None))
    with connection.cursor() as cursor:
        cursor.execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
            f" time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_SECONDS}"
        )
