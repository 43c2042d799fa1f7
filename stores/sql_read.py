"""The queries of an SQL store, each a function of a connection that reads."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    bindparam,
    func,
    literal_column,
    null,
    select,
    text,
    tuple_,
    union_all,
)

from syncline.engine.names import Address

from . import schema
from .base import (
    DocumentInfo,
    LogSize,
    OutboxBatch,
    Page,
    Receipt,
    RefusedUpdate,
    StoredDocument,
    StoredUpdate,
)
from .faults import BrokenRow
from .sql_compiled import Compiled

DOCUMENTS_PAGE = 1000
"""Documents that one query lists."""

_workspaces = schema.workspaces.c
_documents = schema.documents.c
_updates = schema.updates.c

_id_of = select(_workspaces.id).where(_workspaces.name == bindparam("workspace")).scalar_subquery()
_this_document = (
    _documents.workspace_id == _id_of,
    _documents.collection == bindparam("collection"),
    _documents.key == bindparam("key"),
)
# One statement, so that the row of the document and its log are of one moment on every database,
# whatever its isolation. The row comes as the log's entry number 0.
_load = Compiled(
    union_all(
        select(
            literal_column("0", Integer).label("seq"),
            _documents.state_vector.label("data"),
            _documents.live.label("live"),
        ).where(*_this_document),
        select(_updates.seq, _updates.data, null())
        .join(schema.documents, _documents.id == _updates.document_id)
        .where(*_this_document),
    ).order_by("seq"),
    *("workspace", "collection", "key") * 2,
)

_list_documents = (
    select(
        _documents.collection,
        _documents.key,
        _documents.live,
        _documents.last_seq,
        _documents.updates,
        _documents.size,
    )
    .where(
        _documents.workspace_id == _id_of,
        tuple_(_documents.collection, _documents.key)
        > tuple_(bindparam("collection"), bindparam("key")),
    )
    .order_by(_documents.collection, _documents.key)
    .limit(DOCUMENTS_PAGE)
)
_list_collection = (
    select(
        _documents.collection,
        _documents.key,
        _documents.live,
        _documents.last_seq,
        _documents.updates,
        _documents.size,
    )
    .where(
        _documents.workspace_id == _id_of,
        _documents.collection == bindparam("collection"),
        _documents.key > bindparam("key"),
    )
    .order_by(_documents.key)
    .limit(DOCUMENTS_PAGE)
)
_workspace = select(_workspaces.id, _workspaces.head).where(
    _workspaces.name == bindparam("workspace")
)
_since = Compiled(
    select(_updates.seq, _documents.collection, _documents.key, _updates.data)
    .join(schema.documents, _documents.id == _updates.document_id)
    .where(
        _updates.workspace_id == bindparam("id"),
        _updates.seq > bindparam("cursor"),
        _updates.seq <= bindparam("last"),
    )
    .order_by(_updates.seq)
    # limit() would add an offset on SQLite, as a parameter without a name.
    .suffix_with(text("LIMIT :count")),
    *("id", "cursor", "last", "count"),
)
_log_size = (
    select(_documents.updates, _documents.size, func.length(_updates.data))
    .join(schema.updates, _updates.document_id == _documents.id)
    .where(*_this_document)
    .order_by(_updates.seq)
    .limit(1)
)
_names = select(_workspaces.name).where(_workspaces.name != "").order_by(_workspaces.name)
_meta = select(schema.meta.c.key, schema.meta.c.value).where(schema.meta.c.workspace_id == _id_of)
_last_batch = select(func.max(schema.receipts.c.batch)).where(
    schema.receipts.c.workspace_id == _id_of,
    schema.receipts.c.replica == bindparam("replica"),
)
_receipt = select(schema.receipts.c.digest, schema.receipts.c.seq, schema.receipts.c.refused).where(
    schema.receipts.c.workspace_id == _id_of,
    schema.receipts.c.replica == bindparam("replica"),
    schema.receipts.c.batch == bindparam("batch"),
)
_outbox = (
    select(schema.outbox.c.number, schema.outbox.c.payload)
    .where(
        schema.outbox.c.workspace_id == _id_of,
        schema.outbox.c.number > bindparam("after"),
    )
    .order_by(schema.outbox.c.number)
    .limit(bindparam("count"))
)
_outbox_count = (
    select(func.count()).select_from(schema.outbox).where(schema.outbox.c.workspace_id == _id_of)
)
_refused = (
    select(
        schema.refused.c.batch,
        schema.refused.c.address,
        schema.refused.c.data,
        schema.refused.c.code,
        schema.refused.c.message,
    )
    .where(schema.refused.c.workspace_id == _id_of)
    .order_by(schema.refused.c.id)
)


def load(connection: Connection, workspace: str, address: Address) -> StoredDocument | None:
    rows = _load.query(connection, (workspace, *address) * 2).all()
    if not rows:
        return None
    _, state_vector, live = rows[0]
    return StoredDocument(
        address,
        tuple([_bytes(row[1]) for row in rows[1:]]),
        _bytes(state_vector),
        None if live is None else bool(live),
        rows[-1][0],
    )


def log_size(connection: Connection, workspace: str, address: Address) -> LogSize | None:
    values = {"workspace": workspace, "collection": address.collection, "key": address.key}
    found = connection.execute(_log_size, values).one_or_none()
    return None if found is None else LogSize(*found)


def documents_after(
    connection: Connection, workspace: str, collection: str | None, after: Address
) -> list[DocumentInfo]:
    """One page of documents with an address above ``after``; a short page is the last."""
    statement = _list_documents if collection is None else _list_collection
    start = after.collection if collection is None else collection
    rows = connection.execute(
        statement, {"workspace": workspace, "collection": start, "key": after.key}
    ).all()
    return [_document_info(row) for row in rows]


def _document_info(row: Row[*tuple[Any, ...]]) -> DocumentInfo:
    collection, key, live, last_seq, count, size = row
    return DocumentInfo(Address(collection, key), live, last_seq, count, size)


def since(
    connection: Connection, workspace: str, cursor: int, max_bytes: int, max_updates: int
) -> Page:
    # The head first: the log up to it is complete, and changes only by compaction, which may move
    # something beyond it, to be read later. So both queries agree without being of one moment.
    found = connection.execute(_workspace, {"workspace": workspace}).one_or_none()
    if found is None:
        return Page((), 0, 0)
    workspace_id, head = found
    taken: list[StoredUpdate] = []
    size = 0
    with _since.query(connection, (workspace_id, cursor, head, max_updates)) as rows:
        for seq, collection, key, data in rows:  # fetched one by one: max_bytes is a bound
            size += len(_bytes(data))
            if taken and size > max_bytes:
                return Page(tuple(taken), taken[-1].seq, head)
            taken.append(StoredUpdate(seq, Address(collection, key), data))
    # Beyond the last row of a full page there may be more; else the log is read up to its head.
    return Page(tuple(taken), taken[-1].seq if len(taken) == max_updates else head, head)


def _bytes(value: Any) -> bytes:
    """The value of a column of bytes, which in a damaged database may be anything."""
    if not isinstance(value, bytes):
        raise BrokenRow(f"where bytes were written it has {value!r:.50}")
    return value


def workspaces(connection: Connection) -> list[str]:
    return list(connection.execute(_names).scalars())


def head(connection: Connection, workspace: str) -> int:
    found = connection.execute(_workspace, {"workspace": workspace}).one_or_none()
    return 0 if found is None else found.head


def meta(connection: Connection, workspace: str) -> dict[str, str]:
    rows = connection.execute(_meta, {"workspace": workspace}).all()
    return {row[0]: row[1] for row in rows}


def last_batch(connection: Connection, workspace: str, replica: str) -> int:
    values = {"workspace": workspace, "replica": replica}
    return connection.execute(_last_batch, values).scalar_one() or 0


def receipt(connection: Connection, workspace: str, replica: str, batch: int) -> Receipt | None:
    values = {"workspace": workspace, "replica": replica, "batch": batch}
    found = connection.execute(_receipt, values).one_or_none()
    if found is None:
        return None
    return Receipt(replica, batch, found.digest, found.seq, found.refused)


def outbox(connection: Connection, workspace: str, after: int, limit: int) -> list[OutboxBatch]:
    values = {"workspace": workspace, "after": after, "count": limit}
    rows = connection.execute(_outbox, values).all()
    return [OutboxBatch(number, payload) for number, payload in rows]


def outbox_count(connection: Connection, workspace: str) -> int:
    return connection.execute(_outbox_count, {"workspace": workspace}).scalar_one()


def refused(connection: Connection, workspace: str) -> list[RefusedUpdate]:
    rows = connection.execute(_refused, {"workspace": workspace}).all()
    return [RefusedUpdate(*row) for row in rows]
