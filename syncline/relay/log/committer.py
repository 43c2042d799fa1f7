"""The committer: one queue in front of the relay's store, for all workspaces.

What arrives while a transaction runs makes up the next one, so a quiet relay answers at once and a
busy one shares each fsync among many batches. Nothing is acknowledged and nobody is told before the
commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syncline.engine.errors import PeerError, StoreError, SynclineError
from syncline.engine.names import Address
from syncline.stores import StoreCalls

from .ledger import Ledger
from .submission import Committed, Settled, Submission

logger = logging.getLogger("syncline.relay")

_ENTRY_BYTES = 256  # what an update costs in memory beside its bytes
MAX_QUEUED = 4096
"""Batches that may wait for the next transactions; senders beyond it wait."""
MAX_QUEUED_BYTES = 64 << 20
"""Their size, likewise; one batch more may wait."""
MAX_TRANSACTION = 500
"""Batches in one transaction."""
MAX_TRANSACTION_ENTRIES = 20_000
"""Updates in one transaction, so that with one more batch they fit a frame."""
MAX_TRANSACTION_BYTES = 4 << 20
"""A transaction closes beyond this, so that with one more batch its frame is within the limit."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is in the queue, and who is told its outcome."""

    submitted: Submission
    settle: Callable[[Settled | SynclineError], None]

    @property
    def size(self) -> int:
        return sum(len(entry.update) for entry in self.submitted.entries)

    @property
    def memory(self) -> int:
        return self.size + _ENTRY_BYTES * len(self.submitted.entries)


class Committer:
    """Commits batches in the order they come.

    ``logged`` hears of each update in a committed batch: workspace, address, size.
    """

    def __init__(
        self,
        ledger: Ledger,
        writer: StoreCalls,
        publish: Callable[[Committed], None],
        logged: Callable[[str, Address, int], None] = lambda _workspace, _address, _size: None,
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._publish = publish
        self._logged = logged
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue(MAX_QUEUED)
        self._queued_bytes = 0
        self._entering = asyncio.Lock()  # first come, first served
        self._room_again = asyncio.Event()

    async def submit(self, waiting: Waiting) -> None:
        """Queue a batch; waits while the queue is full, which slows its sender down."""
        async with self._entering:
            while self._queued_bytes >= MAX_QUEUED_BYTES:
                self._room_again.clear()
                await self._room_again.wait()
            await self._queue.put(waiting)
            self._queued_bytes += waiting.memory

    def _taken(self, waiting: Waiting) -> Waiting:
        self._queued_bytes -= waiting.memory
        self._room_again.set()
        return waiting

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            batch = [self._taken(await self._queue.get())]
            size, entries = batch[0].size, len(batch[0].submitted.entries)
            while (
                not self._queue.empty()
                and len(batch) < MAX_TRANSACTION
                and size < MAX_TRANSACTION_BYTES
                and entries < MAX_TRANSACTION_ENTRIES
            ):
                batch.append(self._taken(self._queue.get_nowait()))
                size += batch[-1].size
                entries += len(batch[-1].submitted.entries)
            await self._commit(batch)

    async def _commit(self, batch: list[Waiting]) -> None:
        try:
            outcomes = await self._store(batch)
        except StoreError as error:
            if error.retry_after is None:
                await self._commit_singly(batch, error)
                return
            # The replicas keep their batches and offer them again.
            logger.error("%d batches were not committed: %s", len(batch), error)
            outcomes = [error] * len(batch)
        except Exception as error:
            logger.exception("a defect of the relay: %d batches were not committed", len(batch))
            await self._commit_singly(batch, _defect(error))
            return
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.settle(outcome)

    async def _store(self, batch: list[Waiting]) -> Sequence[Settled | SynclineError]:
        submitted = [waiting.submitted for waiting in batch]
        outcomes, committed = await self._writer(self._ledger.commit, submitted)
        self._announce(committed, submitted)
        return outcomes

    def _announce(self, committed: list[Committed], submitted: list[Submission]) -> None:
        for commit in committed:
            self._publish(commit)
        for batch in submitted:
            for entry in batch.entries:
                self._logged(batch.workspace, entry.address, len(entry.update))

    async def _commit_singly(self, batch: list[Waiting], error: SynclineError) -> None:
        """Find what in ``batch`` the store does not take, so that nothing else suffers from it."""
        if len(batch) > 1:
            for waiting in batch:
                await self._commit([waiting])
            return
        (waiting,) = batch
        try:
            settled, committed = await self._writer(
                self._ledger.commit_singly, waiting.submitted, error
            )
        except StoreError as failure:
            waiting.settle(failure)
            return
        except Exception as failure:
            logger.exception("a defect of the relay: a batch was not committed")
            waiting.settle(_defect(failure))
            return
        self._announce(committed, [waiting.submitted])
        waiting.settle(settled)


def _defect(error: Exception) -> PeerError:
    return PeerError(
        "relay-defect",
        f"The relay failed on a batch ({type(error).__name__}).",
        hint="Your changes are kept and offered again; tell the operator to look at the relay's "
        "log.",
        retry_after=30.0,
    )
