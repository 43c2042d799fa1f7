"""Copying a whole store, table by table, between any two databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from syncline.stores.faults import damaged
from syncline.stores.tables import schema

CHUNK_BYTES = 4 << 20
"""Rows are inserted together until they hold about this much."""
CHUNK_ROWS = 1000
_FETCHED = 64  # rows that a database server sends at once; one may have 8 MiB


def copy_tables(source: Connection, target: Connection) -> None:
    """Replace everything in ``target`` by what is in ``source``.

    Each is inside a transaction: the source in one that sees one moment, the target in one that its
    owner commits. Both have the layout of this Syncline.
    """
    ordered = schema.tables.sorted_tables  # what is referred to comes first
    for table in reversed(ordered):
        target.execute(table.delete())
    for table in ordered:
        columns = list(table.columns)
        order = table.primary_key.columns
        rows = source.execution_options(stream_results=True, yield_per=_FETCHED).execute(
            select(*columns).order_by(*order)
        )
        for chunk in _chunks(rows.mappings()):
            target.execute(insert(table), chunk)
        _number_on(target, table)


def _chunks(rows: Any) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        values = dict(row)
        chunk.append(values)
        size += sum(len(value) for value in values.values() if isinstance(value, bytes | str))
        if size > CHUNK_BYTES or len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _number_on(target: Connection, table: Table) -> None:
    """Have the table number its next rows after the copied ones; only PostgreSQL must be told."""
    column = table.autoincrement_column
    if target.dialect.name != "postgresql" or column is None:
        return
    last: int | None = target.execute(select(func.max(column))).scalar()
    if last is not None:
        target.execute(
            text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"),
            {"table": table.name, "column": column.name, "last": last},
        )


def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in schema.tables.sorted_tables
    }


def check_log(connection: Connection, store: str) -> None:
    """Raise StoreDamaged unless every workspace's log ends at its head and every document has as
    many updates as are counted. ``store`` names the store in the sentence."""
    workspaces, documents, updates = (
        schema.workspaces.c,
        schema.documents.c,
        schema.updates.c,
    )
    last = (
        select(func.max(updates.seq)).where(updates.workspace_id == workspaces.id).scalar_subquery()
    )
    for name, head, seq in connection.execute(
        select(workspaces.name, workspaces.head, func.coalesce(last, 0))
    ):
        if head != seq:
            raise damaged(store, f"the log of the workspace {name!r} ends at {seq}, not at {head}")
    rows = (
        select(updates.document_id, func.count().label("found"))
        .group_by(updates.document_id)
        .subquery()
    )
    found = func.coalesce(rows.c.found, 0)
    wrong = connection.execute(
        select(documents.collection, documents.key, documents.updates, found)
        .outerjoin(rows, rows.c.document_id == documents.id)
        .where(documents.updates != found)
        .limit(1)
    ).one_or_none()
    if wrong is not None:
        collection, key, counted, there = wrong
        raise damaged(store, f"{collection}/{key} has {there} of {counted} updates")
