"""Compaction of one document's log, as one SQL transaction."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, select, update

from syncline.stores.base import StoredDocument
from syncline.stores.tables import schema

_updates = schema.updates.c
_documents = schema.documents.c
_workspaces = schema.workspaces.c

_find = (
    select(_documents.id, _documents.workspace_id)
    .join(schema.workspaces, _workspaces.id == _documents.workspace_id)
    .where(
        _workspaces.name == bindparam("workspace"),
        _documents.collection == bindparam("collection"),
        _documents.key == bindparam("key"),
    )
)
_replaced = (
    _updates.workspace_id == bindparam("in_workspace"),
    _updates.document_id == bindparam("of_document"),
)
# An update in the log never changes but by compaction, and that changes their number.
_measure = select(
    func.count(), func.coalesce(func.sum(func.length(_updates.data)), 0), func.max(_updates.seq)
).where(*_replaced, _updates.seq <= bindparam("through"))
_drop = delete(schema.updates).where(*_replaced, _updates.seq < bindparam("through"))
_place = (
    update(schema.updates)
    .where(*_replaced, _updates.seq == bindparam("through"))
    .values(data=bindparam("snapshot"))
)
_count = (
    update(schema.documents)
    .where(_documents.id == bindparam("of_document"))
    .values(
        updates=_documents.updates - bindparam("fewer"), size=_documents.size - bindparam("less")
    )
)


def compact(
    connection: Connection, workspace: str, document: StoredDocument, snapshot: bytes
) -> bool:
    """Put ``snapshot`` in the place of the updates of ``document``; False if they are others."""
    collection, key = document.address
    names = {"workspace": workspace, "collection": collection, "key": key}
    size = sum(map(len, document.updates))
    with connection.begin():
        found = connection.execute(_find, names).one_or_none()
        if found is None or not document.updates:
            return False
        document_id, workspace_id = found
        rows = {
            "in_workspace": workspace_id,
            "of_document": document_id,
            "through": document.last_seq,
        }
        expected = (len(document.updates), size, document.last_seq)
        if tuple(connection.execute(_measure, rows).one()) != expected:
            return False
        connection.execute(_drop, rows)
        connection.execute(_place, rows | {"snapshot": snapshot})
        connection.execute(
            _count,
            {
                "of_document": document_id,
                "fewer": len(document.updates) - 1,
                "less": size - len(snapshot),
            },
        )
        return True
