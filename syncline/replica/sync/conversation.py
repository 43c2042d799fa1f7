"""A conversation: one connection of a replica to its relay, from the hello until something fails.

Theory of operation. A ReplicaSession says what the protocol allows; three tasks run around it: one
receives frames and lets the workspace apply them, one sends what the session and the outbox hold,
one pings.
Only durable batches are sent (journal.py), in order, as many unacknowledged as the relay's window
allows; a batch stays in the outbox until its acknowledgement is durable too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from syncline.engine.errors import InvalidUpdate, TransportClosed, WorkspaceMismatch
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.protocol.replica_session import (
    Acknowledged,
    Advanced,
    Digests,
    DocumentReceived,
    Event,
    Missed,
    PeerFailed,
    Ponged,
    ReplicaSession,
    Rewind,
    States,
    UpdatesReceived,
    Welcomed,
)
from syncline.engine.updates.parse import UpdateInfo, parse_update
from syncline.replica.local.pace import Pace, slices
from syncline.replica.local.workspace import Workspace
from syncline.stores import Write
from syncline.transports import Transport
from syncline.transports.tasks import until_first_failure

from .acknowledgements import Acknowledgements
from .comparison import Comparison

logger = logging.getLogger("syncline.replica")

PING_SECONDS = 15.0
HANDSHAKE_SECONDS = 10.0
_RETRY_SECONDS = 0.25
_MAX_UNSAVED = 16 << 20  # bytes received and not yet durable at which reading pauses


@dataclass(slots=True)
class _Round:
    """A ping on its way; ``head`` is the relay's answer."""

    answered: asyncio.Event
    head: int = 0


class Conversation:
    """What is said over ``transport``, which is the caller's to close. To be run once."""

    def __init__(
        self,
        workspace: Workspace,
        transport: Transport,
        url: str,
        token: str | None,
        *,
        moving: bool = False,
    ) -> None:
        self.online = False
        """Whether the relay has welcomed us."""
        self._workspace = workspace
        self._journal = workspace.journal
        self._outbox = workspace.outbox
        self._transport = transport
        self._url = url
        self._session = ReplicaSession(
            workspace=workspace.home.joined or "",
            replica=workspace.identity.replica,
            client_id=workspace.identity.client_id,
            cursor=workspace.cursor,
            acknowledged=workspace.outbox.acknowledged,
            relay=workspace.home.relay,
            token=token,
            former=workspace.identity.former_replicas,
            moving=moving,
        )
        self._acknowledgements = Acknowledgements(workspace)
        self._comparison: Comparison | None = None
        self._sent = workspace.outbox.acknowledged
        self._relay_had = 0  # our last batch that it had when it welcomed us
        self._switching_epoch = False  # waiting for answers, to go over to a new history
        self._fetching: set[Address] = set()
        self._fetch_again: set[Address] = set()
        self._resumed_at = -1
        self._rounds: dict[int, _Round] = {}
        self._wake = asyncio.Event()
        self._pace = Pace(workspace.work_slice)

    @property
    def settled(self) -> bool:
        """Whether the relay has welcomed us, and nothing is left to be compared with it."""
        return self.online and self._comparison is None

    async def run(self) -> None:
        """Converse until it fails. Raises the error that ends it, TransportClosed and StoreError
        among others."""
        self._workspace.hold_back.reset(self._workspace.cursor)
        self._session.start()
        self._journal.subscribe(self)
        try:
            await until_first_failure(self._receive(), self._send(), self._ping())
        finally:
            self._journal.unsubscribe(self)
            self._end_rounds()

    def committed(self, _writes: Sequence[Write]) -> None:
        """Look for new batches. Called by the journal."""
        self._wake.set()

    # Receiving

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                while not self.online:
                    await self._take(await self._transport.receive())
        except TimeoutError:
            raise _silent(self._url) from None
        while True:
            await self._take(await self._transport.receive())

    async def _take(self, frame: str | bytes) -> None:
        for event in self._session.receive(frame):
            await self._handle(event)
            await self._finish_comparison()
        self._session.cursor = self._workspace.cursor
        self._mend_gap()
        self._wake.set()
        if self._workspace.unsaved.size > _MAX_UNSAVED:
            await self._journal.flushed()

    async def _handle(self, event: Event) -> None:
        match event:
            case Welcomed():
                await self._welcome(event)
            case UpdatesReceived(since, cursor, entries):
                if await self._take_updates(since, cursor, entries):
                    await self._settle()
                    await self._journal.notify()
            case Advanced(since, cursor):
                self._workspace.receive(since, cursor, 0)
                await self._journal.notify()
            case DocumentReceived(address, epoch, update):
                self._fetching.discard(address)
                if await self._can_take([(address, epoch)]):
                    outdated = self._acknowledgements.outdated()
                    self._workspace.receive_document(address, epoch, update, outdated)
                    if self._comparison is not None:
                        self._comparison.received(address)
                    await self._settle()
                    await self._journal.notify()
                else:
                    self._fetch_again.add(address)
            case Digests():
                if self._comparison is not None:
                    await self._comparison.compare(event)
            case States():
                if self._comparison is not None:
                    await self._comparison.exchange(event)
            case Acknowledged():
                self._acknowledgements.add(event)
                await self._settle()
                await self._journal.notify()
            case Rewind(batch):
                self._sent = batch - 1
            case Missed():
                self._resume()
            case Ponged(ping, head):
                self._answer(ping, head)
            case PeerFailed(error):
                raise error
            case _:
                pass  # CaughtUp: the cursor says it already

    async def _take_updates(self, since: int, cursor: int, entries: Sequence[Entry]) -> bool:
        """Apply a frame slice by slice; returns False if it cannot be taken now. Whatever ends this
        in between leaves the cursor where it was, and the relay sends all of it again."""
        workspace, pace = self._workspace, self._pace
        parsed: list[tuple[Entry, UpdateInfo]] = []
        refused: list[tuple[Entry, InvalidUpdate]] = []
        for entry in entries:
            try:
                parsed.append((entry, parse_update(entry.update)))
            except InvalidUpdate as error:
                refused.append((entry, error))
            await pace.spend(1, len(entry.update))
        for entry, info in parsed:
            if entry.epoch and workspace.begins_anew([(entry.address, entry.epoch)]):
                if not await self._can_take([(entry.address, entry.epoch)]):
                    return False
                outdated = self._acknowledgements.outdated()
                if not workspace.begin_anew(entry, info, outdated):
                    return True
                await pace.spend(1, len(entry.update))
        for entry, why in refused:
            workspace.refuse(entry, why)
        frame = workspace.receive(since, cursor, len(parsed))
        if frame is None:
            return True
        for some in slices(parsed, workspace.work_slice):
            workspace.apply(frame, some)
            await pace.spend(len(some), sum(len(entry.update) for entry, _ in some))
            await self._journal.caught_up(workspace.work_slice.unsaved)
        return True

    async def _welcome(self, event: Welcomed) -> None:
        if event.batch > self._outbox.last:
            raise WorkspaceMismatch(
                f"The relay has batch {event.batch} of this replica, whose store has made only "
                f"{self._outbox.last}: the store was restored from an older copy.",
                hint="Open a new, empty store; it fetches everything from the relay. Copy over by "
                "hand what was written here since the restore.",
            )
        if event.forgetful:
            self._workspace.home.begin_comparison(event.relay, event.head)
            logger.warning(
                "the relay %s: comparing what both have",
                "is another one" if self._workspace.home.moved else "was restored from a backup",
            )
            self._comparison = Comparison(self._workspace, self._session, event.relay)
        else:
            self._workspace.home.join_relay(event.relay)
        self._workspace.clock.compare(event.time)
        if offset := self._workspace.clock.offset_ms:
            logger.warning(
                "this device's clock is %.0f s %s the relay's, whose time counts for what is "
                "written from now on",
                abs(offset) / 1000,
                "ahead of" if offset > 0 else "behind",
            )
        self._relay_had = event.batch
        self.online = True
        await self._journal.notify()

    async def _finish_comparison(self) -> None:
        comparison = self._comparison
        if comparison is not None and comparison.done:
            self._comparison = None
            self._workspace.home.join_relay(comparison.relay)
            logger.info("the relay has everything again")
            await self._journal.notify()

    async def _settle(self) -> None:
        """Make use of the relay's answers, and go over to new histories once all are here."""
        waits_for = await self._acknowledgements.settle()
        if waits_for is not None:
            self._fetch(waits_for)
        if self._switching_epoch and self._session.acknowledged >= max(self._sent, self._relay_had):
            self._switching_epoch = False
            self._resume()
            for address in self._fetch_again:
                self._fetch(address)
            self._fetch_again.clear()

    async def _can_take(self, entries: Sequence[tuple[Address, int]]) -> bool:
        """Whether these (address, epoch) may be applied now.

        The first update of a rebuilt document may not while pushed batches are unanswered: whether
        an edit is in the new history is known only from the answer. Pushing pauses until they are
        here, and the relay then sends the update again.
        """
        if not self._workspace.begins_anew(entries):
            return True
        while not self._journal.saved:
            await self._journal.flushed()
        self._switching_epoch = self._session.acknowledged < max(self._sent, self._relay_had)
        return not self._switching_epoch

    def _mend_gap(self) -> None:
        hold_back = self._workspace.hold_back
        if hold_back.gap and self._resumed_at != self._workspace.cursor:
            self._resume()
        for address in hold_back.waiting:
            self._fetch(address)

    def _fetch(self, address: Address) -> None:
        if address not in self._fetching:
            self._fetching.add(address)
            document = self._workspace.documents.get(address)
            self._session.fetch(address, document.epoch, document.state_vector())

    def _resume(self) -> None:
        self._resumed_at = self._workspace.cursor
        self._session.resume(self._workspace.cursor)

    # Sending

    async def _send(self) -> None:
        while True:
            self._wake.clear()
            frames = self._session.frames_to_send()
            for frame in frames:
                await self._transport.send(frame)
            if frames or self._push_next():
                continue
            number = self._due()
            if number is None:
                await self._wake.wait()
            else:
                await self._outbox.read(number)

    def _push_next(self) -> bool:
        """Push the batch that is due, if it is in memory; returns whether it did."""
        number = self._due()
        batch = self._outbox.get(number) if number is not None else None
        if batch is None:
            return False
        self._session.push(batch.number, batch.payload)
        self._sent = batch.number
        return True

    def _due(self) -> int | None:
        """The number of the batch to be pushed next, None while none may be."""
        if not self.online or not self._session.window_open:
            return None
        # What is pushed again after a Rewind may be acknowledged before its turn.
        number = max(self._sent, self._outbox.acknowledged) + 1
        # To a relay that we have moved to nothing new goes before we have what it holds: a history
        # of ours may take the place of one there.
        waits = self._switching_epoch or (
            self._comparison is not None and self._workspace.home.moved
        )
        last = self._relay_had if waits else self._outbox.durable
        return number if number <= last else None

    # Round trips

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self.online:
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        await self.round_trip()
                except TimeoutError:
                    raise _silent(self._url) from None
                if self._comparison is not None and self._comparison.stalled():
                    raise _silent(self._url)

    async def round_trip(self) -> int:
        """Ask the relay where it is; returns its head. Raises TransportClosed."""
        pending = _Round(asyncio.Event())
        self._rounds[self._session.ping()] = pending
        self._wake.set()
        await pending.answered.wait()
        if pending.head < 0:
            raise _silent(self._url)
        return pending.head

    def _answer(self, ping: int, head: int) -> None:
        # A pong answers the pings before it too: they, or their own pongs, may have been lost.
        for number in [number for number in self._rounds if number <= ping]:
            pending = self._rounds.pop(number)
            pending.head = head
            pending.answered.set()

    def _end_rounds(self) -> None:
        self._answer(max(self._rounds, default=0), -1)


def _silent(url: str) -> TransportClosed:
    return TransportClosed(
        f"The relay at {url} does not answer.",
        hint="Changes are kept; the replica connects again by itself.",
        retry_after=_RETRY_SECONDS,
    )
