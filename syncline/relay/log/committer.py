"""The committer: one queue in front of the relay's store, for all workspaces.

What arrives while a transaction runs makes up the next one, so a quiet relay answers at once and a
busy one shares each fsync among many batches. Nothing is acknowledged and nobody is told before the
commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from syncline.engine.errors import PeerError, StoreError, SynclineError
from syncline.engine.names import Address
from syncline.stores import StoreCalls

from .committed import Committed
from .ledger import Ledger
from .submission import Submission

logger = logging.getLogger("syncline.relay")

_ENTRY_BYTES = 256  # what an update costs in memory beside its bytes
MAX_QUEUED = 4096
"""Batches that may wait for the next transactions; senders beyond it wait."""
MAX_QUEUED_BYTES = 64 << 20
"""Their size, likewise; one batch more may wait."""
MAX_TRANSACTION = 500
"""Batches in one transaction."""
MAX_TRANSACTION_ENTRIES = 2000
"""Updates in one transaction, so that with one more batch they fit a frame."""
MAX_TRANSACTION_BYTES = 4 << 20
"""A transaction closes beyond this, so that with one more batch its frame is within the limit."""


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
        self._queue: asyncio.Queue[Submission] = asyncio.Queue(MAX_QUEUED)
        self._queued_bytes = 0
        self._entering = asyncio.Lock()  # first come, first served
        self._room_again = asyncio.Event()

    async def submit(self, submission: Submission) -> None:
        """Queue a submission; waits while the queue is full, which slows its sender down."""
        async with self._entering:
            while self._queued_bytes >= MAX_QUEUED_BYTES:
                self._room_again.clear()
                await self._room_again.wait()
            await self._queue.put(submission)
            self._queued_bytes += _memory(submission)

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._commit(await self._next())

    async def _next(self) -> list[Submission]:
        """What makes up the next transaction: whatever is there, at least one."""
        batch = [self._taken(await self._queue.get())]
        size, entries = batch[0].size, len(batch[0].entries)
        while (
            not self._queue.empty()
            and len(batch) < MAX_TRANSACTION
            and size < MAX_TRANSACTION_BYTES
            and entries < MAX_TRANSACTION_ENTRIES
        ):
            batch.append(self._taken(self._queue.get_nowait()))
            size += batch[-1].size
            entries += len(batch[-1].entries)
        return batch

    def _taken(self, submission: Submission) -> Submission:
        self._queued_bytes -= _memory(submission)
        self._room_again.set()
        return submission

    async def _commit(self, batch: list[Submission]) -> None:
        try:
            outcomes, committed = await self._writer(self._ledger.commit, batch)
            self._announce(committed, batch)
        except StoreError as error:
            if error.retry_after is None:
                await self._commit_singly(batch, error)
                return
            # The replicas keep their batches and offer them again.
            logger.error("%d batches were not committed: %s", len(batch), error)
            for submission in batch:
                submission.settle(error)
        except Exception as error:
            logger.exception("a defect of the relay: %d batches were not committed", len(batch))
            await self._commit_singly(batch, _defect(error))
        else:
            for submission, outcome in zip(batch, outcomes, strict=True):
                submission.settle(outcome)

    async def _commit_singly(self, batch: list[Submission], error: SynclineError) -> None:
        """Find what in ``batch`` the store does not take, so that nothing else suffers from it."""
        if len(batch) > 1:
            for submission in batch:
                await self._commit([submission])
            return
        (submission,) = batch
        try:
            outcome, committed = await self._writer(self._ledger.commit_singly, submission, error)
        except StoreError as failure:
            submission.settle(failure)
        except Exception as failure:
            logger.exception("a defect of the relay: a batch was not committed")
            submission.settle(_defect(failure))
        else:
            self._announce(committed, batch)
            submission.settle(outcome)

    def _announce(self, committed: list[Committed], batch: list[Submission]) -> None:
        """Tell those who wait for changes, before their authors get their acknowledgements."""
        for stretch in committed:
            self._publish(stretch)
        for submission in batch:
            for entry in submission.entries:
                self._logged(submission.workspace, entry.address, len(entry.update))


def _memory(submission: Submission) -> int:
    return submission.size + _ENTRY_BYTES * len(submission.entries)


def _defect(error: Exception) -> PeerError:
    return PeerError(
        "relay-defect",
        f"The relay failed on a batch ({type(error).__name__}).",
        hint="Your changes are kept and offered again; tell the operator to look at the relay's "
        "log.",
        retry_after=30.0,
    )
