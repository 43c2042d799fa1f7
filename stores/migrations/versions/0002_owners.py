"""Whose the ids of writers are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_row_format": "DYNAMIC",
    "mariadb_default_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
_LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
_Name = (
    sa.String(63)
    .with_variant(sa.String(63, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(63, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
)


def upgrade(op: Operations) -> None:
    op.create_table(
        "syncline_owners",
        sa.Column(
            "workspace_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            nullable=False,
        ),
        sa.Column("writer", _Name, primary_key=True),
        sa.Column("owner", _LongText, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["syncline_workspaces.id"],
            name="syncline_owners_workspace_id_fkey",
        ),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **_OPTIONS,
    )
