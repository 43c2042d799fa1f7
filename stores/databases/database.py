"""What an SQL store needs of the database that it is in, and errors that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from syncline.engine.errors import StoreBusy, StoreError
from syncline.stores.faults import BrokenRow, damaged
from syncline.stores.tables.schema import LAYOUT

_T = TypeVar("_T")

READERS = 8
"""Connections for reading; further threads wait for one."""

READER_SECONDS = 30.0
"""How long they wait."""

RETRY_SECONDS = 5.0
"""When to try again what a full disk, a failing one or an absent server refused."""


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
