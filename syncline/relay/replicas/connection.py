"""One replica's connection, as the relay serves it.

Two tasks: one receives and hands batches to the committer, one sends. The sender is a reader of the
room's log at its own position: what it has not sent yet it finds in the room's latest commits or,
when it was slow, in the store. So back-pressure is the reader's own affair: nothing piles up for
it, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias

from syncline.access.access import (
    ANONYMOUS,
    Authenticator,
    Authorizer,
    Credentials,
    Permit,
    Principal,
    identity_of,
    seen_by,
)
from syncline.engine.clock import Milliseconds
from syncline.engine.document.document import EMPTY_UPDATE
from syncline.engine.errors import (
    AccessError,
    NotAllowed,
    ProtocolError,
    SynclineError,
    TransportClosed,
    UnexpectedMessage,
)
from syncline.engine.names import Address
from syncline.engine.protocol.messages import LIMITS, Entry, Hello, Refusal
from syncline.engine.protocol.relay_session import (
    CompareReceived,
    EnumerateReceived,
    Event,
    FetchReceived,
    HelloReceived,
    PeerFailed,
    PingReceived,
    PushReceived,
    RelaySession,
    ResumeReceived,
)
from syncline.engine.updates.by_document import UpdatesByDocument
from syncline.relay.audit import AuditLog, Decision
from syncline.relay.log.committed import Committed, updates_frame
from syncline.relay.log.document_reader import DocumentReader
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.owners import Writer
from syncline.relay.log.room import Room
from syncline.relay.log.submission import Outcome, PushedBatch, Settled, Submission
from syncline.relay.quotas import Visit
from syncline.stores import Store, StoreCalls
from syncline.stores.catalogue import Catalogue
from syncline.transports import Request, Transport
from syncline.transports.tasks import until_first_failure

from .readable_catalogue import ReadableCatalogue

logger = logging.getLogger("syncline.relay")

HELLO_SECONDS = 10.0
"""How long a connection may take to say hello."""
PAGE_BYTES = 1 << 20
PAGE_UPDATES = 1000
MAX_PENDING_REPLIES = 2 * LIMITS.window
"""Requests of one peer whose answers are not sent yet, at which it is read no further: a peer that
asks and asks and does not listen would have its answers fill the memory."""


Question: TypeAlias = FetchReceived | CompareReceived | EnumerateReceived
"""What a replica asks for, and is read from the store."""


class ReplicaService(Protocol):
    """What a replica's connection needs of its relay."""

    identity: str
    now: Milliseconds
    store: Store
    writer: StoreCalls
    reader: StoreCalls
    comparing: StoreCalls
    ledger: Ledger
    catalogue: Catalogue
    documents: DocumentReader
    authenticator: Authenticator
    authorizer: Authorizer
    audit: AuditLog | None

    async def enter(
        self, workspace: str, wake: Callable[[], None], may_stay: Callable[[], bool]
    ) -> Room: ...

    def leave(self, workspace: str, wake: Callable[[], None]) -> None: ...

    async def submit(self, submission: Submission, principal: Principal) -> None: ...


class ReplicaConnection:
    """Serves one connection until it ends."""

    def __init__(
        self,
        service: ReplicaService,
        transport: Transport,
        request: Request,
        workspace: str,
        visit: Visit,
    ) -> None:
        self._service = service
        self._transport = transport
        self._request = request
        self._workspace = workspace
        self._visit = visit
        self._session = RelaySession(workspace)
        self._wake = asyncio.Event()
        self._permit = Permit(service.authorizer, ANONYMOUS, workspace)
        self._catalogue = ReadableCatalogue(service.catalogue, service.comparing, self._permit)
        self._identified = False
        self._replica = ""
        self._writer = Writer()
        self._follows = 0
        self._position = 0
        self._catching_up = True
        self._failure: SynclineError | None = None
        self._committing = 0  # pushes at the committer
        self._answers = 0  # in the session, not sent yet
        self._questions: deque[Question] = deque()  # answered when there is room to send
        self._room_again = asyncio.Event()

    async def serve(self) -> None:
        """Converse until the connection ends. Protocol errors are told to the peer first."""
        try:
            hello = await self._greet()
            await self._admit(hello)
            room = await self._service.enter(
                self._workspace, self._wake.set, self._permit.may_enter
            )
            try:
                await self._welcome(hello, room)
                await until_first_failure(self._receive(room), self._send(room))
            finally:
                self._service.leave(self._workspace, self._wake.set)
        except SynclineError as error:
            await self._end(error)

    async def _end(self, error: SynclineError) -> None:
        if isinstance(error, TransportClosed):
            logger.info("%s left: %s", self._transport.peer, error.message)
            return
        logger.warning("%s is turned away: %s", self._transport.peer, error)
        self._note("refused", code=error.code)
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                await self._transport.send(self._session.fail(error))
                await self._transport.close(
                    1008 if isinstance(error, ProtocolError | AccessError) else 1011
                )
        except (TransportClosed, TimeoutError):
            logger.info("%s left before it was told", self._transport.peer)

    async def _greet(self) -> Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                while True:
                    for event in self._session.receive(await self._transport.receive()):
                        if isinstance(event, HelloReceived):
                            return event.hello
                        if isinstance(event, PeerFailed):
                            raise event.error
        except TimeoutError:
            raise UnexpectedMessage(
                f"There was no hello within {HELLO_SECONDS:g} seconds.",
                hint="Send the hello as the first frame.",
                retry_after=1.0,  # it may have been lost, or late
            ) from None

    async def _admit(self, hello: Hello) -> None:
        service = self._service
        self._replica = hello.replica
        credentials = Credentials.of(hello.token, self._request.headers)
        principal = await self._visit.identify(service.authenticator, credentials)
        self._permit = Permit(service.authorizer, principal, self._workspace)
        self._identified = True
        self._permit.check_entry()
        self._visit.admit(principal)
        self._note("connected")
        self._catalogue = ReadableCatalogue(service.catalogue, service.comparing, self._permit)

    def _note(
        self,
        decision: str,
        address: Address | None = None,
        *,
        seq: int | None = None,
        size: int | None = None,
        code: str | None = None,
    ) -> None:
        """Write a decision to the audit log."""
        if self._service.audit is not None:
            self._service.audit.note(
                Decision(
                    decision,
                    self._permit.principal.name if self._identified else None,
                    self._visit.address,
                    self._replica,
                    self._workspace,
                    None if address is None else str(address),
                    seq,
                    size,
                    code,
                )
            )

    async def _welcome(self, hello: Hello, room: Room) -> None:
        service = self._service
        relay = seen_by(self._permit.principal.scope, service.identity)
        self._writer = Writer(
            identity_of(self._permit.principal),
            hello.replica,
            frozenset(hello.former),
            # Who has yet to compare may have operations that we lack, and others may bring them.
            hello.client_id if hello.relay in (None, relay) else None,
        )
        await service.writer(service.ledger.admit, self._workspace, self._writer)
        batch = await service.writer(service.ledger.last_batch, self._workspace, hello.replica)
        self._follows = hello.acknowledged
        self._position = self._session.welcome(
            relay=relay, head=room.head, batch=batch, time=service.now()
        )
        self._wake.set()

    # Receiving

    async def _receive(self, room: Room) -> None:
        while True:
            while self._committing + self._answers + len(self._questions) >= MAX_PENDING_REPLIES:
                self._room_again.clear()
                await self._room_again.wait()
            frame = await self._transport.receive()
            await self._visit.pay(len(frame))
            self._permit.check_entry()
            for event in self._session.receive(frame):
                await self._handle(event, room)
            self._wake.set()
            if self._failure is not None:
                raise self._failure

    async def _handle(self, event: Event, room: Room) -> None:
        match event:
            case PushReceived(batch, entries, digest):
                allowed, refused = self._sift(entries)
                pushed = PushedBatch(
                    self._workspace,
                    self._replica,
                    allowed,
                    batch,
                    digest,
                    self._follows,
                    writer=self._writer,
                    refused=refused,
                    settle=lambda outcome: self._settle(batch, allowed, outcome),
                    account=self._visit.account,
                )
                self._committing += 1
                await self._service.submit(pushed, self._permit.principal)
            case PingReceived(ping):
                self._answers += 1
                self._session.pong(ping, position=self._position, head=room.head)
            case ResumeReceived(cursor):
                self._position = min(cursor, room.head)
                self._catching_up = True
            case FetchReceived() | CompareReceived() | EnumerateReceived():
                self._questions.append(event)
            case PeerFailed(error):
                raise error
            case _:
                pass

    def _sift(self, entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], tuple[Refusal, ...]]:
        """What of a batch the replica may write, and what is refused."""
        if self._permit.unlimited:
            return entries, ()
        allowed = {entry.address for entry in entries if self._permit.may_write(entry.address)}
        refused = (
            Refusal(
                entry.address,
                NotAllowed.code,
                f"{self._permit.principal.name} may not change {entry.address}.",
                "Ask who runs the relay for the right to write it.",
                None,
            )
            for entry in entries
            if entry.address not in allowed
        )
        return tuple(entry for entry in entries if entry.address in allowed), tuple(refused)

    def _settle(self, batch: int, entries: tuple[Entry, ...], outcome: Outcome) -> None:
        """Called by the committer, which must not wait: the sender does the sending."""
        self._committing -= 1
        if isinstance(outcome, Settled):
            self._answers += 1
            self._session.acknowledge(batch, outcome.seq, outcome.refusals)
            if self._service.audit is not None:
                self._note_outcome(entries, outcome)
        else:
            self._failure = outcome
        self._wake.set()

    def _note_outcome(self, entries: tuple[Entry, ...], outcome: Settled) -> None:
        refused = {refusal.address for refusal in outcome.refusals}
        for entry in entries:
            if entry.address not in refused:
                self._note("stored", entry.address, seq=outcome.seq, size=len(entry.update))
        for refusal in outcome.refusals:
            self._note("refused", refusal.address, code=refusal.code)

    # Sending

    async def _send(self, room: Room) -> None:
        while True:
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            self._permit.check_entry()
            answers, frames = self._answers, self._session.frames_to_send()
            for frame in frames:
                await self._transport.send(frame)
            self._answers -= answers
            self._room_again.set()
            if self._questions:
                await self._answer(self._questions.popleft())
            elif self._position < room.head:
                await self._send_next(room)
            elif self._catching_up:
                self._catching_up = False
                self._session.caught_up(self._position)
            else:
                await self._wake.wait()

    async def _answer(self, question: Question) -> None:
        service = self._service
        match question:
            case FetchReceived(address, epoch, state_vector) if self._permit.may_read(address):
                found = await service.reader(
                    service.documents.difference, self._workspace, address, epoch, state_vector
                )
                self._session.document(address, found.epoch, found.update)
            case FetchReceived(address, epoch):
                self._session.document(address, epoch, EMPTY_UPDATE)
            case CompareReceived(after):
                ranges = await self._catalogue.ranges(after)
                self._session.digests(after, ranges)
            case EnumerateReceived(after, until):
                reached, documents = await self._catalogue.summaries(after, until)
                self._session.states(after, reached, documents)

    async def _send_next(self, room: Room) -> None:
        position = self._position
        committed = room.after(position)
        if committed is None:
            committed = await self._service.reader(self._read_page, position)
            if self._position != position:
                return  # the replica asked to resume from elsewhere
        self._position = committed.cursor
        if committed.author == self._replica and not self._catching_up:
            self._session.advance(position, committed.cursor)
        elif self._permit.unlimited:
            await self._transport.send(committed.frame)
        else:
            await self._send_readable(committed)

    async def _send_readable(self, committed: Committed) -> None:
        """Send what the replica may read; the frame of everybody if that is all of it."""
        since, cursor, entries = committed.since, committed.cursor, committed.entries
        readable = tuple(entry for entry in entries if self._permit.may_read(entry.address))
        if len(readable) == len(entries):
            await self._transport.send(committed.frame)
        elif readable:
            await self._transport.send(updates_frame(since, cursor, readable))
        else:
            self._session.advance(since, cursor)

    def _read_page(self, position: int) -> Committed:
        page = self._service.store.since(
            self._workspace, position, max_bytes=PAGE_BYTES, max_updates=PAGE_UPDATES
        )
        documents = UpdatesByDocument()
        for update in page.updates:
            documents.add(update.address, update.epoch, update.data)
        return Committed.of(self._workspace, position, page.cursor, documents)
