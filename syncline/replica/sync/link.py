"""The link: one replica's connection to its relay, kept up for as long as the replica is open.

Theory of operation. ``run`` connects, converses until something fails, waits with a jittered
back-off and connects again. A conversation is one ReplicaSession with three tasks around it: one
receives frames and lets the workspace apply them, one sends what the session and the outbox hold,
one pings.
Only durable batches are sent (journal.py), in order, as many unacknowledged as the relay's window
allows; a batch stays in the outbox until its acknowledgement is durable too.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from syncline.engine.errors import (
    AccessError,
    InvalidUrl,
    ProtocolError,
    SynclineError,
    TransportClosed,
    VersionMismatch,
    WorkspaceMismatch,
)
from syncline.engine.names import Address
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
from syncline.environment import Environment
from syncline.replica.local.workspace import Workspace
from syncline.transports import Transport
from syncline.transports.tasks import until_first_failure

from .acknowledgements import Acknowledgements
from .comparison import Comparison

logger = logging.getLogger("syncline.replica")

Token: TypeAlias = str | Callable[[], Awaitable[str]] | None
"""What a replica proves with who it is, or what gets it, for each connection anew."""
LinkState: TypeAlias = Literal["connecting", "online", "waiting", "failed"]

PING_SECONDS = 15.0
HANDSHAKE_SECONDS = 10.0
FIRST_BACKOFF_SECONDS = 0.25
LAST_BACKOFF_SECONDS = 30.0
_MAX_UNSAVED = 16 << 20  # bytes received and not yet durable at which reading pauses


@dataclass(slots=True)
class _Round:
    """A ping on its way; ``head`` is the relay's answer."""

    answered: asyncio.Event
    head: int = 0


class Link:
    """Keeps a replica connected to ``url``. ``state`` and ``error`` say how that goes."""

    def __init__(
        self, workspace: Workspace, url: str, environment: Environment, token: Token = None
    ) -> None:
        self.url = url
        self._token = token
        self.state: LinkState = "connecting"
        self.error: SynclineError | None = None
        self._workspace = workspace
        self._journal = workspace.journal
        self._environment = environment
        self._session: ReplicaSession | None = None
        self._attempt = 0
        self._sent = 0
        self._wake = asyncio.Event()
        self._rounds: dict[int, _Round] = {}
        self._resumed_at = -1
        self._fetching: set[Address] = set()
        self._fetch_again: set[Address] = set()
        self._comparison: Comparison | None = None
        self._acknowledgements = Acknowledgements(workspace)
        self._committed = 0  # our last batch that the relay had when the connection began
        self._turning = False  # waiting for answers, to go over to a document's new history
        self._journal.on_durable = self._wake.set

    async def run(self) -> None:
        """Stay connected. Raises the error after which trying again makes no sense."""
        while True:
            try:
                await self._set_state("connecting")
                await self._converse()
            except SynclineError as error:
                self.error = error
                if _is_final(error):
                    logger.error("the relay cannot be used: %s", error)
                    await self._set_state("failed")
                    raise
                logger.info("no connection to the relay: %s", error.message)
            except Exception as error:
                self.error = _defect(error)
                await self._set_state("failed")
                raise
            await self._set_state("waiting")
            await asyncio.sleep(backoff_seconds(self._attempt, self._environment.rng))
            self._attempt += 1

    async def _set_state(self, state: LinkState) -> None:
        self.state = state
        await self._journal.notify()

    async def _converse(self) -> None:
        transport = await self._environment.connect(self.url)
        try:
            token = await self._token() if callable(self._token) else self._token
            session = self._session = self._open_session(token)
            await until_first_failure(
                self._receive(transport, session),
                self._send(transport, session),
                self._ping(session),
            )
        finally:
            self._session = None
            if self.state == "online":
                self.state = "connecting"
            self._end_rounds()
            await transport.close()

    def _open_session(self, token: str | None) -> ReplicaSession:
        workspace, journal = self._workspace, self._journal
        meta_relay = workspace.relay
        session = ReplicaSession(
            workspace=workspace.joined or "",
            replica=workspace.identity.replica,
            client_id=workspace.identity.client_id,
            cursor=workspace.cursor,
            acknowledged=journal.acknowledged,
            relay=meta_relay,
            token=token,
        )
        workspace.hold_back.reset(workspace.cursor)
        self._comparison = None
        self._acknowledgements = Acknowledgements(workspace)
        self._committed = 0
        self._turning = False
        self._sent = journal.acknowledged
        self._resumed_at = -1
        self._fetching.clear()
        self._fetch_again.clear()
        session.start()
        return session

    # Receiving

    async def _receive(self, transport: Transport, session: ReplicaSession) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                while self.state != "online":
                    await self._take(await transport.receive(), session)
        except TimeoutError:
            raise _silent(self.url) from None
        while True:
            await self._take(await transport.receive(), session)

    async def _take(self, frame: str | bytes, session: ReplicaSession) -> None:
        for event in session.receive(frame):
            await self._handle(event, session)
            await self._finish_comparison()
        session.cursor = self._workspace.cursor
        self._mend_gap(session)
        self._wake.set()
        if self._journal.unsaved_bytes > _MAX_UNSAVED:
            await self._journal.flushed()

    async def _handle(self, event: Event, session: ReplicaSession) -> None:
        match event:
            case Welcomed():
                await self._welcome(event, session)
            case UpdatesReceived(since, cursor, entries):
                if await self._can_take(session, [(each.address, each.epoch) for each in entries]):
                    outdated = self._acknowledgements.outdated()
                    self._workspace.receive(since, cursor, entries, outdated)
                    self._settle(session)
                    await self._journal.notify()
            case Advanced(since, cursor):
                self._workspace.receive(since, cursor, ())
                await self._journal.notify()
            case DocumentReceived(address, epoch, update):
                self._fetching.discard(address)
                if await self._can_take(session, [(address, epoch)]):
                    outdated = self._acknowledgements.outdated()
                    self._workspace.receive_document(address, epoch, update, outdated)
                    if self._comparison is not None:
                        self._comparison.received(address)
                    self._settle(session)
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
                self._settle(session)
                await self._journal.notify()
            case Rewind(batch):
                self._sent = batch - 1
            case Missed():
                self._resume(session)
            case Ponged(ping, head):
                self._answer(ping, head)
            case PeerFailed(error):
                raise error
            case _:
                pass  # CaughtUp: the cursor says it already

    async def _welcome(self, event: Welcomed, session: ReplicaSession) -> None:
        if event.batch > self._journal.last_batch:
            raise WorkspaceMismatch(
                f"The relay has batch {event.batch} of this replica, whose store has made only "
                f"{self._journal.last_batch}: the store was restored from an older copy.",
                hint="Open a new, empty store; it fetches everything from the relay. Copy over by "
                "hand what was written here since the restore.",
            )
        if event.forgetful:
            logger.warning("the relay was restored from a backup: comparing what both have")
            self._workspace.begin_comparison(event.relay, event.head)
            self._comparison = Comparison(self._workspace, session, event.relay)
        else:
            self._workspace.join_relay(event.relay)
        self._committed = event.batch
        self.error = None
        self._attempt = 0
        await self._set_state("online")

    async def _finish_comparison(self) -> None:
        comparison = self._comparison
        if comparison is not None and comparison.done:
            self._comparison = None
            self._workspace.join_relay(comparison.relay)
            logger.info("the relay has everything again")
            await self._journal.notify()

    def _settle(self, session: ReplicaSession) -> None:
        """Make use of the relay's answers, and go over to new histories once all are here."""
        waits_for = self._acknowledgements.settle()
        if waits_for is not None:
            self._fetch(session, waits_for)
        if self._turning and session.acknowledged >= max(self._sent, self._committed):
            self._turning = False
            self._resume(session)
            for address in self._fetch_again:
                self._fetch(session, address)
            self._fetch_again.clear()

    async def _can_take(
        self, session: ReplicaSession, entries: Sequence[tuple[Address, int]]
    ) -> bool:
        """Whether these (address, epoch) may be applied now.

        The first update of a rebuilt document may not while pushed batches are unanswered: whether
        an edit is in the new history is known only from the answer. Pushing pauses until they are
        here, and the relay then sends the update again.
        """
        if not self._workspace.begins_anew(entries):
            return True
        while not self._journal.saved:
            await self._journal.flushed()
        self._turning = session.acknowledged < max(self._sent, self._committed)
        return not self._turning

    def _mend_gap(self, session: ReplicaSession) -> None:
        hold_back = self._workspace.hold_back
        if hold_back.gap and self._resumed_at != self._workspace.cursor:
            self._resume(session)
        for address in hold_back.waiting:
            self._fetch(session, address)

    def _fetch(self, session: ReplicaSession, address: Address) -> None:
        if address not in self._fetching:
            self._fetching.add(address)
            document = self._workspace.documents.get(address)
            session.fetch(address, document.epoch, document.state_vector())

    def _resume(self, session: ReplicaSession) -> None:
        self._resumed_at = self._workspace.cursor
        session.resume(self._workspace.cursor)

    # Sending

    async def _send(self, transport: Transport, session: ReplicaSession) -> None:
        while True:
            self._wake.clear()
            frames = session.frames_to_send()
            for frame in frames:
                await transport.send(frame)
            if not frames and not self._push_next(session):
                await self._wake.wait()

    def _push_next(self, session: ReplicaSession) -> bool:
        if self.state != "online" or not session.window_open:
            return False
        if self._sent >= (self._committed if self._turning else self._journal.durable_batch):
            return False
        batches = self._journal.outbox(after=self._sent, limit=1)
        if not batches:
            return False
        session.push(batches[0].number, batches[0].payload)
        self._sent = batches[0].number
        return True

    # Round trips

    async def _ping(self, session: ReplicaSession) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if self.state == "online":
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        await self._round(session)
                except TimeoutError:
                    raise _silent(self.url) from None
                if self._comparison is not None and self._comparison.stalled():
                    raise _silent(self.url)

    async def _round(self, session: ReplicaSession) -> int:
        """Ask the relay where it is; returns its head. Raises TransportClosed."""
        pending = _Round(asyncio.Event())
        self._rounds[session.ping()] = pending
        self._wake.set()
        await pending.answered.wait()
        if pending.head < 0:
            raise _silent(self.url)
        return pending.head

    def _answer(self, ping: int, head: int) -> None:
        # A pong answers the pings before it too: they, or their own pongs, may have been lost.
        for number in [number for number in self._rounds if number <= ping]:
            pending = self._rounds.pop(number)
            pending.head = head
            pending.answered.set()

    def _end_rounds(self) -> None:
        self._answer(max(self._rounds, default=0), -1)

    async def synced(self) -> None:
        """Return when the relay holds all our batches and we all that it had when asked.

        Raises the error for which the link has given up.
        """
        while not await self._sync_once():
            pass

    async def _sync_once(self) -> bool:
        await self._journal.wait_for(self._settled)
        if self.state == "failed" and self.error is not None:
            raise self.error
        session = self._session
        if session is None:
            return False
        try:
            head = await self._round(session)
        except TransportClosed:
            return False
        await self._journal.wait_for(
            lambda: self._workspace.cursor >= head or self._session is not session
        )
        return self._workspace.cursor >= head and self._journal.pending == 0

    def _settled(self) -> bool:
        return self.state == "failed" or (
            self.state == "online" and self._journal.pending == 0 and self._comparison is None
        )


def backoff_seconds(attempt: int, rng: random.Random) -> float:
    """How long to wait after failure number ``attempt``, from 0, before connecting again.

    Drawn anew each time, so that a thousand replicas of a restarted relay do not return in step.
    """
    longest = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(attempt, 10))
    return rng.uniform(longest / 4, longest)


def _is_final(error: SynclineError) -> bool:
    """Whether trying again cannot help: somebody has to change something first."""
    if isinstance(error, InvalidUrl | VersionMismatch | WorkspaceMismatch):
        return True
    return isinstance(error, ProtocolError | AccessError) and error.retry_after is None


def _defect(error: Exception) -> SynclineError:
    return SynclineError(
        f"A defect ended the connection to the relay: {error!r}.",
        hint="Changes are kept. Report this with its traceback; connect() tries again.",
    )


def _silent(url: str) -> TransportClosed:
    return TransportClosed(
        f"The relay at {url} does not answer.",
        hint="Changes are kept; the replica connects again by itself.",
        retry_after=FIRST_BACKOFF_SECONDS,
    )
