"""Triggers that note the primary keys of changed rows.

Each pipeline has triggers of its own, so that two that read one database do not take each other's
notes. A trigger notes the key only: one that listed columns would break with the user's next
migration. Its name holds a digest of what it does, so a trigger that is there is up to date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias

import sqlalchemy as sa

from .tables import PREFIX, Table
from .values import ValueKind

DIRTY = f"{PREFIX}dirty"
"""The table of notes: seq, pipeline, tbl, pk (null: any row), origin (own: written by a pass), at
(milliseconds), gone (1: the row with that key went)."""

Quote: TypeAlias = Callable[[str], str]


class TriggerSet:
    """The triggers of one pipeline on one table."""

    def __init__(self, pipeline: str, table: Table, connection: sa.Connection) -> None:
        self._table = table.name
        self._quote: Quote = connection.dialect.identifier_preparer.quote
        build = {"sqlite": _sqlite, "postgresql": _postgresql}.get(
            connection.dialect.name, _mariadb
        )
        schema = connection.dialect.default_schema_name or ""
        bodies = build(table, pipeline, self._quote, schema)
        self._prefix = f"{PREFIX}{_digest(pipeline, table.name)}_"
        name = f"{self._prefix}{_digest(*bodies.values())}"
        self._bodies = {f"{name}_{event}": body for event, body in bodies.items()}

    def ensure(self, connection: sa.Connection) -> bool:
        """Make the triggers unless they are there; return whether they had to be made: then changes
        may have gone by unnoted. In MariaDB this ends a transaction that runs."""
        if self.are_present(connection):
            return False
        # By name, too: the table may have been renamed, or PostgreSQL's function have been left.
        _drop(connection, self._present(connection) | set(self._bodies))
        for name, body in self._bodies.items():
            for statement in body.replace("{name}", self._quote(name)).split("\n;;\n"):
                _execute(connection, statement)
        return True

    def are_present(self, connection: sa.Connection) -> bool:
        """Whether the triggers are there, all of them and no others."""
        return self._present(connection) == set(self._bodies)

    def _present(self, connection: sa.Connection) -> set[str]:
        return _present(connection, self._table, self._prefix)


def drop_triggers(pipeline: str, table: str, connection: sa.Connection) -> None:
    """Remove the triggers of a pipeline on a table. In MariaDB this ends a transaction that
    runs."""
    prefix = f"{PREFIX}{_digest(pipeline, table)}_"
    _drop(connection, _present(connection, table, prefix))


def _present(connection: sa.Connection, table: str, prefix: str) -> set[str]:
    """The names of the triggers on a table that are in force, whatever they do."""
    statement = sa.text(_PRESENT.get(connection.dialect.name, _PRESENT["mysql"]))
    found = connection.execute(statement, {"table": table}).scalars()
    return {name for name in found if name.startswith(prefix)}


def _drop(connection: sa.Connection, names: set[str]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    for name in sorted(names):
        if connection.dialect.name == "postgresql":
            # Takes the trigger along.
            _execute(connection, f"DROP FUNCTION IF EXISTS {quote(name)}() CASCADE")
        else:
            _execute(connection, f"DROP TRIGGER IF EXISTS {quote(name)}")


def _execute(connection: sa.Connection, statement: str) -> None:
    connection.execute(sa.text(statement.replace(":", "\\:")))


_PRESENT = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')"
    " AND tgrelid = (SELECT c.oid FROM pg_class c WHERE c.relname = :table"
    " AND c.relnamespace = current_schema()::regnamespace)",
    "mysql": "SELECT trigger_name FROM information_schema.triggers"
    " WHERE trigger_schema = DATABASE() AND event_object_table = :table",
}


def key_expression(table: Table, dialect: str, quote: Quote, row: str = "") -> str:
    """The SQL for the key of a row as a JSON list, as triggers note it; ``row`` is ``NEW.``,
    ``OLD.`` or nothing."""
    parts = ", ".join(
        _key_part(f"{row}{quote(name)}", table.columns[name].kind, dialect) for name in table.key
    )
    match dialect:
        case "sqlite":
            return f"json_array({parts})"
        case "postgresql":
            return f"json_build_array({parts})::text"
        case _:
            return f"JSON_ARRAY({parts})"


def _key_part(column: str, kind: ValueKind, dialect: str) -> str:
    """A column of a key as JSON can have it: numbers and text as they are, the rest as text."""
    match dialect:
        case "sqlite":
            return f"hex({column})" if kind == "bytes" else column
        case "postgresql" if kind == "bytes":
            return f"encode({column}, 'hex')"
        case "postgresql":
            return column if kind in ("int", "text", "bool") else f"{column}::text"
        case _ if kind == "bytes":
            return f"HEX({column})"
        case _:
            return column if kind in ("int", "text") else f"CAST({column} AS CHAR)"


def _sqlite(table: Table, pipeline: str, quote: Quote, _: str) -> dict[str, str]:
    def note(row: str) -> str:
        key = key_expression(table, "sqlite", quote, row)
        return (
            f"INSERT INTO {DIRTY} (pipeline, tbl, pk, at, gone) SELECT {_literal(pipeline)}, "
            f"{_literal(table.name)}, {key}, "
            f"CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), {_gone(row)}"
        )

    moved = " OR ".join(f"OLD.{quote(name)} IS NOT NEW.{quote(name)}" for name in table.key)
    actions = {
        "insert": f"{note('NEW.')};",
        "update": f"{note('NEW.')}; {note('OLD.')} WHERE {moved};",
        "delete": f"{note('OLD.')};",
    }
    return {
        event: f"CREATE TRIGGER {{name}} AFTER {event} ON {quote(table.name)} BEGIN {action} END"
        for event, action in actions.items()
    }


def _postgresql(table: Table, pipeline: str, quote: Quote, schema: str) -> dict[str, str]:
    def note(row: str) -> str:
        key = key_expression(table, "postgresql", quote, row) if row else "NULL"
        return (
            f"INSERT INTO {quote(schema)}.{DIRTY} (pipeline, tbl, pk, origin, at, gone) VALUES "
            f"({_literal(pipeline)}, {_literal(table.name)}, {key}, "
            "NULLIF(current_setting('syncline.origin', true), ''), "
            f"(extract(epoch FROM clock_timestamp()) * 1000)::bigint, {_gone(row)});"
        )

    moved = " OR ".join(
        f"OLD.{quote(name)} IS DISTINCT FROM NEW.{quote(name)}" for name in table.key
    )
    actions = {
        "insert": note("NEW."),
        "update": f"{note('NEW.')} IF {moved} THEN {note('OLD.')} END IF;",
        "delete": note("OLD."),
        "truncate": note(""),
    }
    # With the rights of who set the pipeline up: those who write the table need none on the notes.
    return {
        event: f"CREATE FUNCTION {{name}}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
        f"SET search_path = pg_catalog AS $syncline$ BEGIN {action} RETURN NULL; END $syncline$"
        f"\n;;\nCREATE TRIGGER {{name}} AFTER {event} ON {quote(schema)}.{quote(table.name)} "
        f"FOR EACH {'STATEMENT' if event == 'truncate' else 'ROW'} EXECUTE FUNCTION {{name}}()"
        for event, action in actions.items()
    }


def _mariadb(table: Table, pipeline: str, quote: Quote, _: str) -> dict[str, str]:
    def note(row: str) -> str:
        key = key_expression(table, "mysql", quote, row)
        return (
            f"INSERT INTO {DIRTY} (pipeline, tbl, pk, origin, at, gone) VALUES "
            f"({_literal(pipeline)}, {_literal(table.name)}, {key}, @syncline_origin, "
            f"CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED), {_gone(row)});"
        )

    # BINARY: keys that differ in case only are two.
    moved = " OR ".join(
        f"NOT (BINARY OLD.{quote(name)} <=> BINARY NEW.{quote(name)})" for name in table.key
    )
    actions = {
        "insert": note("NEW."),
        "update": f"BEGIN {note('NEW.')} IF {moved} THEN {note('OLD.')} END IF; END",
        "delete": note("OLD."),
    }
    return {
        event: f"CREATE TRIGGER {{name}} AFTER {event} ON {quote(table.name)} FOR EACH ROW {action}"
        for event, action in actions.items()
    }


def _gone(row: str) -> int:
    """1 for a key that no row has after the change, as far as the trigger knows."""
    return int(row == "OLD.")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:10]
