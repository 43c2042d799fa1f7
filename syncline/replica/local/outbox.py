"""The outbox in memory: which batches the relay has, and the next ones to be sent.

A batch is numbered when the journal makes it, offered to the link once the commit that holds it is
durable, and gone when the relay has acknowledged it. The store holds every batch between; here are
the oldest of them, as far as the bounds go, because what was just committed is about to be sent. Of
a longer queue, or after a restart, the link reads a stretch in one call, in the store's thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncline.engine.errors import StoreDamaged
from syncline.engine.protocol.batches import pack
from syncline.engine.protocol.messages import Entry, Push
from syncline.stores import OutboxBatch, Store, StoreCalls
from syncline.stores.pending_pushes import pending_batches, push_of

KEPT_BATCHES = 256
"""Four times what a relay lets a replica push before it acknowledges."""
KEPT_BYTES = 8 << 20


class Outbox:
    """The batches of one replica, numbered without gaps: those above ``acknowledged``, which the
    relay does not have, up to ``last``, the newest made. The store has them up to ``durable``.

    At most ``max_batches`` of ``max_bytes`` together are kept in memory, and at least one, whatever
    its size.
    """

    def __init__(
        self,
        store: Store,
        store_thread: StoreCalls,
        workspace: str,
        *,
        max_batches: int = KEPT_BATCHES,
        max_bytes: int = KEPT_BYTES,
    ) -> None:
        self._store = store
        self._store_thread = store_thread
        self._workspace = workspace
        self._max_batches = max_batches
        self._max_bytes = max_bytes
        self._kept: dict[int, OutboxBatch] = {}  # numbers that follow each other
        self._bytes = 0
        self.last = self.durable = int(store.meta(workspace).get("last_batch", "0"))
        oldest = store.outbox(workspace, limit=1)
        self.acknowledged = oldest[0].number - 1 if oldest else self.last

    @property
    def pending(self) -> int:
        """How many batches the relay does not have, those on their way to the store included."""
        return self.last - self.acknowledged

    # The journal's

    def pack(self, entries: Iterable[Entry]) -> tuple[OutboxBatch, ...]:
        """Make batches of ``entries``, in causal order; they are to be committed next."""
        packed = pack(entries, self.last + 1)
        self.last += len(packed)
        return tuple(OutboxBatch(batch.number, batch.payload) for batch in packed)

    def committed(self, batches: Sequence[OutboxBatch]) -> None:
        """The next batches are durable: they may be sent."""
        self.durable += len(batches)
        for batch in batches:
            if not self._keep(batch):
                break  # those behind it are not wanted before it is

    def acknowledge(self, number: int) -> bool:
        """The relay has that batch; returns False if that was known."""
        if number <= self.acknowledged:
            return False
        self.acknowledged = number
        batch = self._kept.pop(number, None)
        if batch is not None:
            self._bytes -= len(batch.payload)
        return True

    # The link's

    def get(self, number: int) -> OutboxBatch | None:
        """A batch to be sent, if it is in memory."""
        return self._kept.get(number)

    async def read(self, number: int) -> None:
        """Have the batches from ``number`` on in memory, in the place of those that are. Raises
        StoreError, StoreDamaged if the store does not have that one."""
        found = await self._store_thread(self._read, number)
        self._kept.clear()
        self._bytes = 0
        for batch in found:
            if batch.number > self.acknowledged:
                self._keep(batch)
        if number > self.acknowledged and number not in self._kept:
            raise StoreDamaged(
                f"Batch {number} of the outbox is missing.",
                hint="Something else has changed the file. Restore a backup of it, or open a new, "
                "empty store, which fetches everything from the relay.",
            )

    def _read(self, number: int) -> list[OutboxBatch]:
        found: list[OutboxBatch] = []
        size = 0
        for batch in pending_batches(self._store, self._workspace, after=number - 1):
            size += len(batch.payload)
            if found and size > self._max_bytes:
                break
            found.append(batch)
            if len(found) == self._max_batches:
                break
        return found

    async def find(self, number: int) -> Push | None:
        """What a batch that was sent and is not acknowledged yet held; None if the store has it no
        more. Raises StoreError."""
        batch = self._kept.get(number)
        if batch is None:
            rows = await self._store_thread(
                self._store.outbox, self._workspace, after=number - 1, limit=1
            )
            batch = rows[0] if rows else None
        return push_of(batch) if batch is not None and batch.number == number else None

    def _keep(self, batch: OutboxBatch) -> bool:
        size = self._bytes + len(batch.payload)
        if self._kept and (
            batch.number - 1 not in self._kept
            or len(self._kept) >= self._max_batches
            or size > self._max_bytes
        ):
            return False
        self._kept[batch.number] = batch
        self._bytes = size
        return True
