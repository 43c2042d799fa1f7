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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from syncline.engine.clock import HybridClock
from syncline.engine.document.document import merge_updates
from syncline.engine.errors import ReplicaClosed, StoreError, SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.batches import merge_runs
from syncline.engine.protocol.messages import Entry
from syncline.engine.updates.parse import StateVector, encode_state_vector
from syncline.stores import DocumentWrite, OutboxBatch, RefusedUpdate, Store, StoreCalls, Write

from .loop_turns import LoopTurns
from .outbox import Outbox
from .pace import Pace
from .unsaved import Unsaved

logger = logging.getLogger("syncline.replica")

RETRY_SECONDS = 1.0


class Description(NamedTuple):
    """What the store is to say of a document beside its log: see DocumentWrite."""

    state_vector: StateVector
    live: bool | None
    row: Mapping[str, Any] | None


class Describer(Protocol):
    """Where the journal learns what has become of the documents that a commit changes."""

    def describe(self, address: Address) -> Description:
        """The document as it is now. Asked once for each document of a commit."""
        ...


class CommitListener(Protocol):
    """Who is told of commits, in the event loop; it must not block."""

    def committed(self, writes: Sequence[Write], /) -> None:
        """All of ``writes`` are durable."""
        ...


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
class Preparation:
    """A transaction that is being made of what has gathered, a document at a time: ``waiting`` are
    those that are still to be described. One that is about to change is described first, so that
    the transaction says of each what its updates make of it, and nothing of what comes after."""

    gathered: Gathered
    version: int
    waiting: dict[Address, Changes]
    writes: dict[Address, DocumentWrite] = field(default_factory=dict[Address, DocumentWrite])
    entries: dict[Address, list[Entry]] = field(default_factory=dict[Address, list[Entry]])


@dataclass(slots=True)
class Commit:
    """A transaction on its way to the store. Until it is there, none that is later goes.

    Both the loop and ``save`` may bring it there; ``stored`` belongs to the thread that writes.
    """

    writes: list[Write]
    documents: dict[Address, Changes]
    version: int
    outbox: tuple[OutboxBatch, ...]
    stored: bool = False

    def store(self, store: Store) -> None:
        if not self.stored:
            store.write(self.writes)
            self.stored = True


class Journal:
    """The write side of a replica's store.

    What it has not committed stands in ``unsaved``, the batches that it makes in ``outbox``.
    """

    def __init__(
        self,
        store: Store,
        store_thread: StoreCalls,
        workspace: str,
        unsaved: Unsaved,
        outbox: Outbox,
        describer: Describer,
        clock: HybridClock,
        pace: Pace,
    ) -> None:
        self._store = store
        self._store_thread = store_thread
        self._workspace = workspace
        self._unsaved = unsaved
        self._outbox = outbox
        self._describer = describer
        self._clock = clock
        self._pace = pace
        self._preparing: Preparation | None = None
        self._commit: Commit | None = None
        self._gathered = Gathered()
        self._version = 0
        self._durable = 0
        self._wake = asyncio.Event()
        self._turns = LoopTurns()
        self._progress = asyncio.Condition()
        self._listeners: list[CommitListener] = []
        self._closing = False
        self.error: SynclineError | None = None
        self._ended_by: SynclineError | None = None

    def subscribe(self, listener: CommitListener) -> None:
        """Tell ``listener`` of every commit from now on, until ``unsubscribe``."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: CommitListener) -> None:
        self._listeners.remove(listener)

    @property
    def pending(self) -> int:
        """How many batches the relay does not have, one that is still gathering included."""
        gathered = self._gathered
        local = gathered.offered or any(each.local for each in gathered.documents.values())
        return self._outbox.pending + bool(local)

    @property
    def saved(self) -> bool:
        """Whether the store holds everything."""
        return self._durable == self._version

    def check_taking(self) -> None:
        """Raise, before anything is changed, what prevents that a change is stored: the error that
        has ended the writing, ReplicaClosed from ``close`` on, which would not come to an end while
        somebody goes on writing, or LimitExceeded when too much waits for the disk."""
        self.check_running()
        if self._closing:
            raise _closed()
        if self._turns.is_held():
            self._save_meanwhile()
        self._unsaved.check_space()

    def check_running(self) -> None:
        """Raise what has ended the writing."""
        if self._ended_by is not None:
            raise self._ended_by

    def add(self, address: Address, epoch: int, updates: list[bytes], *, local: bool) -> None:
        """Keep updates of one document, in causal order; local ones go to the relay too.

        The first one of a later epoch ends the document's log so far.
        """
        changes = self._gathered.documents.get(address)
        if changes is None or changes.epoch < epoch:
            changes = self._gathered.documents[address] = Changes(epoch)
        (changes.local if local else changes.remote).extend(updates)
        self._unsaved.add(address, epoch, updates)
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
        if not self._outbox.acknowledge(batch):
            return
        self._gathered.acknowledged.append(batch)
        self._gathered.refused.extend(refused)
        self._changed()

    def quarantine(self, refused: RefusedUpdate) -> None:
        """Keep an update that could not be used, with the reason."""
        self._gathered.refused.append(refused)
        self._changed()

    def _changed(self) -> None:
        self._version += 1
        self._wake.set()
        self._turns.changed()

    def _save_meanwhile(self) -> None:
        """Save, blocking: a program that writes all the time does not let the loop do it."""
        try:
            self.save()
        except StoreError as error:  # the loop tries again, and whoever waits is told
            logger.error("the replica's store does not take changes: %s", error)

    async def flushed(self) -> None:
        """Return when the store holds everything given so far. Raises what prevents it."""
        goal = self._version
        async with self._progress:
            await self._progress.wait_for(
                lambda: self._durable >= goal or (self.error or self._ended_by) is not None
            )
        error = self.error or self._ended_by
        if self._durable < goal and error is not None:
            raise error

    async def caught_up(self, documents: int) -> None:
        """Return when at most so many documents have changes that are not on the disk, or, while a
        program writes all the time, when those of now are. A store that fails is not waited for: it
        is tried again, and more may come meanwhile."""
        if len(self._unsaved) > documents:
            goal = self._version
            await self.wait_for(
                lambda: (
                    len(self._unsaved) <= documents
                    or self._durable >= goal
                    or self.error is not None
                )
            )

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition`` holds; it is looked at after every commit and
        acknowledgement. Raises what has ended the writing: nothing changes any more then."""
        async with self._progress:
            await self._progress.wait_for(lambda: self._ended_by is not None or condition())
        self.check_running()

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
            self._end(error)
            raise
        except asyncio.CancelledError:
            self._leave()
            raise
        finally:
            self._ended_by = self._ended_by or _closed()
            await self.notify()  # whoever waits must not wait for ever

    def _leave(self) -> None:
        """Save what is left, blocking: the event loop ends, and nobody closed the replica."""
        try:
            self.save()
        except StoreError as error:
            logger.error("changes are lost: the replica was not closed, and %s", error)
        self._ended_by = self._ended_by or _loop_ended()

    def _end(self, error: Exception) -> None:
        """Take nothing more, because of a defect or of a store that fails at the closing."""
        if self._ended_by is None:
            self._ended_by = self.error = self.error or StoreError(
                f"A defect ended the writing of changes: {error!r}.",
                hint="Report this with its traceback; what was not flushed is not on disk.",
            )

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
        while self._commit is None and not self.saved:  # ``save`` may do it meanwhile
            described = self._describe_next(self._begun())
            if described is None:
                break
            await self._pace.spend(1, described)
        if self.saved:
            return
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
        all that has gathered. Raises what has ended the writing."""
        self.check_running()
        if self._commit is None:
            preparing = self._begun()
            while self._describe_next(preparing) is not None:
                pass
            self._preparing = None
            writes = self._prepare(preparing)
            documents = preparing.gathered.documents
            self._commit = Commit(writes, documents, preparing.version, writes[0].outbox)
        return self._commit

    def _begun(self) -> Preparation:
        """What the next transaction is made of. Raises what has ended the writing."""
        if self._ended_by is not None:
            raise self._ended_by
        if self._preparing is None:
            gathered, self._gathered = self._gathered, Gathered()
            self._preparing = Preparation(gathered, self._version, dict(gathered.documents))
        return self._preparing

    def _describe_next(self, preparing: Preparation) -> int | None:
        """Describe one more document; returns the size of its changes, None when all are."""
        address = next(iter(preparing.waiting), None)
        if address is None:
            return None
        self._describe(preparing, address)
        changes = preparing.gathered.documents[address]
        return sum(map(len, changes.remote)) + sum(map(len, changes.local))

    def describe_before_change(self, address: Address) -> None:
        """A document is about to change: the transaction that is being prepared is to say what it
        was before."""
        if self._preparing is not None and address in self._preparing.waiting:
            self._describe(self._preparing, address)

    def _describe(self, preparing: Preparation, address: Address) -> None:
        try:
            changes = preparing.waiting[address]
            local = merge_runs(changes.local)
            preparing.writes[address] = self._document_write(address, changes, local)
            preparing.entries[address] = [Entry(address, each, changes.epoch) for each in local]
            del preparing.waiting[address]
        except Exception as error:
            self._end(error)  # what had gathered is lost, and all that comes would build on it
            raise

    def _finish(self, commit: Commit) -> None:
        """Take note that ``commit`` is durable; of no effect the second time."""
        if commit is not self._commit:
            return
        self._commit = None
        self.error = None
        self._durable = commit.version
        self._outbox.committed(commit.outbox)
        for address, changes in commit.documents.items():
            self._unsaved.remove(address, changes.epoch, changes.count)
        if not self.saved:
            self._wake.set()
        for listener in self._listeners:
            listener.committed(commit.writes)

    def _prepare(self, preparing: Preparation) -> list[Write]:
        gathered = preparing.gathered
        entries = [entry for address in gathered.documents for entry in preparing.entries[address]]
        batches = self._outbox.pack(entries + gathered.offered)
        writes = [
            Write(
                self._workspace,
                documents=tuple([preparing.writes[address] for address in gathered.documents]),
                outbox=batches,
                refused=tuple(gathered.refused),
                meta={
                    **gathered.meta,
                    "last_batch": str(self._outbox.last),
                    "clock": str(self._clock.last),
                },
            )
        ]
        writes.extend(
            Write(self._workspace, acknowledged=number) for number in gathered.acknowledged
        )
        return writes

    def _document_write(
        self, address: Address, changes: Changes, local: list[bytes]
    ) -> DocumentWrite:
        remote = [merge_updates(changes.remote)] if changes.remote else []
        state_vector, live, row = self._describer.describe(address)
        return DocumentWrite(
            address,
            updates=(*remote, *local),
            state_vector=encode_state_vector(state_vector),
            live=live,
            epoch=changes.epoch,
            row=row,
        )


def _closed() -> ReplicaClosed:
    return ReplicaClosed(
        "The replica is closed.",
        hint="Use it inside `async with Replica.open(…) as replica:`.",
    )


def _loop_ended() -> ReplicaClosed:
    return ReplicaClosed(
        "The replica takes no more changes: the event loop that it was opened in has ended, or has "
        "cancelled its tasks.",
        hint="Open, use and close it in one asyncio.run(…), or one asyncio.Runner.",
    )
