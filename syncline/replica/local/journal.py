"""The journal: what one replica's store does not hold yet, and the loop that writes it down.

Everything a replica learns goes through here: local changes, changes from the relay with the cursor
that they reach, acknowledgements. The loop takes all that has gathered while the last transaction
ran and commits it as one (group commit without a timer). A batch is offered to the relay only after
the commit that holds it: a crash before may lose the change, and its operation numbers are then
used again, so nobody else may have seen them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from syncline.engine.clock import HybridClock
from syncline.engine.document.document import merge_updates
from syncline.engine.errors import LimitExceeded, StoreError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.protocol.outbox import merge_runs, pack
from syncline.engine.updates.by_document import EpochUpdates
from syncline.engine.updates.parse import encode_state_vector
from syncline.stores import DocumentWrite, OutboxBatch, RefusedUpdate, Store, StoreCalls, Write

from .document_cache import DocumentCache

logger = logging.getLogger("syncline.replica")

MAX_UNSAVED_BYTES = 256 << 20
"""Local changes that may wait for the disk; a program that writes without ever awaiting meets
it."""
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Changes:
    """What the next transaction adds to one document's log: changes from elsewhere, which cannot
    build on local ones that nobody has seen yet, and then those.

    The local ones are rows of their own, byte for byte the outbox's, so that what is not
    acknowledged can be told from what it was made on (forks.py).
    """

    epoch: int
    remote: list[bytes] = field(default_factory=list[bytes])
    local: list[bytes] = field(default_factory=list[bytes])

    @property
    def size(self) -> int:
        return sum(map(len, self.remote)) + sum(map(len, self.local))

    @property
    def count(self) -> int:
        return len(self.remote) + len(self.local)


@dataclass(slots=True)
class Gathered:
    """What the next transaction will hold."""

    documents: dict[Address, Changes] = field(default_factory=dict[Address, Changes])
    offered: list[Entry] = field(default_factory=list[Entry])
    acknowledged: list[int] = field(default_factory=list[int])
    refused: list[RefusedUpdate] = field(default_factory=list[RefusedUpdate])
    meta: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Commit:
    """A transaction on its way to the store. Until it is there, none that is later goes.

    Both the loop and ``save`` may bring it there; ``stored`` belongs to the thread that writes.
    """

    writes: list[Write]
    documents: dict[Address, Changes]
    version: int
    batches: int
    stored: bool = False

    def store(self, store: Store) -> None:
        if not self.stored:
            store.write(self.writes)
            self.stored = True


class Journal:
    """The write side of a replica's store.

    ``last_batch`` is the number of the newest batch in the store, ``acknowledged`` the number up to
    which the relay has all batches, ``pending`` how many it has not.
    """

    def __init__(
        self,
        store: Store,
        store_thread: StoreCalls,
        workspace: str,
        documents: DocumentCache,
        clock: HybridClock,
        live_of: Callable[[Address], bool | None],
        row_of: Callable[[Address], Mapping[str, Any] | None],
    ) -> None:
        self._store = store
        self._store_thread = store_thread
        self._workspace = workspace
        self._documents = documents
        self._clock = clock
        self._live_of = live_of
        self._row_of = row_of
        self._commit: Commit | None = None
        self._gathered = Gathered()
        self._bytes = 0
        self._version = 0
        self._durable = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._closing = False
        self.error: StoreError | None = None
        self.on_durable: Callable[[], None] = lambda: None
        self.on_written: Callable[[list[Write]], None] = lambda _writes: None
        meta = store.meta(workspace)
        self.last_batch = int(meta.get("last_batch", "0"))
        self.durable_batch = self.last_batch
        """The number of the newest batch in a committed transaction."""
        waiting = store.outbox(workspace, after=0, limit=1)
        self.acknowledged = waiting[0].number - 1 if waiting else self.last_batch
        self._outstanding = store.outbox_count(workspace)

    @property
    def pending(self) -> int:
        gathered = self._gathered
        local = gathered.offered or any(each.local for each in gathered.documents.values())
        return self._outstanding + bool(local)

    @property
    def unsaved_bytes(self) -> int:
        """Size of the updates that are in no committed transaction yet."""
        return self._bytes

    @property
    def saved(self) -> bool:
        """Whether the store holds everything."""
        return self._durable == self._version

    def check_room(self) -> None:
        """Raise LimitExceeded, before anything is changed, when too much waits for the disk."""
        if self._bytes > MAX_UNSAVED_BYTES:
            raise LimitExceeded(
                f"{self._bytes >> 20} MiB of local changes wait to be written to the store.",
                hint="Await replica.flushed() now and then in a loop that writes this much.",
            )

    def add(self, address: Address, epoch: int, updates: list[bytes], *, local: bool) -> None:
        """Keep updates of one document, in causal order; local ones go to the relay too.

        The first one of a later epoch ends the document's log so far.
        """
        changes = self._gathered.documents.get(address)
        if changes is None or changes.epoch < epoch:
            if changes is not None:
                self._bytes -= changes.size
            changes = self._gathered.documents[address] = Changes(epoch)
        (changes.local if local else changes.remote).extend(updates)
        unsaved = self._documents.unsaved.get(address)
        if unsaved is None or unsaved.epoch < epoch:
            unsaved = self._documents.unsaved[address] = EpochUpdates(epoch)
        unsaved.updates.extend(updates)
        self._bytes += sum(map(len, updates))
        self._changed()

    def offer(self, address: Address, epoch: int, update: bytes) -> None:
        """Send the relay an update of what the store already holds."""
        self._gathered.offered.append(Entry(address, update, epoch))
        self._changed()

    def set_meta(self, key: str, value: str) -> None:
        self._gathered.meta[key] = value
        self._changed()

    def acknowledge(self, batch: int, refused: list[RefusedUpdate]) -> None:
        """The relay holds ``batch``, but for what it refused. A repeated one is of no effect."""
        if batch <= self.acknowledged:
            return
        self.acknowledged = batch
        self._gathered.acknowledged.append(batch)
        self._gathered.refused.extend(refused)
        self._outstanding -= 1
        self._changed()

    def quarantine(self, refused: RefusedUpdate) -> None:
        """Keep an update that could not be used, with the reason."""
        self._gathered.refused.append(refused)
        self._changed()

    def outbox(self, after: int, limit: int) -> list[OutboxBatch]:
        """Durable batches not yet acknowledged, numbered above ``after``."""
        return self._store.outbox(self._workspace, after=after, limit=limit)

    def _changed(self) -> None:
        self._version += 1
        self._wake.set()

    async def flushed(self) -> None:
        """Return when the store holds everything given so far. Raises the StoreError that prevents
        it."""
        goal = self._version
        async with self._progress:
            await self._progress.wait_for(lambda: self._durable >= goal or self.error is not None)
        if self._durable < goal and self.error is not None:
            raise self.error

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition`` holds; it is looked at after every commit and
        acknowledgement."""
        async with self._progress:
            await self._progress.wait_for(condition)

    async def notify(self) -> None:
        """Have everyone look at their conditions again."""
        async with self._progress:
            self._progress.notify_all()

    async def run(self) -> None:
        """Write what gathers, until ``close``."""
        try:
            while not (self._closing and self.saved):
                await self._wake.wait()
                self._wake.clear()
                if not self.saved:
                    await self._write()
                await self.notify()
        except Exception as error:
            # Whoever waits must not wait for ever; ``run``'s own caller gets the exception itself.
            if self.error is None:
                self.error = StoreError(
                    f"A defect ended the writing of changes: {error!r}.",
                    hint="Report this with its traceback; what was not flushed is not on disk.",
                )
            await self.notify()
            raise

    def close(self) -> None:
        """Let ``run`` return once everything is written."""
        self._closing = True
        self._wake.set()

    def save(self) -> None:
        """Make everything given so far durable at once, blocking. Raises the StoreError that
        prevents it; the loop goes on trying."""
        while not self.saved:
            commit = self._next()
            try:
                self._store_thread.wait(commit.store, self._store)
            except StoreError as error:
                self.error = error
                raise
            self._finish(commit)
        self._wake.set()  # the loop tells those who wait

    async def _write(self) -> None:
        commit = self._next()
        while commit is self._commit:  # ``save`` may finish it meanwhile
            try:
                await self._store_thread(commit.store, self._store)
            except StoreError as error:
                # Nothing is lost yet: the same writes are tried again until the disk takes them.
                logger.error("the replica's store does not take changes: %s", error)
                self.error = error
                await self.notify()
                if self._closing:
                    raise
                await asyncio.sleep(error.retry_after or RETRY_SECONDS)
            else:
                self._finish(commit)

    def _next(self) -> Commit:
        """The transaction that has to reach the store first: the one that has not yet, or one of
        all that has gathered."""
        if self._commit is None:
            gathered, self._gathered = self._gathered, Gathered()
            version = self._version
            writes, batches = self._prepare(gathered)
            self._outstanding += batches  # already now: while they are written they are pending too
            self._commit = Commit(writes, gathered.documents, version, batches)
        return self._commit

    def _finish(self, commit: Commit) -> None:
        """Take note that ``commit`` is durable; of no effect the second time."""
        if commit is not self._commit:
            return
        self._commit = None
        self.error = None
        self._durable = commit.version
        self.durable_batch += commit.batches
        for address, changes in commit.documents.items():
            self._forget(address, changes)
        if not self.saved:
            self._wake.set()
        self.on_written(commit.writes)
        self.on_durable()

    def _forget(self, address: Address, changes: Changes) -> None:
        self._bytes -= changes.size
        unsaved = self._documents.unsaved[address]
        if unsaved.epoch != changes.epoch:
            return  # begun anew meanwhile
        rest = unsaved.updates[changes.count :]
        if rest:
            self._documents.unsaved[address] = EpochUpdates(unsaved.epoch, rest)
        else:
            del self._documents.unsaved[address]

    def _prepare(self, gathered: Gathered) -> tuple[list[Write], int]:
        local = {
            address: merge_runs(changes.local) for address, changes in gathered.documents.items()
        }
        entries = [
            Entry(address, update, gathered.documents[address].epoch)
            for address, updates in local.items()
            for update in updates
        ]
        batches = pack(entries + gathered.offered, self.last_batch + 1)
        self.last_batch += len(batches)
        writes = [
            Write(
                self._workspace,
                documents=tuple(
                    self._document_write(address, changes, local[address])
                    for address, changes in gathered.documents.items()
                ),
                outbox=tuple(OutboxBatch(batch.number, batch.payload) for batch in batches),
                refused=tuple(gathered.refused),
                meta={
                    **gathered.meta,
                    "last_batch": str(self.last_batch),
                    "clock": str(self._clock.last),
                },
            )
        ]
        writes.extend(
            Write(self._workspace, acknowledged=number) for number in gathered.acknowledged
        )
        return writes, len(batches)

    def _document_write(
        self, address: Address, changes: Changes, local: list[bytes]
    ) -> DocumentWrite:
        remote = [merge_updates(changes.remote)] if changes.remote else []
        return DocumentWrite(
            address,
            updates=(*remote, *local),
            state_vector=encode_state_vector(self._documents.get(address).state_vector()),
            live=self._live_of(address),
            epoch=changes.epoch,
            row=self._row_of(address),
        )
