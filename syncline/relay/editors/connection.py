"""An editor: one connection of a Yjs client, as the relay serves it.

Two tasks, as for a replica (replicas/connection.py): one receives and hands updates to the
committer, one sends. An editor has no number for what it sends, so there is no receipt: it sends
what the relay lacks whenever it connects. A document is open on a Channel; y-websocket has one to
a connection, Hocuspocus many.

Yjs cannot do without a single update: all later ones of the same client build on it, and would
wait for it unseen. So when an update is refused, its document is denied, with the reason.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from functools import partial
from typing import Protocol

from syncline.access.access import (
    Authenticator,
    Authorizer,
    Credentials,
    Permit,
    Principal,
    identity_of,
)
from syncline.engine.document.document import EMPTY_UPDATE
from syncline.engine.errors import (
    MalformedFrame,
    NotAllowed,
    PeerError,
    SynclineError,
    TransportClosed,
)
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    EPOCH_CHANGED,
    FOREIGN_OPERATIONS,
    MISSING_DEPENDENCIES,
    Entry,
    Refusal,
)
from syncline.engine.updates.parse import decode_state_vector, encode_state_vector
from syncline.engine.yjs.messages import (
    Awareness,
    Message,
    QueryAwareness,
    Stateless,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Update,
)
from syncline.relay.audit import AuditLog, Decision
from syncline.relay.log.owners import Writer
from syncline.relay.log.room import Room
from syncline.relay.log.submission import Outcome, Settled, Submission
from syncline.relay.quotas import Visit
from syncline.transports import Frame, Request, Transport
from syncline.transports.tasks import until_first_failure

from .channel import Channel, ChannelService
from .signing import signed
from .stateless import OnStateless, StatelessMessage
from .turned_away import TurnedAway

logger = logging.getLogger("syncline.relay")

IDLE_SECONDS = 60.0
"""How long an editor's connection may be without an open document: nobody holds a connection who
is let into nothing."""
KEEP_ALIVE_SECONDS = 15.0
"""Quiet after which an editor is sent something: it gives up a connection after 30 s, and pings of
the websocket do not count."""
CLOSE_SECONDS = 10.0
# What the relay lacks, or should get from its author, may have come when the editor has answered.
_TO_BE_BROUGHT = (MISSING_DEPENDENCIES, FOREIGN_OPERATIONS)
MAX_PENDING_EDITOR_REPLIES = 128
"""Updates of one editor that are not settled, or whose answers are not sent, at which it is read no
further."""


class EditorService(ChannelService, Protocol):
    """What an editor needs of its relay."""

    authenticator: Authenticator
    authorizer: Authorizer
    on_stateless: OnStateless
    turned_away: TurnedAway
    audit: AuditLog | None
    awareness_user: bool
    """Whether the relay says whose awareness it is."""

    def room(self, workspace: str) -> Room:
        """The room of a workspace, to be entered at once."""
        ...

    def tidy(self, room: Room) -> None:
        """Drop a room that nobody is in."""
        ...

    def next_author(self) -> str: ...

    async def submit(self, submission: Submission, principal: Principal) -> None: ...


class EditorConnection(ABC):
    """Serves one connection until it ends. A subclass knows the protocol."""

    echoes = False
    """Whether the client is sent its own changes too, once they are stored."""

    def __init__(
        self,
        service: EditorService,
        transport: Transport,
        request: Request,
        workspace: str,
        visit: Visit,
    ) -> None:
        self.channels: dict[str, Channel] = {}
        """By what the frames call them."""
        self.transport = transport
        self.request = request
        self.service = service
        self.workspace = workspace
        self.visit = visit
        self._admitted = False
        self._failure: SynclineError | None = None
        self._wake = asyncio.Event()
        self._room_again = asyncio.Event()
        self._frames: deque[bytes] = deque()  # answers, to be sent first
        self._ready: dict[Channel, None] = {}  # channels with something to be sent, in order
        self._committing = 0
        self._sent_at = self._emptied_at = asyncio.get_running_loop().time()
        self._identity: tuple[str | None, Principal] | None = None

    # The protocol

    @abstractmethod
    async def take(self, frame: bytes) -> None:
        """Handle a frame. Raises SynclineError, which ends the connection."""

    @abstractmethod
    def encode(self, channel: Channel, message: Message) -> bytes | None:
        """The frame of ``message``; None if the protocol has none for it."""

    @abstractmethod
    def deny(self, channel: Channel, error: SynclineError) -> None:
        """Close ``channel`` and tell the client why."""

    @abstractmethod
    def refuse_writing(self, channel: Channel) -> None:
        """Tell a client that may only read that its change is not taken."""

    @abstractmethod
    def sign_of_life(self) -> bytes | None:
        """A frame that does nothing but arrive."""

    @abstractmethod
    async def end(self, error: SynclineError) -> None:
        """Tell the client why the connection ends, and close it."""

    # Serving

    async def serve(self, first: bytes) -> None:
        """Converse until the connection ends; ``first`` is the frame that came already."""
        try:
            await until_first_failure(self._receive(first), self._send())
        except TransportClosed as error:
            logger.info("%s left: %s", self.transport.peer, error.message)
        except SynclineError as error:
            logger.warning("%s is turned away: %s", self.transport.peer, error)
            self.note("refused", next(iter(self.channels.values()), None), code=error.code)
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.end(error)
            except (TransportClosed, TimeoutError):
                logger.info("%s left before it was told", self.transport.peer)
        finally:
            for channel in list(self.channels.values()):
                self.shut(channel)

    async def open(self, key: str, address: Address, token: str | None) -> Channel:
        """Open a document. Raises AccessError, and PeerError if that cannot be told now."""
        service = self.service
        principal = await self._identify(token)
        permit = Permit(service.authorizer, principal, self.workspace)
        permit.check_read(address)
        if not self._admitted:
            self.visit.admit(principal)
            self._admitted = True
        epoch, rebuilt = await service.reader(service.documents.epoch_of, self.workspace, address)
        channel = self.channels[key] = Channel(
            service,
            service.room(self.workspace),
            key,
            address,
            permit,
            author=service.next_author(),
            epoch=epoch,
            rebuilt=rebuilt,
            wake=self._rouse,
            deny=self.deny,
            echoes=self.echoes,
        )
        self.note("opened", channel)
        return channel

    def note(
        self,
        decision: str,
        channel: Channel | None,
        *,
        seq: int | None = None,
        size: int | None = None,
        code: str | None = None,
    ) -> None:
        """Write a decision to the audit log."""
        if self.service.audit is not None:
            known = self._identity[1].name if self._identity is not None else None
            self.service.audit.note(
                Decision(
                    decision,
                    known if channel is None else channel.principal,
                    self.visit.address,
                    self.transport.peer if channel is None else channel.author,
                    self.workspace,
                    None if channel is None else str(channel),
                    seq,
                    size,
                    code,
                )
            )

    async def renew(self, channel: Channel, token: str) -> None:
        """Go on with another token, or with the same one if it still holds. Raises AccessError if
        not, and PeerError if that cannot be told now."""
        self._identity = None
        permit = Permit(self.service.authorizer, await self._identify(token), self.workspace)
        permit.check_read(channel.address)
        channel.permit = permit

    def shut(self, channel: Channel) -> None:
        """Close a channel without a word."""
        channel.close()
        self.service.tidy(channel.room)
        self._ready.pop(channel, None)
        self.channels.pop(channel.key, None)
        self._emptied_at = asyncio.get_running_loop().time()

    async def _identify(self, token: str | None) -> Principal:
        if self._identity is None or self._identity[0] != token:
            credentials = Credentials.of(token, self.request.headers)
            principal = await self.visit.identify(self.service.authenticator, credentials)
            self._identity = (token, principal)
        return self._identity[1]

    def say(self, channel: Channel, message: Message) -> None:
        """Queue an answer."""
        frame = self.encode(channel, message)
        if frame is not None:
            self._frames.append(frame)
            self._wake.set()

    def say_frame(self, frame: bytes) -> None:
        """Queue an answer that is encoded already."""
        self._frames.append(frame)
        self._wake.set()

    def fail(self, error: SynclineError) -> None:
        """End the connection, from either task."""
        if self._failure is None:
            self._failure = error
        self._wake.set()

    # Receiving

    async def _receive(self, first: Frame) -> None:
        frame = first
        while True:
            if isinstance(frame, str):
                raise MalformedFrame(
                    "A text frame came, and Yjs clients speak in binary frames.",
                    hint=_WRONG_PROTOCOL,
                )
            await self.take(frame)
            if self._failure is not None:
                raise self._failure
            while self._committing + len(self._frames) >= MAX_PENDING_EDITOR_REPLIES:
                self._room_again.clear()
                await self._room_again.wait()
            frame = await self.transport.receive()
            await self.visit.pay(len(frame))

    async def handle(self, channel: Channel, message: Message) -> None:
        """Do what every protocol does with a message. What is wrong with it denies the document."""
        introduction, channel.greeting = channel.greeting, False
        try:
            channel.check_read()
            match message:
                case SyncStep1(state_vector):
                    channel.ask(decode_state_vector(state_vector))
                case SyncStep2(update):
                    channel.taken_up = False
                    await self._write(channel, await self._unseen_part(channel, update), whole=True)
                case Update(update):
                    await self._write(channel, update, whole=False)
                case Awareness(clients):
                    if self.service.awareness_user:
                        clients = signed(clients, channel.principal)
                    channel.hear(clients, introduction=introduction and len(clients) == 1)
                case QueryAwareness():
                    channel.query()
                case Stateless(payload):
                    await self._stateless(channel, payload)
                case _:
                    logger.debug("%s sent %s", self.transport.peer, type(message).__name__)
        except SynclineError as error:
            if isinstance(error, TransportClosed) or error.retry_after is not None:
                raise
            self.deny(channel, error)

    async def _unseen_part(self, channel: Channel, update: bytes) -> bytes:
        service = self.service
        return await service.reader(
            service.documents.unseen_part, self.workspace, channel.address, channel.epoch, update
        )

    async def _write(self, channel: Channel, update: bytes, *, whole: bool) -> None:
        """``whole``: it is the answer to a step 1, all that the relay lacks."""
        channel.check_read()
        if update == EMPTY_UPDATE:
            self._acknowledge(channel, whole=whole)
        elif channel.read_only:
            self.note("refused", channel, size=len(update), code=NotAllowed.code)
            self.refuse_writing(channel)
        else:
            entry = Entry(channel.address, update, channel.epoch)
            submission = Submission(
                self.workspace,
                channel.author,
                (entry,),
                writer=Writer(identity_of(channel.permit.principal)),
                live=not whole,
                settle=lambda outcome: self._settle(
                    channel, outcome, size=len(update), whole=whole
                ),
                account=self.visit.account,
            )
            self._committing += 1
            await self.service.submit(submission, channel.permit.principal)

    def _acknowledge(self, channel: Channel, *, whole: bool) -> None:
        count = 1
        if whole:
            count += channel.unanswered
            channel.expecting = channel.asked_again = False
            channel.unanswered = 0
        for _ in range(count):
            self.say(channel, SyncStatus(stored=True))

    def _settle(self, channel: Channel, outcome: Outcome, *, size: int, whole: bool) -> None:
        """Called by the committer, which must not wait: the sender does the sending."""
        self._committing -= 1
        self._room_again.set()
        if isinstance(outcome, Settled):
            self._note_outcome(channel, outcome, size)
        if isinstance(outcome, SynclineError):
            self.fail(outcome)
        elif channel.closed:
            pass
        elif not outcome.refusals:
            self._acknowledge(channel, whole=whole)
        else:
            self._refused(channel, outcome.refusals[0], whole=whole)

    def _note_outcome(self, channel: Channel, outcome: Settled, size: int) -> None:
        for refusal in outcome.refusals:
            self.note("refused", channel, code=refusal.code)
        if not outcome.refusals:
            self.note("stored", channel, seq=outcome.seq, size=size)

    def _refused(self, channel: Channel, refusal: Refusal, *, whole: bool) -> None:
        if refusal.code == EPOCH_CHANGED:
            self.deny(channel, channel.former())
        elif refusal.code in _TO_BE_BROUGHT and not (whole and channel.asked_again):
            if channel.expecting and not whole:
                # An editor that wrote offline goes on typing before it is asked for what it wrote.
                channel.unanswered += 1
            else:
                # The answer, a step 2, is acknowledged in the place of this.
                channel.expecting = True
                channel.asked_again = whole
                self.say(channel, SyncStep1(refusal.state_vector or encode_state_vector({})))
        else:
            self.deny(channel, PeerError(refusal.code, refusal.message, hint=refusal.hint))

    async def _stateless(self, channel: Channel, payload: str) -> None:
        message = StatelessMessage(
            payload,
            self.workspace,
            channel.address,
            channel.permit.principal,
            reply=channel.send_stateless,
            broadcast=channel.document.broadcast,
        )
        try:
            await self.service.on_stateless(message)
        except Exception:
            logger.exception("on_stateless failed on a message about %s", channel)

    # Sending

    def _rouse(self, channel: Channel) -> None:
        if not channel.closed:
            self._ready[channel] = None
            self._wake.set()

    async def _send(self) -> None:
        while True:
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            if self._frames:
                await self._transmit(self._frames.popleft())
                self._room_again.set()
            elif self._ready:
                channel = next(iter(self._ready))
                del self._ready[channel]
                await self._send_about(channel)
            else:
                try:
                    async with asyncio.timeout_at(self._sent_at + KEEP_ALIVE_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    self._check_idle()
                    await self._transmit(self.sign_of_life())

    def _check_idle(self) -> None:
        idle = asyncio.get_running_loop().time() - self._emptied_at
        if not self.channels and idle >= IDLE_SECONDS:
            raise PeerError(
                "idle",
                f"No document was open for {IDLE_SECONDS:g} seconds.",
                hint="Connect again to open one.",
                retry_after=1.0,
            )

    async def _transmit(self, frame: bytes | None) -> None:
        if frame is not None:
            await self.transport.send(frame)
        self._sent_at = asyncio.get_running_loop().time()

    async def _tell(self, channel: Channel, message: Message) -> None:
        if not channel.closed:
            await self._transmit(self.encode(channel, message))

    async def _send_about(self, channel: Channel) -> None:
        try:
            await channel.send_next(partial(self._tell, channel))
        except SynclineError as error:
            if isinstance(error, TransportClosed) or error.retry_after is not None:
                raise
            self.deny(channel, error)
        if channel.behind:
            self._rouse(channel)


_WRONG_PROTOCOL = (
    'A Syncline replica offers the subprotocol "syncline"; a Yjs client speaks y-websocket or '
    "Hocuspocus."
)
