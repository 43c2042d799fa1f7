"""The tables of an SQL store, the same on every database.

Names are compared and sorted by code point, with trailing spaces: SQLite does so by default, the
others are told. Every name begins with ``syncline_``, because the tables may live in a database
of the user's own. A change of these tables needs a migration (``migrations/versions``), and
``LAYOUT`` is its revision; a test compares what the migrations make with what is declared here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)
from sqlalchemy.dialects.mysql import LONGBLOB, LONGTEXT, VARCHAR
from sqlalchemy.types import TypeEngine

from syncline.engine.errors import StoreError, StoreVersion
from syncline.stores.faults import damaged

LAYOUT = "0002"
"""The migration that these tables are the result of."""

PREFIX = "syncline_"

tables = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

# SQLite numbers the rows of a table by itself only where the key is spelled INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
# MariaDB's blob types hold 64 KiB, 16 MiB or 4 GiB.
_Bytes = LargeBinary().with_variant(LONGBLOB(), "mariadb")
_LongText = Text().with_variant(LONGTEXT(), "mariadb")


def name_type(length: int) -> TypeEngine[str]:
    """Text compared by code point. In MariaDB's NOPAD collations "a" and "a " are two names."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


_NAME = 63
_KEY = 512
# InnoDB's DYNAMIC rows allow keys of 3,072 bytes; a document's is 8 + 4 * (63 + 512) = 2,308.
OPTIONS: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_row_format": "DYNAMIC",
    "mariadb_default_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}

workspaces = Table(
    PREFIX + "workspaces",
    tables,
    Column("id", _Id, primary_key=True),
    Column("name", name_type(_NAME), nullable=False, unique=True),
    Column("head", BigInteger, nullable=False),
    **OPTIONS,
)

documents = Table(
    PREFIX + "documents",
    tables,
    Column("id", _Id, primary_key=True),
    Column("workspace_id", _Id, ForeignKey(workspaces.c.id), nullable=False),
    Column("collection", name_type(_NAME), nullable=False),
    Column("key", name_type(_KEY), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("live", Boolean),
    # How many rows the log has for this document, and the bytes of their data: counted as they
    # are written, because adding them up reads the whole log.
    Column("updates", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state_vector", _Bytes, nullable=False),
    UniqueConstraint("workspace_id", "collection", "key"),
    **OPTIONS,
)

# The log is read in seq order, so SQLite keeps its rows in that order (WITHOUT ROWID): one B-tree
# less to write, and a page of the log is one scan.
updates = Table(
    PREFIX + "updates",
    tables,
    Column("workspace_id", _Id, ForeignKey(workspaces.c.id), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("document_id", _Id, ForeignKey(documents.c.id), nullable=False),
    Column("data", _Bytes, nullable=False),
    Index(None, "document_id", "seq"),
    sqlite_with_rowid=False,
    **OPTIONS,
)

receipts = Table(
    PREFIX + "receipts",
    tables,
    Column("workspace_id", _Id, ForeignKey(workspaces.c.id), primary_key=True),
    Column("replica", name_type(_NAME), primary_key=True),
    Column("batch", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", _Bytes, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("refused", _Bytes, nullable=False),
    sqlite_with_rowid=False,
    **OPTIONS,
)

# To whom each id belongs that something was written under: those of replicas and of clients.
owners = Table(
    PREFIX + "owners",
    tables,
    Column("workspace_id", _Id, ForeignKey(workspaces.c.id), primary_key=True),
    Column("writer", name_type(_NAME), primary_key=True),
    Column("owner", _LongText, nullable=False),
    sqlite_with_rowid=False,
    **OPTIONS,
)

outbox = Table(
    PREFIX + "outbox",
    tables,
    Column("workspace_id", _Id, ForeignKey(workspaces.c.id), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("payload", _Bytes, nullable=False),
    **OPTIONS,
)

refused = Table(
    PREFIX + "refused",
    tables,
    Column("id", _Id, primary_key=True),
    Column("workspace_id", _Id, ForeignKey(workspaces.c.id), nullable=False, index=True),
    Column("batch", BigInteger, nullable=False),
    Column("address", name_type(_NAME + 1 + _KEY), nullable=False),
    Column("data", _Bytes, nullable=False),
    Column("code", name_type(_NAME), nullable=False),
    Column("message", _LongText, nullable=False),
    **OPTIONS,
)

meta = Table(
    PREFIX + "meta",
    tables,
    Column("workspace_id", _Id, ForeignKey(workspaces.c.id), primary_key=True),
    Column("key", name_type(_NAME), primary_key=True),
    Column("value", _LongText, nullable=False),
    **OPTIONS,
)

# Alembic's own table, not part of `tables`: it says which migration ran last.
layout = Table(PREFIX + "layout", MetaData(), Column("version_num", String(32)))


def found_layout(connection: Connection, store: str, *, alone: bool) -> str | None:
    """The layout that the database has, None without a store; other than LAYOUT: it is older.

    ``alone``: no other program may keep tables there. Raises StoreVersion for a newer layout,
    StoreDamaged for an incomplete one, StoreError for tables that are not Syncline's. ``store``
    names the store in those sentences.
    """
    found = set(inspect(connection).get_table_names())
    if layout.name not in found:
        if found and alone:
            raise StoreError(
                f"{store} is a database of another program.",
                hint="Give another path; Syncline keeps its store in a file of its own.",
            )
        taken = sorted(found & set(tables.tables))
        if taken:
            raise StoreError(
                f"{store} has a table {taken[0]} that Syncline did not make.",
                hint=f"Rename it, or give another database: names with {PREFIX} are Syncline's.",
            )
        return None
    versions = connection.execute(select(layout.c.version_num)).scalars().all()
    if not versions and not alone:
        return None  # MariaDB makes tables one by one, and was interrupted
    version = versions[0] if len(versions) == 1 else None
    if not isinstance(version, str) or not version.isdecimal():
        raise damaged(store, f"its layout version is {version!r}")
    if int(version) > int(LAYOUT):
        raise StoreVersion(
            f"{store} has layout {version}, and this Syncline knows layouts up to {LAYOUT}.",
            hint="Upgrade Syncline to the version that wrote the store, or a later one.",
        )
    missing = sorted(set(tables.tables) - found)
    if missing and version == LAYOUT:
        raise damaged(store, f"it has no table {missing[0]}")
    return version
