"""Rows that MariaDB does not take because of their size: it would end the connection, as a server
that is lost does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

_ROOM = 8 << 10
"""Bytes for the rest of a statement."""

_ESCAPED = (b"\0", b"\n", b"\r", b"\x1a", b'"', b"'", b"\\")


def refuse_large_packets(engine: sa.Engine) -> None:
    """Let statements of an engine with PyMySQL be refused before they are sent, if one row of them
    is larger than the server takes."""
    event.listen(engine, "connect", _learn)
    event.listen(engine, "before_cursor_execute", _check)


def _learn(connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        record.info["packet"] = int(cursor.fetchone()[0])


def _check(
    connection: sa.Connection,
    _cursor: Any,
    statement: str,
    parameters: Any,
    _context: Any,
    executemany: bool,
) -> None:
    most = cast("int", connection.connection.info["packet"]) - _ROOM
    for row in parameters if executemany else (parameters,):
        values = cast("Iterable[Any]", row.values() if isinstance(row, Mapping) else row or ())
        large = [value for value in values if isinstance(value, str | bytes)]
        # In UTF-8 a character has four bytes at most.
        if sum(map(len, large)) * 4 > most and sum(map(_size, large)) > most:
            raise _refusal(connection, statement, most)


def _size(value: str | bytes) -> int:
    """How many bytes a value has in a statement: some characters have a backslash before them."""
    sent = value.encode(errors="replace") if isinstance(value, str) else value
    return len(sent) + sum(sent.count(each) for each in _ESCAPED)


def _refusal(connection: sa.Connection, statement: str, most: int) -> DBAPIError:
    driver: Any = connection.dialect.loaded_dbapi
    message = f"The row is larger than max_allowed_packet, {most:,} bytes"
    error = driver.DataError(1153, message)
    return cast(
        "DBAPIError",
        DBAPIError.instance(statement, None, error, driver.Error, dialect=connection.dialect),
    )
