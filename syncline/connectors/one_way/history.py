"""Histories: the old versions of the rows of a table, in a table beside it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from syncline.connectors.database.rows import Key, batches
from syncline.connectors.database.tables import MARIADB_OPTIONS, PREFIX, Column, Table, sql_type

from .plan import TablePlan

UNTIL = f"{PREFIX}until"
"""The column that says when a version was replaced."""
VERSION = f"{PREFIX}version"
"""The key of the table of versions."""


class TableHistory:
    """The table ``<table>_history``, in a transaction: every version that the rows of the table
    have had, but for the present ones."""

    def __init__(self, connection: sa.Connection, plan: TablePlan) -> None:
        self._connection = connection
        self._plan = plan
        columns: list[sa.ColumnClause[object]] = [
            sa.column(name) for name in (*plan.columns.values(), UNTIL)
        ]
        self._sql = sa.table(f"{plan.target.name}_history", *columns)

    def keep(self, keys: Iterable[Key], until: datetime) -> None:
        """Copy the rows with these keys as they are now, before they change."""
        rows = self._plan.target_rows
        names = list(self._plan.columns.values())
        instant = sa.literal(until, sa.DateTime(timezone=True))
        if self._connection.dialect.name != "postgresql":
            instant = sa.literal(until.replace(tzinfo=None).isoformat(sep=" "))
        for batch in batches(keys):
            present = rows.select_of(batch, names).add_columns(instant)
            self._connection.execute(sa.insert(self._sql).from_select([*names, UNTIL], present))


def history_of(target: Table, columns: Iterable[str], dialect: str) -> sa.Table:
    """The table for the versions of ``target``'s rows."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    instant = sql_type(Column(UNTIL, "datetime", zoned=True), dialect)
    kept = [
        sa.Column(
            name, sql_type(target.columns[name], dialect, keyed=name in target.key), nullable=True
        )
        for name in columns
    ]
    name = f"{target.name}_history"
    made = sa.Table(
        name,
        sa.MetaData(),
        sa.Column(VERSION, number, primary_key=True, autoincrement=True),
        sa.Column(UNTIL, instant, nullable=False),
        *kept,
        **MARIADB_OPTIONS,
    )
    sa.Index(f"{name}_by_key", *(made.c[each] for each in target.key))
    return made
