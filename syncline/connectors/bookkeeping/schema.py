"""What Syncline keeps in a connected database, in tables of its own.

Everything that a pipeline has to remember of a system lies in that system, so a pass changes it in
one transaction with the user's rows, and the machine that runs the pipeline keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from syncline.connectors.database.tables import MARIADB_OPTIONS, PREFIX
from syncline.connectors.database.triggers import DIRTY

_PIPELINE = 40
_TABLE = 64
_KEY = 255


def _long_text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _long_bytes() -> sa.types.TypeEngine[bytes]:
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def _counter() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


_METADATA = sa.MetaData()
_TABLE_OPTIONS: Mapping[str, Any] = {
    **MARIADB_OPTIONS,
    "sqlite_autoincrement": True,  # numbers of notes are not used again
}

META = sa.Table(
    f"{PREFIX}meta",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("name", sa.String(120), primary_key=True),
    sa.Column("value", _long_text(), nullable=False),
    **_TABLE_OPTIONS,
)
NOTES = sa.Table(
    DIRTY,
    _METADATA,
    sa.Column("seq", _counter(), primary_key=True, autoincrement=True),
    sa.Column("pipeline", sa.String(_PIPELINE), nullable=False),
    sa.Column("tbl", sa.String(_TABLE), nullable=False),
    sa.Column("pk", sa.Text()),
    sa.Column("origin", sa.String(8)),
    sa.Column("at", sa.BigInteger()),
    sa.Column("gone", sa.Integer()),
    sa.Index(f"{DIRTY}_by_table", "pipeline", "tbl"),
    **_TABLE_OPTIONS,
)
SHADOW = sa.Table(
    f"{PREFIX}shadow",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("tbl", sa.String(_TABLE), primary_key=True),
    sa.Column("pk", sa.String(_KEY), primary_key=True),
    sa.Column("rid", sa.String(36), nullable=False),
    sa.Column("row", _long_text()),
    sa.Index(f"{PREFIX}shadow_by_record", "pipeline", "rid", "tbl"),
    **_TABLE_OPTIONS,
)
RECORDS = sa.Table(
    f"{PREFIX}records",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("rid", sa.String(36), primary_key=True),
    sa.Column("kind", sa.String(_PIPELINE), nullable=False),
    sa.Column("version", sa.BigInteger(), nullable=False),
    sa.Column("match", sa.String(64)),
    sa.Column("live", sa.Boolean(), nullable=False),
    sa.Column("conflict", sa.Boolean(), nullable=False),
    sa.Column("document", _long_bytes(), nullable=False),
    sa.Index(f"{PREFIX}records_by_version", "pipeline", "version"),
    sa.Index(f"{PREFIX}records_by_match", "pipeline", "match"),
    **_TABLE_OPTIONS,
)
QUARANTINE = sa.Table(
    f"{PREFIX}quarantine",
    _METADATA,
    sa.Column("pipeline", sa.String(_PIPELINE), primary_key=True),
    sa.Column("system", sa.String(_PIPELINE), primary_key=True),
    sa.Column("tbl", sa.String(_TABLE), primary_key=True),
    sa.Column("pk", sa.String(_KEY), primary_key=True),
    sa.Column("field", sa.String(_TABLE), primary_key=True),
    sa.Column("rule", sa.String(_TABLE), nullable=False),
    sa.Column("message", sa.Text(), nullable=False),
    sa.Column("hint", sa.Text(), nullable=False),
    sa.Column("original", _long_text()),
    sa.Column("suggested", _long_text()),
    sa.Column("first_seen", sa.BigInteger(), nullable=False),
    sa.Column("last_seen", sa.BigInteger(), nullable=False),
    sa.Column("tries", sa.Integer(), nullable=False),
    **_TABLE_OPTIONS,
)
OUTBOX = sa.Table(
    f"{PREFIX}outbox",
    _METADATA,
    sa.Column("seq", _counter(), primary_key=True, autoincrement=True),
    sa.Column("pipeline", sa.String(_PIPELINE), nullable=False),
    sa.Column("target", sa.String(16), nullable=False),
    sa.Column("change", _long_text(), nullable=False),
    sa.Index(f"{PREFIX}outbox_by_target", "pipeline", "target", "seq"),
    **_TABLE_OPTIONS,
)


def has_state(connection: sa.Connection) -> bool:
    """Whether the tables are there."""
    return sa.inspect(connection).has_table(RECORDS.name)


def create_state(connection: sa.Connection) -> None:
    """Make the tables that are missing. In MariaDB this ends a transaction that runs."""
    _METADATA.create_all(connection)


def create_temporary_state(connection: sa.Connection) -> None:
    """Make the tables for this connection only, for a pass that is to leave nothing."""
    for table in _METADATA.sorted_tables:
        sql = str(CreateTable(table).compile(connection))
        connection.execute(sa.text(sql.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)))
