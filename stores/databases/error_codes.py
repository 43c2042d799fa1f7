"""What databases say went wrong: where each driver keeps the code, and what the codes mean.

SQLite has result codes (sqlite.org/rescode.html), PostgreSQL has SQLSTATEs (appendix A of its
manual), MariaDB has numbers of its own: most of its SQLSTATEs are HY000. No number means two things
here, so each is in one set.
"""

from __future__ import annotations

import sqlite3
from typing import Any, cast

from sqlalchemy.exc import DBAPIError

# MariaDB's numbers

DUPLICATE_KEY = frozenset({1062})
LOCK_TIMEOUT = frozenset({1205})
GAVE_WAY = frozenset({1020, 1213})
"""Another transaction came first: this one may run again at once."""
UNREACHABLE = frozenset({1040, 1053, 1927, 2002, 2003, 2006, 2013})
"""No server, too many connections, a server that stops, a connection that it lost or killed."""
DISK_FULL = frozenset({3, 28, 1021, 1026, 1114})
NO_RIGHT = frozenset({1044, 1045, 1049, 1142, 1143, 1290, 1698, 1792, 1836})
"""No right to the server, a database or a table; no such database; a server that only reads."""
DOES_NOT_FIT = frozenset({1264, 1366, 1406})
FOREIGN_KEY = frozenset({1216, 1451, 1452})
OTHER_TABLES = frozenset({145, 1034, 1054, 1146, 1194, 1195, 1364, 1877, 1932})
"""Tables that are damaged, or not those that a statement was written for."""
PACKET_TOO_LARGE = frozenset({1153, 1301})

# PostgreSQL's states

STATE_FOREIGN_KEY = "23503"
STATE_LOCK_TIMEOUT = "55P03"
STATES_GAVE_WAY = ("40001", "40P01")
"""As GAVE_WAY: it could not be serialized, or was in a deadlock."""
_TRANSIENT_CLASSES = ("08", "40", "53", "57")
"""Connection, rollback, resources, and an operator's intervention such as a shutdown."""

# SQLite's codes

_TRANSIENT_RESULTS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_FILE_RESULTS = (
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)


def number_of(error: DBAPIError) -> int | None:
    """MariaDB's number; None from other databases."""
    said = _first_argument(error)
    if isinstance(said, int):
        return said
    number = getattr(error.orig, "errno", None)  # of the MariaDB connector
    return number if isinstance(number, int) else None


def state_of(error: DBAPIError) -> str | None:
    """The SQLSTATE, where each driver keeps it; None from SQLite, and from a driver that failed
    before a server answered."""
    for name in ("sqlstate", "pgcode"):
        code = getattr(error.orig, name, None)
        if isinstance(code, str):
            return code
    said = _first_argument(error)
    if isinstance(said, dict):  # pg8000's
        code = cast("dict[str, Any]", said).get("C")
        return code if isinstance(code, str) else None
    return None


def extended_result_of(error: DBAPIError) -> int | None:
    """SQLite's extended result code; None from other databases, and when Python's driver failed,
    as on broken UTF-8."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code if isinstance(code, int) else None


def result_of(error: DBAPIError) -> int | None:
    """SQLite's primary result code, such as ``sqlite3.SQLITE_BUSY``; None as above."""
    extended = extended_result_of(error)
    return None if extended is None else extended & 0xFF


def gave_way(error: DBAPIError) -> bool:
    """Whether the database gave a transaction up in favour of another: it may run again at once."""
    return number_of(error) in GAVE_WAY or state_of(error) in STATES_GAVE_WAY


def is_transient(error: DBAPIError) -> bool:
    """Whether trying again may help: the server is away, or others hold what is needed."""
    if isinstance(error.orig, sqlite3.Error):
        return result_of(error) in _TRANSIENT_RESULTS
    if (number := number_of(error)) is not None:
        return number in GAVE_WAY | LOCK_TIMEOUT | UNREACHABLE
    if (state := state_of(error)) is not None:
        return state[:2] in _TRANSIENT_CLASSES or state == STATE_LOCK_TIMEOUT
    # psycopg has no state for a server that it could not connect to.
    kind = cast("type[Any]", type(error.orig))
    return kind.__name__ == "OperationalError" and kind.__module__.startswith("psycopg")


def is_foreign_key(error: DBAPIError) -> bool:
    """Whether a row refers to one that is not there, or is referred to by one that is."""
    return (
        state_of(error) == STATE_FOREIGN_KEY
        or number_of(error) in FOREIGN_KEY
        or extended_result_of(error) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
    )


def is_of_database(error: DBAPIError) -> bool:
    """Whether no row would be taken: a right is missing, or the file or server is read-only."""
    return number_of(error) in NO_RIGHT or result_of(error) in _FILE_RESULTS


def _first_argument(error: DBAPIError) -> Any:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None
