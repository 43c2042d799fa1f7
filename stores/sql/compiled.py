"""Statements compiled once and executed with plain values: for the busy ones.

Preparing parameters in SQLAlchemy costs as much as SQLite needs to store a row, and several times
what a lookup does. The types used here (integers, text, bytes, booleans, None) are the driver's
own, so there is nothing to convert.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    CursorResult,
    Delete,
    Dialect,
    Insert,
    Select,
    Update,
    bindparam,
)

Row: TypeAlias = tuple[Any, ...]

PIECE_BYTES = 2**21
"""Largest value that is sent to MariaDB at once."""

_LENGTHS = (1, 8, 64, 256)  # of the IN lists that are compiled


class Compiled:
    """A statement and the names of its parameters, in the order of a row's values."""

    def __init__(
        self,
        statement: Insert
        | Update
        | Delete
        | Select[*tuple[Any, ...]]
        | CompoundSelect[*tuple[Any, ...]],
        *names: str,
    ) -> None:
        self._statement = statement
        self._names = names
        # By dialect and driver: stores of several databases may be open in one program.
        self._texts: dict[tuple[str, str], tuple[str, bool]] = {}

    def query(self, connection: Connection, row: Row) -> CursorResult[*tuple[Any, ...]]:
        """What a SELECT finds, with the values of ``row``."""
        text, positional = self._compiled(connection.dialect)
        return connection.exec_driver_sql(text, row if positional else self._named(row))

    def change(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Execute the statement once for each of ``rows``; nothing happens without any.

        Returns how many rows of the table that concerned, or fewer where the driver cannot tell.
        """
        if not rows:
            return 0
        text, positional = self._compiled(connection.dialect)
        if connection.dialect.name == "mariadb":
            count, rows = _change_large(connection, text, rows)
            return count + (connection.exec_driver_sql(text, rows).rowcount if rows else 0)
        values: Any = list(rows) if positional else [self._named(row) for row in rows]
        return connection.exec_driver_sql(text, values).rowcount

    def _named(self, row: Row) -> dict[str, Any]:
        return dict(zip(self._names, row, strict=True))

    def _compiled(self, dialect: Dialect) -> tuple[str, bool]:
        """The statement as the driver takes it, and whether its parameters go by position."""
        key = (dialect.name, dialect.driver)
        found = self._texts.get(key)
        if found is None:
            columns = list(self._names) if isinstance(self._statement, Insert) else None
            compiled = self._statement.compile(dialect=dialect, column_keys=columns)
            order = compiled.positiontup if compiled.positional else self._names
            if tuple(order or ()) != self._names:
                raise ValueError(f"the parameters of {compiled} are {order}, not {self._names}")
            found = self._texts[key] = (str(compiled), compiled.positional)
        return found


def _change_large(connection: Connection, text: str, rows: Sequence[Row]) -> tuple[int, list[Row]]:
    """Send what is too large for one packet piece by piece; return what is left to send.

    MariaDB takes no statement above max_allowed_packet, by default 16 MiB, and drivers send bytes
    as hexadecimal digits: an update of 8 MiB would not fit. Variables of the session gather it.
    """
    count = 0
    small: list[Row] = []
    for row in rows:
        if not any(isinstance(value, bytes) and len(value) > PIECE_BYTES for value in row):
            small.append(row)
            continue
        parts = text.split("%s")
        statement, values, variables = parts[0], list[Any](), 0
        for value, following in zip(row, parts[1:], strict=True):
            if isinstance(value, bytes) and len(value) > PIECE_BYTES:
                names: list[str] = []
                for start in range(0, len(value), PIECE_BYTES):
                    names.append(f"@syncline_{variables}")
                    piece = value[start : start + PIECE_BYTES]
                    connection.exec_driver_sql(f"SET {names[-1]} = %s", (piece,))
                    variables += 1
                statement += f"CONCAT({', '.join(names)}){following}"
            else:
                statement += f"%s{following}"
                values.append(value)
        count += connection.exec_driver_sql(statement, tuple(values)).rowcount
        for number in range(variables):
            connection.exec_driver_sql(f"SET @syncline_{number} = NULL")
    return count, small


def in_lengths(values: Sequence[Any]) -> Iterator[list[Any]]:
    """``values`` in lists of few different lengths, so that few statements are compiled."""
    longest = _LENGTHS[-1]
    for start in range(0, len(values), longest):
        some = list(values[start : start + longest])
        length = next(length for length in _LENGTHS if length >= len(some))
        yield some + some[-1:] * (length - len(some))  # the same value again finds nothing more


class Lookup:
    """A SELECT by a list of values in one column, after the values of the parameters ``names``."""

    def __init__(
        self, statement: Select[*tuple[Any, ...]], column: ColumnElement[Any], *names: str
    ) -> None:
        self._statement = statement
        self._column = column
        self._names = names
        self._compiled: dict[int, Compiled] = {}

    def find(self, connection: Connection, row: Row, values: Sequence[Any]) -> Iterator[Row]:
        """The rows found for ``values``, in any order."""
        for some in in_lengths(values):
            length = len(some)
            if length not in self._compiled:
                self._compiled[length] = self._of_length(length)
            yield from self._compiled[length].query(connection, (*row, *some)).all()

    def _of_length(self, length: int) -> Compiled:
        listed = [f"listed_{n}" for n in range(length)]
        statement = self._statement.where(self._column.in_([bindparam(name) for name in listed]))
        return Compiled(statement, *self._names, *listed)
