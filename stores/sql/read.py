"""The queries of an SQL store, each a function of a connection that reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    null,
    select,
    union_all,
)

from syncline.engine.names import Address
from syncline.stores.base import (
    DocumentInfo,
    DocumentState,
    LogPage,
    LogSize,
    OutboxBatch,
    Receipt,
    RefusedUpdate,
    StoredDocument,
    StoredUpdate,
)
from syncline.stores.faults import BrokenRow
from syncline.stores.tables import schema

from .compiled import Compiled, Lookup, in_lengths

DOCUMENTS_PAGE = 1000
"""Documents that one query lists."""

_TRIES = 20  # to read a page while rows leave the log; each was spoilt by a commit in between

_workspaces = schema.workspaces.c
_documents = schema.documents.c
_updates = schema.updates.c

_id_of = select(_workspaces.id).where(_workspaces.name == bindparam("workspace")).scalar_subquery()
this_document = (
    _documents.workspace_id == _id_of,
    _documents.collection == bindparam("collection"),
    _documents.key == bindparam("key"),
)
# One statement, so that the row of the document and its log are of one moment on every database,
# whatever its isolation. The row comes as the log's entry number 0.
_load = Compiled(
    union_all(
        select(
            literal_column("0", BigInteger).label("seq"),
            _documents.state_vector.label("data"),
            _documents.live.label("live"),
            _documents.epoch.label("epoch"),
        ).where(*this_document),
        select(_updates.seq, _updates.data, null(), null())
        .join(schema.documents, _documents.id == _updates.document_id)
        .where(*this_document),
    ).order_by("seq"),
    *("workspace", "collection", "key") * 2,
)


class _LoadMany:
    """``_load`` for documents of one collection, by the number of their keys."""

    def __init__(self) -> None:
        self._compiled: dict[int, Compiled] = {}

    def of_length(self, length: int) -> Compiled:
        if length not in self._compiled:
            names = [f"key_{n}" for n in range(length)]
            these = (
                _documents.workspace_id == _id_of,
                _documents.collection == bindparam("collection"),
                _documents.key.in_([bindparam(name) for name in names]),
            )
            statement = union_all(
                select(
                    _documents.id.label("document"),
                    literal_column("0", BigInteger).label("seq"),
                    _documents.state_vector.label("data"),
                    _documents.key.label("key"),
                    _documents.live.label("live"),
                    _documents.epoch.label("epoch"),
                ).where(*these),
                select(_updates.document_id, _updates.seq, _updates.data, null(), null(), null())
                .join(schema.documents, _documents.id == _updates.document_id)
                .where(*these),
            ).order_by("document", "seq")
            self._compiled[length] = Compiled(statement, *["workspace", "collection", *names] * 2)
        return self._compiled[length]


_load_many = _LoadMany()

_state = Compiled(
    select(
        _documents.epoch,
        _documents.state_vector,
        _documents.live,
        _documents.last_seq,
        _documents.size,
    ).where(*this_document),
    *("workspace", "collection", "key"),
)

_Columns: TypeAlias = tuple[ColumnElement[Any], ...]
_info: _Columns = (
    _documents.collection,
    _documents.key,
    _documents.live,
    _documents.last_seq,
    _documents.updates,
    _documents.size,
    _documents.epoch,
)
_seen: _Columns = (
    _documents.collection,
    _documents.key,
    _documents.epoch,
    _documents.state_vector,
    _documents.live,
    _documents.last_seq,
    _documents.size,
)

_workspace = select(_workspaces.id, _workspaces.head).where(
    _workspaces.name == bindparam("workspace")
)
# The head and what there is to read, of one moment; without rows to read, one row without a seq.
_sizes = Compiled(
    select(_workspaces.id, _workspaces.head, _updates.seq, func.length(_updates.data))
    .outerjoin_from(
        schema.workspaces,
        schema.updates,
        and_(_updates.workspace_id == _workspaces.id, _updates.seq > bindparam("cursor")),
    )
    .where(_workspaces.name == bindparam("workspace"))
    .order_by(_updates.seq)
    .limit(bindparam("count"))
    .offset(literal_column("0")),  # SQLite's dialect adds a parameter of its own for none
    *("cursor", "workspace", "count"),
)
_rows = Compiled(
    select(_updates.seq, _documents.collection, _documents.key, _updates.data, _documents.epoch)
    .join(schema.documents, _documents.id == _updates.document_id)
    .where(
        _updates.workspace_id == bindparam("id"),
        _updates.seq > bindparam("cursor"),
        _updates.seq <= bindparam("last"),
    )
    .order_by(_updates.seq),
    *("id", "cursor", "last"),
)
_liveness = Compiled(
    select(_documents.key, _documents.live).where(
        _documents.workspace_id == _id_of, _documents.collection == bindparam("collection")
    ),
    *("workspace", "collection"),
)
_log_size = (
    select(_documents.updates, _documents.size, func.length(_updates.data))
    .join(schema.updates, _updates.document_id == _documents.id)
    .where(*this_document)
    .order_by(_updates.seq)
    .limit(1)
)
_names = select(_workspaces.name).where(_workspaces.name != "").order_by(_workspaces.name)
_owners = Lookup(
    select(schema.owners.c.writer, schema.owners.c.owner)
    .join(schema.workspaces, schema.workspaces.c.id == schema.owners.c.workspace_id)
    .where(schema.workspaces.c.name == bindparam("workspace")),
    schema.owners.c.writer,
    "workspace",
)
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
    _, state_vector, live, epoch = rows[0]
    return StoredDocument(
        address,
        tuple([as_bytes(row[1]) for row in rows[1:]]),
        as_bytes(state_vector),
        _live(live),
        rows[-1][0],
        epoch,
    )


def load_many(
    connection: Connection, workspace: str, addresses: Sequence[Address]
) -> list[StoredDocument]:
    keys_of: dict[str, list[str]] = {}
    for collection, key in addresses:
        keys_of.setdefault(collection, []).append(key)
    found: list[StoredDocument] = []
    for collection, keys in keys_of.items():
        for some in in_lengths(keys):
            statement = _load_many.of_length(len(some))
            rows = statement.query(connection, (workspace, collection, *some) * 2).all()
            for _, group in groupby(rows, key=itemgetter(0)):
                (_, _, state_vector, key, live, epoch), *log = group
                found.append(
                    StoredDocument(
                        Address(collection, key),
                        tuple([as_bytes(row[2]) for row in log]),
                        as_bytes(state_vector),
                        _live(live),
                        log[-1][1] if log else 0,
                        epoch,
                    )
                )
    return found


def state(connection: Connection, workspace: str, address: Address) -> DocumentState | None:
    row = _state.query(connection, (workspace, *address)).one_or_none()
    if row is None:
        return None
    epoch, state_vector, live, last_seq, size = row
    return DocumentState(address, epoch, as_bytes(state_vector), _live(live), last_seq, size)


def states(
    connection: Connection, workspace: str, after: Address, until: Address | None, limit: int
) -> list[DocumentState]:
    return [
        DocumentState(
            Address(collection, key), epoch, as_bytes(state_vector), _live(live), last_seq, size
        )
        for collection, key, epoch, state_vector, live, last_seq, size in _stretch(
            connection, _seen, workspace, after, until, limit
        )
    ]


def log_size(connection: Connection, workspace: str, address: Address) -> LogSize | None:
    values = {"workspace": workspace, "collection": address.collection, "key": address.key}
    found = connection.execute(_log_size, values).one_or_none()
    return None if found is None else LogSize(*found)


def liveness(
    connection: Connection, workspace: str, collection: str
) -> list[tuple[str, bool | None]]:
    rows = _liveness.query(connection, (workspace, collection)).all()
    return [(key, _live(live)) for key, live in rows]


def documents_after(
    connection: Connection, workspace: str, collection: str | None, after: Address
) -> list[DocumentInfo]:
    """One page of documents with an address above ``after``; a short page is the last."""
    if collection is None:
        rows: Sequence[Row[*tuple[Any, ...]]] = _stretch(
            connection, _info, workspace, after, None, DOCUMENTS_PAGE
        )
    else:
        statement = _in_collection(_info, collection, after.key, None)
        rows = _listed(connection, statement, workspace, DOCUMENTS_PAGE)
    return [
        DocumentInfo(Address(collection, key), _live(live), last_seq, count, size, epoch)
        for collection, key, live, last_seq, count, size, epoch in rows
    ]


def _stretch(
    connection: Connection,
    columns: _Columns,
    workspace: str,
    after: Address,
    until: Address | None,
    limit: int,
) -> list[Row[*tuple[Any, ...]]]:
    """``columns`` of documents with ``after < address <= until``, by address.

    In up to three statements, each one stretch of the index: MariaDB does not use it to compare
    two columns at once, and SQLite and PostgreSQL not for the equivalent with OR.
    """
    if until is not None and until <= after:
        return []
    if until is not None and until.collection == after.collection:
        parts = [_in_collection(columns, after.collection, after.key, until.key)]
    else:
        between = _documents.collection > after.collection
        parts = [_in_collection(columns, after.collection, after.key, None)]
        if until is None:
            parts.append(select(*columns).where(between))
        else:
            parts.append(select(*columns).where(between, _documents.collection < until.collection))
            parts.append(_in_collection(columns, until.collection, "", until.key))
    rows: list[Row[*tuple[Any, ...]]] = []
    for part in parts:
        if len(rows) < limit:
            rows.extend(_listed(connection, part, workspace, limit - len(rows)))
    return rows


def _in_collection(
    columns: _Columns, collection: str, after: str, until: str | None
) -> Select[*tuple[Any, ...]]:
    statement = select(*columns).where(_documents.collection == collection, _documents.key > after)
    return statement if until is None else statement.where(_documents.key <= until)


def _listed(
    connection: Connection, statement: Select[*tuple[Any, ...]], workspace: str, limit: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    statement = (
        statement.where(_documents.workspace_id == _id_of)
        .order_by(_documents.collection, _documents.key)
        .limit(limit)
    )
    return connection.execute(statement, {"workspace": workspace}).all()


def since(
    connection: Connection, workspace: str, cursor: int, max_bytes: int, max_updates: int
) -> LogPage:
    for _ in range(_TRIES):
        # One more than asked for, so that a page that ends at the last row is known to.
        found = _sizes.query(connection, (cursor, workspace, max_updates + 1)).all()
        if not found:
            return LogPage((), 0, 0)
        workspace_id, head, first, _ = found[0]
        if first is None:
            return LogPage((), head, head)
        seqs: list[int] = []
        size = 0
        for _, _, seq, length in found[:max_updates]:
            size += length
            if seqs and size > max_bytes:
                break
            seqs.append(seq)
        rows = _rows.query(connection, (workspace_id, cursor, seqs[-1])).all()
        # Rows that left the log between the two statements are in a later row now, maybe beyond
        # this page, and what follows them here may need them.
        if [row[0] for row in rows] == seqs:
            taken = tuple(
                [
                    StoredUpdate(seq, Address(collection, key), as_bytes(data), epoch)
                    for seq, collection, key, data, epoch in rows
                ]
            )
            return LogPage(taken, head if len(seqs) == len(found) else seqs[-1], head)
    raise BrokenRow(f"the log of {workspace} after {cursor} names a document that is not there")


def _live(value: Any) -> bool | None:
    """The value of a column of booleans, which SQLite and MariaDB keep as numbers."""
    return None if value is None else bool(value)


def as_bytes(value: Any) -> bytes:
    """The value of a column of bytes, which in a damaged database may be anything."""
    if isinstance(value, memoryview):  # psycopg2's
        return value.tobytes()
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


def owners(connection: Connection, workspace: str, writers: Sequence[str]) -> dict[str, str]:
    found = _owners.find(connection, (workspace,), writers)
    return {row[0]: row[1] for row in found}


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
