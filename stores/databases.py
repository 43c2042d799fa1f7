"""What an SQL store needs of the database that it is in, and the way from a URL to it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from syncline.engine.errors import InvalidUrl, StoreBusy, StoreError

from .faults import BrokenRow, damaged
from .schema import LAYOUT

_T = TypeVar("_T")

READERS = 8
"""Connections for reading; further threads wait for one."""

READER_SECONDS = 30.0
"""How long they wait."""

RETRY_SECONDS = 5.0
"""When to try again what a full disk, a failing one or an absent server refused."""

_HINT = (
    'Write a path, "sqlite:///folder/app.db" (four slashes for an absolute path), '
    '"postgresql://user@host/database" or "mariadb://user@host/database".'
)


class Database(Protocol):
    """One database that holds, or is to hold, the tables of a store."""

    @property
    def name(self) -> str:
        """The store in a sentence: "The store /data/app.db". It never holds a password."""
        ...

    @property
    def path(self) -> Path | None:
        """The file that it is, if it is one."""
        ...

    def acquire(self) -> None:
        """Begin to open for writing. Raises StoreBusy when this object has it open already."""
        ...

    def open_to_write(self) -> Engine:
        """Hold the exclusive right to write, bring the tables to today's layout; return readers.

        Raises StoreBusy when somebody else has that right.
        """
        ...

    def writer_engine(self) -> Engine:
        """Connections that write, without the exclusive right."""
        ...

    def open_to_look(self) -> Engine:
        """Readers of a store that exists, and that others may be writing."""
        ...

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        """What ``work`` makes of the connection that writes, on which no transaction runs.

        ``work`` runs again when the database gave its transaction up in favour of another. A
        connection that was lost is made anew with the next call.
        """
        ...

    def close(self) -> None:
        """Give up the connection that writes and the exclusive right; twice is allowed."""
        ...

    def fingerprint(self) -> str:
        """What tells this database, which is open, from a copy of it."""
        ...

    def problems(self, connection: Connection) -> list[str]:
        """What the database itself finds wrong with its structure."""
        ...

    def translated(self) -> AbstractContextManager[None]:
        """Turns what SQLAlchemy and the driver raise inside into Syncline's errors."""
        ...


def database_of(url_or_path: str | Path) -> Database:
    """The database that a path or a URL names. Raises InvalidUrl, StoreError without a driver."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        from .sqlite import SqliteFile

        return SqliteFile(Path(_file_name(str(url_or_path))))
    try:
        url = make_url(url_or_path)
    except (ArgumentError, ValueError):
        # Not quoted: it may hold a password.
        raise InvalidUrl("The store URL cannot be read.", hint=_HINT) from None
    match url.get_backend_name():
        case "sqlite":
            from .sqlite import SqliteFile

            return SqliteFile(Path(_file_of_url(url, url_or_path)))
        case "postgresql":
            from .postgresql import PostgreSql

            return PostgreSql(url)
        case "mariadb" | "mysql":
            from .mariadb import MariaDb

            return MariaDb(url)
        case other:
            raise InvalidUrl(f"Syncline has no store for {other}.", hint=_HINT)


def _file_of_url(url: URL, given: str) -> str:
    shown = repr(given if url.password is None else url.render_as_string(hide_password=True))
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InvalidUrl(
            f"{shown} asks for a driver that is not blocking.",
            hint='Write "sqlite:///folder/app.db": stores use threads, not asyncio.',
        )
    if url.host or url.query or (url.database or "").startswith("file:"):
        raise InvalidUrl(
            f"{shown} has more than a path.",
            hint='Write "sqlite:///folder/app.db", with four slashes for an absolute path, and '
            "without parameters.",
        )
    return _file_name(url.database or "", shown)


def _file_name(name: str, shown: str | None = None) -> str:
    if not name or ":memory:" in name:
        raise InvalidUrl(
            f"{shown or repr(name)} names no file.",
            hint='Write "sqlite:///folder/app.db" or a path; for a store that lives in memory use '
            "MemoryStore().",
        )
    return name


@contextmanager
def translated(name: str, translate: Callable[[DBAPIError], StoreError]) -> Generator[None]:
    """Turn what SQLAlchemy raises inside into Syncline's errors; ``translate`` the driver's."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error) from error
    except PoolTimeout as error:
        raise StoreBusy(
            f"More than {READERS} threads read {_inside(name)} at once, and none finished.",
            hint="Read from fewer threads, or try again.",
            retry_after=1.0,
        ) from error
    except (BrokenRow, UnicodeDecodeError) as error:
        raise damaged(name, str(error)) from error
    except (StatementError, OverflowError, UnicodeEncodeError) as error:
        raise cannot_hold(name, error) from error


def cannot_hold(name: str, why: BaseException | None) -> StoreError:
    return StoreError(
        f"{name} cannot hold a value: {why}.",
        hint="Integers must fit in 64 bits, bytes in 1 GB, and text must be valid Unicode.",
    )


def check_layout(name: str, layout: str | None) -> None:
    """Raise StoreError unless what was found can be read as it is."""
    if layout is None:
        raise StoreError(
            f"{name} is empty.",
            hint="Correct the path or URL; a store is created when it is opened for writing.",
        )
    if layout != LAYOUT:
        raise StoreError(
            f"{name} has the older layout {layout}.",
            hint="Open it once for writing: that brings it to this Syncline's layout.",
        )


def _inside(name: str) -> str:
    """A name that began a sentence, inside of one."""
    return name[0].lower() + name[1:]
