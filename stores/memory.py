"""MemoryStore: the content of a store in dicts, for tests and simulation."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from syncline.engine.errors import UsageError
from syncline.engine.names import Address
from syncline.engine.records.projection import ProjectedTable

from .base import (
    RECEIPTS_KEPT,
    DocumentInfo,
    DocumentState,
    LogPage,
    LogSize,
    OutboxBatch,
    Receipt,
    RefusedUpdate,
    RowOf,
    StoredDocument,
    StoredUpdate,
    Write,
)
from .faults import already_stored, not_open, outdated

if TYPE_CHECKING:
    from sqlalchemy import Select

_NAME = "The memory store"
_numbers = itertools.count(1)


@dataclass(slots=True)
class _Document:
    state_vector: bytes
    live: bool | None = None
    epoch: int = 0
    log: list[StoredUpdate] = field(default_factory=list[StoredUpdate])

    @property
    def last_seq(self) -> int:
        return self.log[-1].seq if self.log else 0

    def state(self, address: Address) -> DocumentState:
        return DocumentState(
            address, self.epoch, self.state_vector, self.live, self.last_seq, self.size
        )

    @property
    def size(self) -> int:
        return sum(len(update.data) for update in self.log)


@dataclass(slots=True)
class _Workspace:
    head: int = 0
    log: list[StoredUpdate] = field(default_factory=list[StoredUpdate])  # by seq, with holes
    documents: dict[Address, _Document] = field(default_factory=dict[Address, _Document])
    receipts: dict[str, dict[int, Receipt]] = field(default_factory=dict[str, dict[int, Receipt]])
    outbox: dict[int, bytes] = field(default_factory=dict[int, bytes])
    refused: list[RefusedUpdate] = field(default_factory=list[RefusedUpdate])
    meta: dict[str, str] = field(default_factory=dict[str, str])
    owners: dict[str, str] = field(default_factory=dict[str, str])


class MemoryStore:
    """A store that lives as long as this object does, and no longer.

    The object is the disk: its content survives ``close`` and ``open``, and a simulated crash
    keeps the object, drops everything else and opens it again without having closed it. For that
    reason opening an open MemoryStore is allowed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._was_open = False
        self._workspaces: dict[str, _Workspace] = {}
        self._number = next(_numbers)

    def copy(self) -> MemoryStore:
        """A closed store with the same content, as copying a database file makes one."""
        twin = MemoryStore()
        with self._lock:
            for name, space in self._workspaces.items():
                twin._workspaces[name] = _Workspace(
                    head=space.head,
                    log=list(space.log),
                    documents={
                        address: replace(document, log=list(document.log))
                        for address, document in space.documents.items()
                    },
                    receipts={replica: dict(kept) for replica, kept in space.receipts.items()},
                    outbox=dict(space.outbox),
                    refused=list(space.refused),
                    meta=dict(space.meta),
                    owners=dict(space.owners),
                )
        return twin

    def open(self) -> None:
        self._open = self._was_open = True

    def close(self) -> None:
        self._open = False

    def fingerprint(self) -> str:
        """Constant for this object; a copy has another one."""
        return f"memory:{self._number}"

    def project(
        self, tables: Sequence[ProjectedTable], *, anew: bool = False, row_of: RowOf | None = None
    ) -> dict[str, int]:
        """Of no effect: there is no SQL here. Rows in a write are taken and forgotten."""
        return {}

    def select(self, statement: Select[*tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        raise UsageError(
            "A memory store has no SQL tables, so it cannot be queried.",
            hint='Open the replica with a file, for example Replica.open("app.db", …), or iterate '
            "over the collection.",
        )

    def write(self, writes: Sequence[Write]) -> list[int]:
        with self._lock:
            self._expect_open()
            self._check(writes)
            return [self._apply(write) for write in writes]

    def compact(self, workspace: str, document: StoredDocument, snapshot: bytes) -> bool:
        with self._lock:
            space = self._space(workspace)
            kept = space.documents.get(document.address)
            through = document.last_seq
            replaced = [] if kept is None else [row for row in kept.log if row.seq <= through]
            if kept is None or not replaced or replaced[-1].seq != through:
                return False
            if tuple(row.data for row in replaced) != document.updates:
                return False
            whole = StoredUpdate(through, document.address, snapshot, kept.epoch)
            kept.log = [whole, *kept.log[len(replaced) :]]
            gone = {row.seq for row in replaced[:-1]}
            space.log = [
                whole if row.seq == through else row for row in space.log if row.seq not in gone
            ]
            return True

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        with self._lock:
            document = self._space(workspace).documents.get(address)
            if document is None:
                return None
            return StoredDocument(
                address,
                tuple(update.data for update in document.log),
                document.state_vector,
                document.live,
                document.last_seq,
                document.epoch,
            )

    def load_many(self, workspace: str, addresses: Sequence[Address]) -> list[StoredDocument]:
        found = (self.load(workspace, address) for address in addresses)
        return [document for document in found if document is not None]

    def state(self, workspace: str, address: Address) -> DocumentState | None:
        with self._lock:
            document = self._space(workspace).documents.get(address)
            return None if document is None else document.state(address)

    def states(
        self, workspace: str, after: Address, until: Address | None, limit: int
    ) -> list[DocumentState]:
        with self._lock:
            found = self._space(workspace).documents
            addresses = sorted(
                address
                for address in found
                if after < address and (until is None or address <= until)
            )
            return [found[address].state(address) for address in addresses[:limit]]

    def log_size(self, workspace: str, address: Address) -> LogSize | None:
        with self._lock:
            document = self._space(workspace).documents.get(address)
            if document is None or not document.log:
                return None
            return LogSize(len(document.log), document.size, len(document.log[0].data))

    def liveness(self, workspace: str, collection: str) -> list[tuple[str, bool | None]]:
        with self._lock:
            found = self._space(workspace).documents
            return [
                (address.key, document.live)
                for address, document in found.items()
                if address.collection == collection
            ]

    def documents(self, workspace: str, collection: str | None = None) -> Iterator[DocumentInfo]:
        with self._lock:
            found = [
                DocumentInfo(
                    address,
                    document.live,
                    document.last_seq,
                    len(document.log),
                    document.size,
                    document.epoch,
                )
                for address, document in sorted(
                    self._space(workspace).documents.items(), key=itemgetter(0)
                )
                if collection is None or address.collection == collection
            ]
        return iter(found)

    def since(self, workspace: str, cursor: int, *, max_bytes: int, max_updates: int) -> LogPage:
        with self._lock:
            space = self._space(workspace)
            start = bisect_right(space.log, cursor, key=attrgetter("seq"))
            taken: list[StoredUpdate] = []
            size = 0
            for update in space.log[start : start + max_updates]:
                size += len(update.data)
                if taken and size > max_bytes:
                    break
                taken.append(update)
            complete = start + len(taken) == len(space.log)
            return LogPage(tuple(taken), space.head if complete else taken[-1].seq, space.head)

    def workspaces(self) -> list[str]:
        with self._lock:
            self._expect_open()
            return sorted(name for name in self._workspaces if name)

    def head(self, workspace: str) -> int:
        with self._lock:
            return self._space(workspace).head

    def meta(self, workspace: str) -> dict[str, str]:
        with self._lock:
            return dict(self._space(workspace).meta)

    def owners(self, workspace: str, writers: Sequence[str]) -> dict[str, str]:
        with self._lock:
            found = self._space(workspace).owners
            return {writer: found[writer] for writer in writers if writer in found}

    def last_batch(self, workspace: str, replica: str) -> int:
        with self._lock:
            return max(self._space(workspace).receipts.get(replica, ()), default=0)

    def receipt(self, workspace: str, replica: str, batch: int) -> Receipt | None:
        with self._lock:
            return self._space(workspace).receipts.get(replica, {}).get(batch)

    def outbox(self, workspace: str, *, after: int = 0, limit: int) -> list[OutboxBatch]:
        with self._lock:
            kept = self._space(workspace).outbox
            numbers = sorted(number for number in kept if number > after)[:limit]
            return [OutboxBatch(number, kept[number]) for number in numbers]

    def outbox_count(self, workspace: str) -> int:
        with self._lock:
            return len(self._space(workspace).outbox)

    def refused(self, workspace: str) -> list[RefusedUpdate]:
        with self._lock:
            return list(self._space(workspace).refused)

    def _expect_open(self) -> None:
        if not self._open:
            raise not_open(_NAME, closed=self._was_open)

    def _space(self, workspace: str) -> _Workspace:
        self._expect_open()
        return self._workspaces.get(workspace) or _Workspace()

    def _check(self, writes: Sequence[Write]) -> None:
        """Find what would make a write fail, before anything changes: that makes it atomic."""
        receipts: set[tuple[str, str, int]] = set()
        outbox: dict[tuple[str, int], bool] = {}  # whether it is there after the writes so far
        epochs: dict[tuple[str, Address], int] = {}
        for write in writes:
            space = self._workspaces.get(write.workspace) or _Workspace()
            for change in write.documents:
                place = (write.workspace, change.address)
                document = space.documents.get(change.address)
                epoch = epochs.get(place, document.epoch if document else 0)
                if change.epoch < epoch:
                    raise outdated(_NAME, str(change.address), change.epoch, epoch)
                epochs[place] = change.epoch
            if write.receipt is not None:
                replica, batch = write.receipt.replica, write.receipt.batch
                key = (write.workspace, replica, batch)
                if key in receipts or batch in space.receipts.get(replica, ()):
                    raise already_stored(_NAME)
                receipts.add(key)
            if write.acknowledged is not None:
                outbox[write.workspace, write.acknowledged] = False
            for entry in write.outbox:
                slot = (write.workspace, entry.number)
                if outbox.get(slot, entry.number in space.outbox):
                    raise already_stored(_NAME)
                outbox[slot] = True

    def _apply(self, write: Write) -> int:
        space = self._workspaces.setdefault(write.workspace, _Workspace())
        for change in write.documents:
            document = space.documents.setdefault(change.address, _Document(b""))
            document.state_vector = change.state_vector
            if change.live is not None:
                document.live = change.live
            if change.epoch > document.epoch:
                document.epoch = change.epoch
                document.log.clear()
                space.log = [update for update in space.log if update.address != change.address]
            for data in change.updates:
                space.head += 1
                update = StoredUpdate(space.head, change.address, data, change.epoch)
                space.log.append(update)
                document.log.append(update)
        head = space.head
        if write.receipt is not None:
            kept = space.receipts.setdefault(write.receipt.replica, {})
            kept[write.receipt.batch] = replace(write.receipt, seq=head)
            while (oldest := next(iter(kept))) <= write.receipt.batch - RECEIPTS_KEPT:
                del kept[oldest]
        if write.acknowledged is not None:
            space.outbox.pop(write.acknowledged, None)
        for entry in write.outbox:
            space.outbox[entry.number] = entry.payload
        space.refused.extend(write.refused)
        space.meta.update(write.meta)
        space.owners.update(write.owners)
        return head
