"""The tables of an SQL store, the same on every database.

Names are compared and sorted by code point, as SQLite does by default; a database with another
default needs a binary collation here. ``workspaces`` and ``meta`` keep their shape in every
layout, so that an old Syncline can tell that a store is too new for it.
"""

from __future__ import annotations

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
    insert,
    inspect,
    select,
)

from syncline.engine.errors import StoreError, StoreVersion

from .faults import damaged

LAYOUT = 1
"""The version of these tables, kept under LAYOUT_KEY in the meta of the workspace ``""``."""

LAYOUT_KEY = "layout"

tables = MetaData()

# SQLite numbers the rows of a table by itself only where the key is spelled INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
_NAME = 63
_KEY = 512
# A database with several blob types picks the one that holds this many bytes.
_Bytes = LargeBinary(2**26)

workspaces = Table(
    "workspaces",
    tables,
    Column("id", _Id, primary_key=True),
    Column("name", String(_NAME), nullable=False, unique=True),
    Column("head", BigInteger, nullable=False),
)

documents = Table(
    "documents",
    tables,
    Column("id", _Id, primary_key=True),
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), nullable=False),
    Column("collection", String(_NAME), nullable=False),
    Column("key", String(_KEY), nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("live", Boolean),
    # How many rows the log has for this document, and the bytes of their data: counted as they
    # are written, because adding them up reads the whole log.
    Column("updates", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state_vector", _Bytes, nullable=False),
    UniqueConstraint("workspace_id", "collection", "key"),
)

# The log is read in seq order, so SQLite keeps its rows in that order (WITHOUT ROWID): one B-tree
# less to write, and a page of the log is one scan.
updates = Table(
    "updates",
    tables,
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("document_id", _Id, ForeignKey("documents.id"), nullable=False),
    Column("data", _Bytes, nullable=False),
    Index("updates_of_document", "document_id", "seq"),
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    tables,
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("replica", String(_NAME), primary_key=True),
    Column("batch", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("refused", _Bytes, nullable=False),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    tables,
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("payload", _Bytes, nullable=False),
)

refused = Table(
    "refused",
    tables,
    Column("id", _Id, primary_key=True),
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), nullable=False, index=True),
    Column("batch", BigInteger, nullable=False),
    Column("address", String(_NAME + 1 + _KEY), nullable=False),
    Column("data", _Bytes, nullable=False),
    Column("code", String(_NAME), nullable=False),
    Column("message", Text, nullable=False),
)

meta = Table(
    "meta",
    tables,
    Column("workspace_id", _Id, ForeignKey("workspaces.id"), primary_key=True),
    Column("key", String(_NAME), primary_key=True),
    Column("value", Text, nullable=False),
)


def create(connection: Connection) -> None:
    """Make the tables, and the workspace ``""`` with the layout version in its meta."""
    tables.create_all(connection)
    connection.execute(insert(workspaces), {"name": "", "head": 0})
    whole = connection.execute(select(workspaces.c.id).where(workspaces.c.name == "")).scalar_one()
    values = {"workspace_id": whole, "key": LAYOUT_KEY, "value": str(LAYOUT)}
    connection.execute(insert(meta), values)


def is_created(connection: Connection, store: str) -> bool:
    """Whether the database has a store of this layout; False when it is empty.

    Raises StoreVersion for a newer layout, StoreDamaged for an incomplete one, StoreError for
    tables that are not Syncline's. ``store`` names the store in those sentences.
    """
    found = set(inspect(connection).get_table_names())
    if not found:
        return False
    if not {workspaces.name, meta.name} <= found:
        raise StoreError(
            f"{store} is a database of another program.",
            hint="Give another path; Syncline keeps its store in a file of its own.",
        )
    layout = connection.execute(
        select(meta.c.value)
        .join(workspaces, workspaces.c.id == meta.c.workspace_id)
        .where(workspaces.c.name == "", meta.c.key == LAYOUT_KEY)
    ).scalar_one_or_none()
    if layout is None or not layout.isdecimal():
        raise damaged(store, f"its layout version is {layout!r}")
    if int(layout) > LAYOUT:
        raise StoreVersion(
            f"{store} has layout {layout}, and this Syncline knows layouts up to {LAYOUT}.",
            hint="Upgrade Syncline to the version that wrote the store, or a later one.",
        )
    missing = sorted(set(tables.tables) - found)
    if missing:
        raise damaged(store, f"it has no table {missing[0]}")
    return True
