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
from collections.abc import Callable
from dataclasses import dataclass, field

from syncline.engine.clock import HybridClock
from syncline.engine.document import merge_updates
from syncline.engine.errors import LimitExceeded, StoreError
from syncline.engine.names import Address
from syncline.engine.outbox import pack
from syncline.engine.updates import encode_state_vector
from syncline.stores import DocumentWrite, OutboxBatch, RefusedUpdate, Run, Store, Write

from .documents import DocumentCache

logger = logging.getLogger("syncline.replica")

MAX_UNSAVED_BYTES = 256 << 20
"""Local changes that may wait for the disk; a program that writes without ever awaiting meets
it."""
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Gathered:
    """What the next transaction will hold."""

    documents: dict[Address, list[bytes]] = field(default_factory=dict[Address, list[bytes]])
    local: dict[Address, list[bytes]] = field(default_factory=dict[Address, list[bytes]])
    acknowledged: list[int] = field(default_factory=list[int])
    refused: list[RefusedUpdate] = field(default_factory=list[RefusedUpdate])
    meta: dict[str, str] = field(default_factory=dict[str, str])


class Journal:
    """The write side of a replica's store.

    ``last_batch`` is the number of the newest batch in the store, ``acknowledged`` the number up to
    which the relay has all batches, ``pending`` how many it has not.
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        workspace: str,
        documents: DocumentCache,
        clock: HybridClock,
        live_of: Callable[[Address], bool | None],
    ) -> None:
        self._store = store
        self._run = run
        self._workspace = workspace
        self._documents = documents
        self._clock = clock
        self._live_of = live_of
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
        return self._outstanding + bool(self._gathered.local)

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

    def add(self, address: Address, updates: list[bytes], *, local: bool) -> None:
        """Keep updates of one document, in causal order; local ones go to the relay too."""
        self._gathered.documents.setdefault(address, []).extend(updates)
        self._documents.unsaved.setdefault(address, []).extend(updates)
        if local:
            self._gathered.local.setdefault(address, []).extend(updates)
        self._bytes += sum(map(len, updates))
        self._changed()

    def offer(self, address: Address, update: bytes) -> None:
        """Send the relay an update of what the store already holds."""
        self._gathered.local.setdefault(address, []).append(update)
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
                    await self._commit()
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

    async def _commit(self) -> None:
        gathered, self._gathered = self._gathered, Gathered()
        version = self._version
        writes, batches = self._prepare(gathered)
        self._outstanding += batches  # already now: while they are written they are pending too
        while True:
            try:
                await self._run(self._store.write, writes)
                break
            except StoreError as error:
                # Nothing is lost yet: the same writes are tried again until the disk takes them.
                logger.error("the replica's store does not take changes: %s", error)
                self.error = error
                await self.notify()
                if self._closing:
                    raise
                await asyncio.sleep(error.retry_after or RETRY_SECONDS)
        self.error = None
        self._durable = version
        self.durable_batch += batches
        for address, updates in gathered.documents.items():
            self._forget(address, updates)
        self.on_written(writes)
        self.on_durable()
        await self.notify()

    def _forget(self, address: Address, updates: list[bytes]) -> None:
        self._bytes -= sum(map(len, updates))
        rest = self._documents.unsaved[address][len(updates) :]
        if rest:
            self._documents.unsaved[address] = rest
        else:
            del self._documents.unsaved[address]

    def _prepare(self, gathered: Gathered) -> tuple[list[Write], int]:
        batches = pack(gathered.local.items(), self.last_batch + 1)
        self.last_batch += len(batches)
        writes = [
            Write(
                self._workspace,
                documents=tuple(
                    self._document_write(address, updates)
                    for address, updates in gathered.documents.items()
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

    def _document_write(self, address: Address, updates: list[bytes]) -> DocumentWrite:
        return DocumentWrite(
            address,
            updates=(merge_updates(updates),),
            state_vector=encode_state_vector(self._documents.get(address).state_vector()),
            live=self._live_of(address),
        )
