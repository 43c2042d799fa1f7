"""Compaction: when a document's log is replaced by a snapshot, and by whom.

The rule: a log of at least ``min_updates`` updates and ``min_bytes`` bytes is compacted when it has
``ratio`` times the bytes of its first update. After a compaction the first update is the snapshot,
so the log has then grown to twice what it really holds; before, it is one change, and the log is
compacted when it reaches ``min_bytes``. Either way a document is read again only after it has grown
by its own size, so that all compactions of a document together cost a small multiple of its last
one, also when nothing can be gained. Only a large log that was compacted does not wait until it has
doubled: a document may have so many bytes, and what can be collected must not count.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.errors import SnapshotRefused, SynclineError
from syncline.engine.names import Address
from syncline.stores import LogSize, Store, StoreCalls
from syncline.stores.pending_pushes import pending_pushes

from .snapshots import Snapshots

logger = logging.getLogger("syncline.upkeep.compaction")

MAX_WATCHED = 50_000
"""Documents whose growth is remembered; those that grew least recently are forgotten."""
MAX_DUE = 10_000
"""Documents that wait to be compacted; what comes beyond that comes again when it has grown."""
MAX_GROWTH_BYTES = 2 << 20
"""By this a log grows at most before it is compacted, however large it is."""
IDLE_SECONDS = 30.0
"""After this long without work the process that makes snapshots is ended."""


@dataclass(frozen=True, slots=True)
class CompactionPolicy:
    """When a log is worth compacting; see the module's docstring."""

    min_bytes: int = 16 << 10
    min_updates: int = 16
    ratio: float = 2.0

    def due(self, log: LogSize) -> bool:
        return log.updates >= self.min_updates and log.size >= self._goal(log.first)

    def slack(self, log: LogSize) -> int:
        """By how many bytes the log may grow before it is looked at again."""
        return max(self._goal(log.first) - log.size, self.min_bytes)

    def _goal(self, first: int) -> int:
        # A large document may not double before it is refused further changes.
        return max(self.min_bytes, min(int(self.ratio * first), first + MAX_GROWTH_BYTES))


@dataclass(frozen=True, slots=True)
class Compacted:
    """What the log of one document had before, in updates and bytes, and the bytes it has now."""

    updates: int
    before: int
    after: int


Held: TypeAlias = Callable[[str, Address], bool]
"""Whether the log of a document, by workspace and address, has to stay as it is."""


def _nothing_held(_workspace: str, _address: Address) -> bool:
    return False


async def compact_document(
    store: Store,
    workspace: str,
    address: Address,
    snapshots: Snapshots,
    *,
    read: StoreCalls,
    write: StoreCalls | None,
    held: Held = _nothing_held,
) -> Compacted | None:
    """Replace the log of one document by a snapshot that holds the same; with ``write`` None, say
    only what that would gain.

    None when nothing is gained, when the document is ``held``, or when somebody else compacted
    meanwhile. Raises SnapshotRefused, and
    leaves the log as it is, when the snapshot would not be sound, and StoreError.
    """
    known = await read(store.log_size, workspace, address)
    stored = await read(store.load, workspace, address)
    if known is None or stored is None:
        return None
    if len(stored.updates) < known.updates:  # the other way round, one came in between
        raise SnapshotRefused(
            f"The log is not compacted: it has {len(stored.updates):,} of {known.updates:,} "
            "updates.",
            hint="Nothing was changed. Look at the disk, and restore a backup.",
        )
    # Of what was loaded, and not before: a change may have come in between.
    if await read(held, workspace, address):
        return None
    snapshot = await snapshots.make(stored.updates, stored.state_vector)
    if snapshot is None:
        return None
    if write is not None and not await write(store.compact, workspace, stored, snapshot):
        return None
    return Compacted(len(stored.updates), sum(map(len, stored.updates)), len(snapshot))


def unacknowledged(store: Store, workspace: str) -> set[Address]:
    """The documents with changes in the outbox, which the relay has not acknowledged. Blocking,
    like ``pending_pushes``, and with its cost."""
    return {entry.address for push in pending_pushes(store, workspace) for entry in push.entries}


async def compact_workspace(
    store: Store,
    workspace: str,
    snapshots: Snapshots,
    *,
    read: StoreCalls,
    write: StoreCalls | None,
) -> AsyncGenerator[tuple[Address, Compacted | SnapshotRefused | None]]:
    """Compact every document that gains, whatever its size, and tell of each what came of it.

    Documents with changes that a relay has not acknowledged are left alone.
    """
    held = unacknowledged(store, workspace)
    for info in store.documents(workspace):
        done: Compacted | SnapshotRefused | None = None
        if info.updates > 1 and info.address not in held:
            try:
                done = await compact_document(
                    store, workspace, info.address, snapshots, read=read, write=write
                )
            except SnapshotRefused as error:
                done = error
        yield info.address, done


# Workspace, collection and key; and by how many bytes a log may grow before it is looked at again.
# Plain tuples and ints, which Python's garbage collector does not look at: there may be very many.
_Kept: TypeAlias = tuple[str, str, str]


def _kept(place: tuple[str, Address]) -> _Kept:
    return place[0], place[1].collection, place[1].key


class Compactor:
    """Compacts documents while their store is in use, one after the other.

    ``read`` and ``write`` run the store's calls. A document for which ``held`` says so is put off
    until ``retry``, or until it has grown again.
    """

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        policy: CompactionPolicy,
        *,
        read: StoreCalls,
        write: StoreCalls,
        held: Held = _nothing_held,
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._policy = policy
        self._read = read
        self._write = write
        self._held = held
        self._room = BoundedCache[_Kept, int](MAX_WATCHED)
        self._due: OrderedDict[tuple[str, Address], None] = OrderedDict()
        self._put_off: dict[tuple[str, Address], None] = {}  # first come, first served
        self._demanded: set[tuple[str, Address]] = set()
        self._wake = asyncio.Event()

    def note(self, workspace: str, address: Address, size: int) -> None:
        """An update of that many bytes was committed."""
        place = (workspace, address)
        room = self._room.get(_kept(place))
        room = (self._policy.min_bytes if room is None else room) - size
        self._room.put(_kept(place), room)
        if room <= 0 and len(self._due) < MAX_DUE:
            self._due[place] = None
            self._wake.set()

    def demand(self, workspace: str, address: Address) -> None:
        """Compact a document whatever its size: something in its log has to go. Of more than
        MAX_DUE at once, those beyond wait for their logs to grow, or for ``syncline compact``."""
        place = (workspace, address)
        if len(self._demanded) < MAX_DUE:
            self._demanded.add(place)
            self._due[place] = None
            self._wake.set()

    def retry(self) -> None:
        """Look again at what was put off."""
        self._due.update(self._put_off)
        self._put_off.clear()
        self._wake.set()

    async def run(self) -> None:
        """Compact until cancelled. What fails is logged and left as it is."""
        try:
            while True:
                await self._rest()
                place, _ = self._due.popitem(last=False)
                slack = self._policy.min_bytes
                try:
                    slack = await self._look(*place)
                except SynclineError as error:
                    logger.warning("%s in %r is not compacted: %s", place[1], place[0], error)
                except Exception:
                    logger.exception("a defect: %s in %r is not compacted", place[1], place[0])
                if self._room.get(_kept(place)) is not None:
                    self._room.put(_kept(place), slack)
        finally:
            await self._snapshots.close()

    async def _rest(self) -> None:
        """Wait until something is due."""
        while not self._due:
            self._wake.clear()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                await self._snapshots.close()
                await self._wake.wait()

    async def _look(self, workspace: str, address: Address) -> int:
        """Compact a document if it is due; returns by how much it may grow then."""
        log = await self._read(self._store.log_size, workspace, address)
        if log is None:
            return self._policy.min_bytes
        if (workspace, address) not in self._demanded and not self._policy.due(log):
            return self._policy.slack(log)
        if await self._read(self._held, workspace, address):
            if len(self._put_off) < MAX_DUE:
                self._put_off[workspace, address] = None
            return self._policy.slack(log)
        self._demanded.discard((workspace, address))
        try:
            done = await compact_document(
                self._store,
                workspace,
                address,
                self._snapshots,
                read=self._read,
                write=self._write,
                held=self._held,
            )
        except SnapshotRefused as error:
            logger.warning("%s in %r stays as it is: %s", address, workspace, error)
            return log.size
        if done is None:
            return log.size
        logger.info(
            "compacted %s in %r: %d updates, %d to %d bytes",
            *(address, workspace, done.updates, done.before, done.after),
        )
        return self._policy.slack(LogSize(1, done.after, done.after))
