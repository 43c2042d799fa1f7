"""Unique values that change places: rows of which each wants what another still has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from syncline.connectors.database.order import in_circles
from syncline.connectors.report import RowRefusal

from .mapping import TableMapping
from .record_document import RecordDocument
from .transaction import OpenRow


class Clash(NamedTuple):
    """A change of a row that the database refused."""

    document: RecordDocument
    opened: OpenRow
    fields: dict[str, Any]
    changes: dict[str, Any]
    refusal: RowRefusal


def exchanging(clashes: Sequence[Clash]) -> list[Clash]:
    """Those of which each wants a value that another one of them has."""
    holders: dict[str, set[str]] = {}
    for clash in clashes:
        for column in clash.changes:
            value = repr((column, clash.opened.row.get(column)))
            holders.setdefault(value, set()).add(clash.document.rid)
    wants: dict[str, set[str]] = {}
    for clash in clashes:
        rid = clash.document.rid
        held = [holders.get(repr(change), set[str]()) - {rid} for change in clash.changes.items()]
        wants[rid] = set[str]().union(*held) or {""}  # what it waits for is no row of these
    circles = in_circles(wants)
    return [clash for clash in clashes if clash.document.rid in circles]


def exchange(connection: sa.Connection, mapping: TableMapping, clashes: Sequence[Clash]) -> None:
    """Change all these rows: first none has the values that are to change, then each has its own.
    Raises what the database refuses: then nothing of it is to be kept."""
    for clash in clashes:
        emptied: dict[str, Any] = {}
        for name in clash.changes:
            column = mapping.table.columns[name]
            if column.nullable:
                emptied[name] = None
            elif column.kind == "text":
                emptied[name] = clash.document.rid
        if emptied:
            mapping.rows.update(connection, clash.opened.key, emptied)
    for clash in clashes:
        mapping.rows.update(connection, clash.opened.key, clash.changes)
