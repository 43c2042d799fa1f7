"""The committer: one queue in front of the relay's store, for all workspaces.

What arrives while a transaction runs makes up the next one, so a quiet relay answers at once and a
busy one shares each fsync among many batches. Nothing is acknowledged and nobody is told before the
commit.

Who comes with little waits for the transaction that runs, and not for what others have queued: the
queue is a fair one, and a transaction is small.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable

from syncline.engine.errors import PeerError, StoreError, SynclineError
from syncline.engine.names import Address
from syncline.stores import StoreCalls

from .committed import Committed
from .fair_queue import FairQueue
from .ledger import Ledger
from .submission import PushedBatch, Submission

logger = logging.getLogger("syncline.relay")

_ENTRY_BYTES = 256  # what an update costs in memory beside its bytes
MAX_QUEUED = 4096
"""Batches that may wait for the next transactions; senders beyond it wait."""
MAX_QUEUED_BYTES = 64 << 20
"""Their size, likewise; one batch more may wait."""
MAX_TRANSACTION = 500
"""Batches in one transaction."""
MAX_TRANSACTION_ENTRIES = 100
"""Updates in one transaction; a batch with more is committed in parts."""
MAX_TRANSACTION_BYTES = 1 << 20
"""Their size, likewise."""
MAX_SENDER_BYTES = 8 << 20
"""Size of the batches of one sender that wait; one batch more may."""
# What a batch takes of its sender's share, in updates: as much of the store's time as these.
_BATCH_COST = 64
_BYTES_PER_UPDATE = 1024


class Committer:
    """Commits the batches of each sender in the order they come.

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
        self._queue = FairQueue[Submission]()
        self._queued_bytes = 0
        self._bytes_of = Counter[Hashable]()  # by sender
        self._entering = asyncio.Lock()  # first come, first served
        self._room_again = asyncio.Event()
        self._filled = asyncio.Event()

    async def submit(self, submission: Submission) -> None:
        """Queue a submission; waits while the queue is full, which slows its sender down."""
        while self._bytes_of[submission.sender] >= MAX_SENDER_BYTES:
            await self._some_room()
        async with self._entering:
            while self._queued_bytes >= MAX_QUEUED_BYTES or len(self._queue) >= MAX_QUEUED:
                await self._some_room()
            if isinstance(submission, PushedBatch):
                for part in submission.split(MAX_TRANSACTION_ENTRIES):
                    self._put(part)
            else:
                self._put(submission)

    async def _some_room(self) -> None:
        self._room_again.clear()
        await self._room_again.wait()

    def _put(self, submission: Submission) -> None:
        memory = _memory(submission)
        self._queued_bytes += memory
        self._bytes_of[submission.sender] += memory
        cost = _BATCH_COST + len(submission.entries) + submission.size // _BYTES_PER_UPDATE
        account = submission.sender if submission.account is None else submission.account
        self._queue.put(submission, cost, account=account, sender=submission.sender)
        self._filled.set()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            self._filled.clear()
            if self._queue:
                await self._commit(self._next())
            else:
                await self._filled.wait()

    def _next(self) -> list[Submission]:
        """What makes up the next transaction: whatever fits, and at least one."""
        batch = [self._taken()]
        size, entries = batch[0].size, len(batch[0].entries)
        while self._queue and len(batch) < MAX_TRANSACTION:
            first = self._queue.first()
            size += first.size
            entries += len(first.entries)
            if size > MAX_TRANSACTION_BYTES or entries > MAX_TRANSACTION_ENTRIES:
                break
            batch.append(self._taken())
        return batch

    def _taken(self) -> Submission:
        submission = self._queue.take()
        memory = _memory(submission)
        self._queued_bytes -= memory
        self._bytes_of[submission.sender] -= memory
        if not self._bytes_of[submission.sender]:
            del self._bytes_of[submission.sender]
        self._room_again.set()
        return submission.with_refusals() if isinstance(submission, PushedBatch) else submission

    async def _commit(self, taken: list[Submission]) -> None:
        batch = [submission for submission in taken if not _failed(submission)]
        if not batch:
            return
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


def _failed(submission: Submission) -> bool:
    """Whether it goes on with a batch of which a part was not committed; then it is settled."""
    parts = submission.parts if isinstance(submission, PushedBatch) else None
    if parts is None or parts.failure is None:
        return False
    submission.settle(parts.failure)
    return True


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
