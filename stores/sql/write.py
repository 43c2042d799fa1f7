"""Many Writes as one SQL transaction, in as few statements as there are tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.names import Address
from syncline.stores.base import RECEIPTS_KEPT, DocumentWrite, Write
from syncline.stores.faults import already_stored, outdated
from syncline.stores.tables import schema

from .compiled import Compiled, Lookup, Row
from .projection_keeper import ProjectionKeeper

_Place: TypeAlias = tuple[int, Address]  # workspace id, address
_Known: TypeAlias = tuple[int, int]  # a document's row id and epoch
# Workspace id, collection, key. Python's garbage collector looks at an Address each time, and at
# plain tuples of ints and strings once: there are as many as documents that were written.
_Kept: TypeAlias = tuple[int, str, str]

DOCUMENT_IDS_KEPT = 50_000
"""Documents whose row id is remembered, so that writing them again looks nothing up: 15 MB."""

WORKSPACE_IDS_KEPT = 10_000

_advance = Compiled(
    update(schema.workspaces)
    .where(schema.workspaces.c.id == bindparam("workspace"))
    .values(head=schema.workspaces.c.head + bindparam("count")),
    *("count", "workspace"),
)
_heads = Lookup(select(schema.workspaces.c.id, schema.workspaces.c.head), schema.workspaces.c.id)
_find_workspaces = Lookup(
    select(schema.workspaces.c.name, schema.workspaces.c.id), schema.workspaces.c.name
)
_add_workspaces = Compiled(insert(schema.workspaces), "name", "head")
_find_documents = Lookup(
    select(schema.documents.c.key, schema.documents.c.id, schema.documents.c.epoch).where(
        schema.documents.c.workspace_id == bindparam("workspace"),
        schema.documents.c.collection == bindparam("collection"),
    ),
    schema.documents.c.key,
    *("workspace", "collection"),
)
_add_documents = Compiled(
    insert(schema.documents),
    *("workspace_id", "collection", "key", "epoch"),
    *("last_seq", "live", "updates", "size", "state_vector"),
)
# Both name the epoch they expect, so that a remembered one that is no longer true changes nothing.
_this_generation = (
    schema.documents.c.id == bindparam("document"),
    schema.documents.c.epoch == bindparam("was"),
)
_change_documents = Compiled(
    update(schema.documents)
    .where(*_this_generation)
    .values(
        # A write without updates leaves last_seq alone.
        last_seq=func.coalesce(
            bindparam("last_seq", type_=BigInteger), schema.documents.c.last_seq
        ),
        live=func.coalesce(bindparam("live", type_=Boolean), schema.documents.c.live),
        updates=schema.documents.c.updates + bindparam("updates"),
        size=schema.documents.c.size + bindparam("size"),
        state_vector=bindparam("state_vector"),
    ),
    *("last_seq", "live", "updates", "size", "state_vector", "document", "was"),
)
_renew_documents = Compiled(
    update(schema.documents)
    .where(*_this_generation)
    .values(
        epoch=bindparam("epoch"),
        last_seq=bindparam("last_seq"),
        live=func.coalesce(bindparam("live", type_=Boolean), schema.documents.c.live),
        updates=bindparam("updates"),
        size=bindparam("size"),
        state_vector=bindparam("state_vector"),
    ),
    *("epoch", "last_seq", "live", "updates", "size", "state_vector", "document", "was"),
)
_drop_updates = Compiled(
    delete(schema.updates).where(schema.updates.c.document_id == bindparam("document")),
    "document",
)
_add_updates = Compiled(insert(schema.updates), "workspace_id", "seq", "document_id", "data")
_add_receipts = Compiled(
    insert(schema.receipts), "workspace_id", "replica", "batch", "digest", "seq", "refused"
)
_drop_receipts = Compiled(
    delete(schema.receipts).where(
        schema.receipts.c.workspace_id == bindparam("workspace"),
        schema.receipts.c.replica == bindparam("of_replica"),
        schema.receipts.c.batch <= bindparam("up_to"),
    ),
    *("workspace", "of_replica", "up_to"),
)
_add_outbox = Compiled(insert(schema.outbox), "workspace_id", "number", "payload")
_drop_outbox = Compiled(
    delete(schema.outbox).where(
        schema.outbox.c.workspace_id == bindparam("workspace"),
        schema.outbox.c.number == bindparam("done"),
    ),
    *("workspace", "done"),
)
_add_refused = Compiled(
    insert(schema.refused), "workspace_id", "batch", "address", "data", "code", "message"
)
_add_meta = Compiled(insert(schema.meta), "workspace_id", "key", "value")
_drop_meta = Compiled(
    delete(schema.meta).where(
        schema.meta.c.workspace_id == bindparam("workspace"), schema.meta.c.key == bindparam("name")
    ),
    *("workspace", "name"),
)
_add_owners = Compiled(insert(schema.owners), "workspace_id", "writer", "owner")
_drop_owners = Compiled(
    delete(schema.owners).where(
        schema.owners.c.workspace_id == bindparam("workspace"),
        schema.owners.c.writer == bindparam("of_writer"),
    ),
    *("workspace", "of_writer"),
)


class _Stale(Exception):
    """A remembered epoch is no longer true."""


@dataclass(slots=True)
class _Change:
    """What a transaction does to one document, over all Writes that touch it.

    ``follows`` is the epoch of the first of them, ``epoch`` that of the last.
    """

    follows: int
    epoch: int
    state_vector: bytes = b""
    live: bool | None = None
    updates: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])

    def add(self, change: DocumentWrite, seq: int) -> None:
        self.state_vector = change.state_vector
        if change.live is not None:
            self.live = change.live
        if change.epoch > self.epoch:
            self.epoch = change.epoch
            self.updates.clear()
        self.updates.extend(enumerate(change.updates, seq + 1))

    def begun(self) -> Row:
        """epoch, last_seq, live, updates, size, state_vector: as they begin."""
        last_seq, *rest = self.row()
        return (self.epoch, last_seq or 0, *rest)

    def row(self) -> Row:
        """last_seq, live, updates, size, state_vector: as they change."""
        return (
            self.updates[-1][0] if self.updates else None,
            self.live,
            len(self.updates),
            sum([len(data) for _, data in self.updates]),
            self.state_vector,
        )


class Writer:
    """Writes through a connection, and remembers row ids from one transaction to the next.

    Others may write too: a row keeps its id, and what is remembered of an epoch is checked. Who
    was first to make a workspace, or to change an epoch, is found by trying once more.
    """

    def __init__(self, store: str, projection: ProjectionKeeper) -> None:
        self._store = store
        self._projection = projection
        self._forget()

    def write(self, connection: Connection, writes: Sequence[Write]) -> list[int]:
        """Commit ``writes`` in one transaction; return the head after each of them."""
        try:
            return self._write(connection, writes, trusting=True)
        except (IntegrityError, _Stale):
            self._forget()
            return self._write(connection, writes, trusting=False)

    def _write(
        self,
        connection: Connection,
        writes: Sequence[Write],
        *,
        trusting: bool,
    ) -> list[int]:
        transaction = _Transaction(
            self._store, connection, self._workspaces, self._documents, trusting=trusting
        )
        with connection.begin():
            heads = transaction.run(writes)
            left = self._projection.write(connection, writes)
        self._projection.left_behind(left)
        # Only what is committed is remembered: an id that was rolled back is given out again.
        for name, workspace in transaction.new_workspaces.items():
            self._workspaces.put(name, workspace)
        for place, known in transaction.new_documents.items():
            self._documents.put(_kept(place), known)
        return heads

    def _forget(self) -> None:
        self._workspaces = BoundedCache[str, int](WORKSPACE_IDS_KEPT)
        self._documents = BoundedCache[_Kept, _Known](DOCUMENT_IDS_KEPT)


def _kept(place: _Place) -> _Kept:
    return place[0], place[1].collection, place[1].key


class _Transaction:
    def __init__(
        self,
        store: str,
        connection: Connection,
        workspaces: BoundedCache[str, int],
        documents: BoundedCache[_Kept, _Known],
        *,
        trusting: bool,
    ) -> None:
        self._trusting = trusting
        self._store = store
        self._connection = connection
        self._known_workspaces = workspaces
        self._known_documents = documents
        self.new_workspaces: dict[str, int] = {}
        self.new_documents: dict[_Place, _Known] = {}
        self._changes: dict[_Place, _Change] = {}
        self._receipts: list[Row] = []
        self._newest: dict[tuple[int, str], int] = {}
        self._outbox: dict[tuple[int, int], bytes] = {}
        self._acknowledged: list[Row] = []
        self._refused: list[Row] = []
        self._meta: dict[tuple[int, str], str] = {}
        self._owners: dict[tuple[int, str], str] = {}

    def run(self, writes: Sequence[Write]) -> list[int]:
        ids = self._workspace_ids(dict.fromkeys(write.workspace for write in writes))
        heads = self._advance(ids, writes)
        results: list[int] = []
        for write in writes:
            workspace = ids[write.workspace]
            head = heads[workspace]
            for change in write.documents:
                place = (workspace, change.address)
                known = self._changes.get(place)
                if known is None:
                    known = self._changes[place] = _Change(change.epoch, change.epoch)
                elif change.epoch < known.epoch:
                    raise outdated(self._store, str(change.address), change.epoch, known.epoch)
                known.add(change, head)
                head += len(change.updates)
            heads[workspace] = head
            self._collect(write, workspace, head)
            results.append(head)
        self._store_documents()
        self._store_rest()
        return results

    def _workspace_ids(self, names: Iterable[str]) -> dict[str, int]:
        ids = {name: self._known_workspaces.get(name) for name in names}
        unknown = [name for name, known in ids.items() if known is None]
        self._find_workspaces(unknown)
        missing = [name for name in unknown if name not in self.new_workspaces]
        _add_workspaces.change(self._connection, [(name, 0) for name in missing])
        self._find_workspaces(missing)
        known = {name: known for name, known in ids.items() if known is not None}
        return known | self.new_workspaces

    def _find_workspaces(self, names: list[str]) -> None:
        for name, found in _find_workspaces.find(self._connection, (), names):
            self.new_workspaces[name] = found

    def _advance(self, ids: dict[str, int], writes: Sequence[Write]) -> dict[int, int]:
        """Take the seqs of this transaction; return each workspace's head before it.

        The row stays locked until the commit, so no later seq can become visible before an
        earlier one. Rows are locked by id, in one order, so that two writers never wait for each
        other in a circle.
        """
        counts = dict.fromkeys(sorted(ids.values()), 0)
        for write in writes:
            counts[ids[write.workspace]] += sum(len(change.updates) for change in write.documents)
        _advance.change(
            self._connection, [(count, workspace) for workspace, count in counts.items()]
        )
        return {
            workspace: head - counts[workspace]
            for workspace, head in _heads.find(self._connection, (), list(counts))
        }

    def _collect(self, write: Write, workspace: int, head: int) -> None:
        if write.receipt is not None:
            replica, batch = write.receipt.replica, write.receipt.batch
            self._receipts.append(
                (workspace, replica, batch, write.receipt.digest, head, write.receipt.refused)
            )
            self._newest[workspace, replica] = batch
        if write.acknowledged is not None:
            self._outbox.pop((workspace, write.acknowledged), None)
            self._acknowledged.append((workspace, write.acknowledged))
        for entry in write.outbox:
            if (workspace, entry.number) in self._outbox:
                raise already_stored(self._store)
            self._outbox[workspace, entry.number] = entry.payload
        for item in write.refused:
            self._refused.append(
                (workspace, item.batch, item.address, item.update, item.code, item.message)
            )
        for key, value in write.meta.items():
            self._meta[workspace, key] = value
        for writer, owner in write.owners.items():
            self._owners[workspace, writer] = owner

    def _store_documents(self) -> None:
        # Behind the lock on the workspace's row: nobody else changes its documents meanwhile.
        known = {place: self._known_documents.get(_kept(place)) for place in self._changes}
        unknown = [place for place, found in known.items() if found is None]
        self._find_documents(unknown)
        missing = [place for place in unknown if place not in self.new_documents]
        changed: list[Row] = []
        renewed: list[Row] = []
        for place, change in self._changes.items():
            found = known[place] or self.new_documents.get(place)
            if found is None:
                continue
            document, epoch = found
            if change.follows < epoch:
                raise outdated(self._store, str(place[1]), change.follows, epoch)
            if change.epoch == epoch:
                changed.append((*change.row(), document, epoch))
            else:
                renewed.append((*change.begun(), document, epoch))
                self.new_documents[place] = (document, change.epoch)
        connection = self._connection
        count = _change_documents.change(connection, changed)
        count += _renew_documents.change(connection, renewed)
        if self._trusting and count != len(changed) + len(renewed):
            raise _Stale
        _drop_updates.change(connection, [(row[-2],) for row in renewed])
        _add_documents.change(
            connection,
            [(place[0], *place[1], *self._changes[place].begun()) for place in missing],
        )
        self._find_documents(missing)
        updates = [
            (place[0], seq, (known[place] or self.new_documents[place])[0], data)
            for place, change in self._changes.items()
            for seq, data in change.updates
        ]
        _add_updates.change(connection, updates)

    def _find_documents(self, places: list[_Place]) -> None:
        """Look up row ids. They are asked for, not returned by the insert: databases that return
        them do so row by row, at three times the cost, or not at all."""
        keys_of: dict[tuple[int, str], list[str]] = {}
        for workspace, address in places:
            keys_of.setdefault((workspace, address.collection), []).append(address.key)
        for (workspace, collection), keys in keys_of.items():
            found = _find_documents.find(self._connection, (workspace, collection), keys)
            for key, document, epoch in found:
                self.new_documents[workspace, Address(collection, key)] = (document, epoch)

    def _store_rest(self) -> None:
        connection = self._connection
        _add_receipts.change(connection, self._receipts)
        outdated = [
            (workspace, replica, newest - RECEIPTS_KEPT)
            for (workspace, replica), newest in self._newest.items()
            if newest > RECEIPTS_KEPT
        ]
        _drop_receipts.change(connection, outdated)
        _drop_outbox.change(connection, self._acknowledged)
        _add_outbox.change(connection, [(*key, payload) for key, payload in self._outbox.items()])
        _add_refused.change(connection, self._refused)
        # Delete and insert, because every database spells an upsert in its own way.
        _drop_meta.change(connection, list(self._meta))
        _add_meta.change(connection, [(*key, value) for key, value in self._meta.items()])
        _drop_owners.change(connection, list(self._owners))
        _add_owners.change(connection, [(*key, value) for key, value in self._owners.items()])
