"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_row_format": "DYNAMIC",
    "mariadb_default_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Bytes = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mariadb")
_LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")


def _name(length: int) -> sa.types.TypeEngine[str]:
    in_mariadb = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(in_mariadb, "mariadb")
    )


def _workspace_id(table: str, *, key: bool) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    return (
        sa.Column("workspace_id", _Id, primary_key=key, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["syncline_workspaces.id"],
            name=f"{table}_workspace_id_fkey",
        ),
    )


def upgrade(op: Operations) -> None:
    op.create_table(
        "syncline_workspaces",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("name", _name(63), nullable=False),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("name", name="syncline_workspaces_name"),
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_table(
        "syncline_documents",
        sa.Column("id", _Id, primary_key=True),
        *_workspace_id("syncline_documents", key=False),
        sa.Column("collection", _name(63), nullable=False),
        sa.Column("key", _name(512), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("live", sa.Boolean),
        sa.Column("updates", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("state_vector", _Bytes, nullable=False),
        sa.UniqueConstraint(
            "workspace_id",
            "collection",
            "key",
            name="syncline_documents_workspace_id_collection_key",
        ),
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_table(
        "syncline_updates",
        *_workspace_id("syncline_updates", key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("document_id", _Id, nullable=False),
        sa.Column("data", _Bytes, nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["syncline_documents.id"],
            name="syncline_updates_document_id_fkey",
        ),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_index(
        "syncline_updates_by_document_id_seq",
        "syncline_updates",
        ["document_id", "seq"],
        if_not_exists=True,
    )
    op.create_table(
        "syncline_receipts",
        *_workspace_id("syncline_receipts", key=True),
        sa.Column("replica", _name(63), primary_key=True),
        sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", _Bytes, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("refused", _Bytes, nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_table(
        "syncline_outbox",
        *_workspace_id("syncline_outbox", key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("payload", _Bytes, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_table(
        "syncline_refused",
        sa.Column("id", _Id, primary_key=True),
        *_workspace_id("syncline_refused", key=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("address", _name(576), nullable=False),
        sa.Column("data", _Bytes, nullable=False),
        sa.Column("code", _name(63), nullable=False),
        sa.Column("message", _LongText, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
    op.create_index(
        "syncline_refused_by_workspace_id",
        "syncline_refused",
        ["workspace_id"],
        if_not_exists=True,
    )
    op.create_table(
        "syncline_meta",
        *_workspace_id("syncline_meta", key=True),
        sa.Column("key", _name(63), primary_key=True),
        sa.Column("value", _LongText, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )
