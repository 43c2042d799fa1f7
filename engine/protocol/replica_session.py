"""A replica's side of one connection to a relay.

Theory of operation. Two streams run over a connection, and each goes back to where it broke.

*Batches, up.* The replica pushes its batches by number, from the one after ``acknowledged``, at
most a window of them ahead of the acknowledgements, and takes the acknowledgements in order. The
relay takes the batches in order. Whatever is lost, of either, the replica goes back (Rewind) and
pushes again from there; the relay acknowledges again what it has.

*Changes, down.* Every frame of changes says which interval of seqs it covers, so the driver knows
what is missing between two. If a frame is missing after the last one, a pong tells (Missed).

*Loss is found by pongs.* A websocket loses nothing while it lives, but a relay may skip frames for
a slow reader, and a session is also run over transports that are worse. A pong says what the relay
had received, acknowledged and sent when it answered; the replica compares that with what it had
pushed *when it pinged*. On an ordered transport everything that the relay sent before the pong has
arrived before it, and everything pushed before the ping had arrived before the ping: so there a
pong that shows a loss is never wrong. What happens between ping and pong is taken into account too:
going back or resuming makes the older pings say nothing about it. On an unordered transport a false
alarm costs a repetition; both sides know repetitions by their numbers and drop them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from syncline.engine.errors import (
    LimitExceeded,
    SynclineError,
    UnexpectedMessage,
    UsageError,
    VersionMismatch,
)
from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector

from .handshake import check_welcome, is_forgetful, version_refused
from .messages import (
    LIMITS,
    MAX_FORMER,
    VERSIONS,
    Ack,
    Advance,
    CaughtUp,
    Compare,
    Digests,
    DocumentUpdate,
    Entry,
    Enumerate,
    Error,
    Expected,
    Fetch,
    Frame,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Push,
    Refusal,
    Resume,
    States,
    Updates,
    Welcome,
)
from .session import PeerFailed, Session, State, Transitions, peer_error

__all__ = [
    "Acknowledged",
    "Advanced",
    "CaughtUp",
    "Digests",
    "DocumentReceived",
    "Event",
    "Missed",
    "PeerFailed",
    "Ponged",
    "ReplicaSession",
    "Rewind",
    "States",
    "UpdatesReceived",
    "Welcomed",
]

MAX_PINGS = 64
"""Pings under way whose pongs are looked at for losses; of more, the oldest are only answered."""

SENDS: Transitions = {
    State.IDLE: {Hello: State.HELLO_SENT},
    State.HELLO_SENT: {},
    State.READY: {
        Push: State.READY,
        Ping: State.READY,
        Resume: State.READY,
        Fetch: State.READY,
        Compare: State.READY,
        Enumerate: State.READY,
    },
}
RECEIVES: Transitions = {
    State.IDLE: {},
    State.HELLO_SENT: {Welcome: State.READY, Error: State.CLOSED},
    State.READY: {
        Ack: State.READY,
        Expected: State.READY,
        Pong: State.READY,
        Updates: State.READY,
        Advance: State.READY,
        CaughtUp: State.READY,
        DocumentUpdate: State.READY,
        Digests: State.READY,
        States: State.READY,
        Error: State.CLOSED,
    },
}


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The session is open. ``batch`` is the last batch of this replica that the relay has
    committed; if that is above the last one the replica has made, its store is an old copy.

    ``forgetful``: the relay's log is not the one that the replica's cursor is about, because the
    relay was restored, or the replica is moving to it from another. It sends what follows ``head``;
    for what came before, compare. ``time`` is the relay's, in milliseconds since the Unix epoch.
    """

    relay: str
    head: int
    batch: int
    forgetful: bool
    time: int


@dataclass(frozen=True, slots=True)
class UpdatesReceived:
    """All changes in since < seq <= cursor, which may overlap or leave a gap to earlier ones."""

    since: int
    cursor: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Advanced:
    """Nothing in since < seq <= cursor is news."""

    since: int
    cursor: int


@dataclass(frozen=True, slots=True)
class DocumentReceived:
    """The answer to a fetch."""

    address: Address
    epoch: int
    update: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The batch is committed at the relay, except for the refused updates. Comes once for each
    batch, in order."""

    batch: int
    seq: int
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Rewind:
    """Push again, from this batch on."""

    batch: int


@dataclass(frozen=True, slots=True)
class Missed:
    """The relay has sent changes up to ``position`` that did not arrive: call ``resume``."""

    position: int


@dataclass(frozen=True, slots=True)
class Ponged:
    """The answer to the ping of that id and all before it; ``head`` is the relay's last seq."""

    id: int
    head: int


Event: TypeAlias = (
    Welcomed
    | UpdatesReceived
    | Advanced
    | CaughtUp
    | DocumentReceived
    | Digests
    | States
    | Acknowledged
    | Rewind
    | Missed
    | Ponged
    | PeerFailed
)
"""CaughtUp, Digests and States are the messages themselves."""


@dataclass(slots=True)
class _Sent:
    """What a pong can be held against: the state when its ping was sent."""

    pushed: int
    resumed: bool = False


class ReplicaSession(Session):
    """Protocol state of a replica towards one relay, over one connection.

    ``cursor`` is the last seq that the replica has, ``acknowledged`` the last of its batches that
    it knows to be committed, ``relay`` the identity of the relay that both are about, None if it
    has synced with none yet, ``token`` what it proves with who it is, ``former`` the replica ids of
    the stores that its own was copied from. The driver sets ``cursor`` as
    it takes changes in, before it gives the session the next frame.
    """

    def __init__(
        self,
        *,
        workspace: str,
        replica: str,
        client_id: int,
        cursor: int,
        acknowledged: int,
        relay: str | None,
        token: str | None = None,
        former: tuple[str, ...] = (),
        moving: bool = False,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__("replica", SENDS, RECEIVES)
        self._hello = Hello(
            VERSIONS,
            workspace,
            replica,
            client_id,
            cursor,
            acknowledged,
            relay,
            token,
            former[:MAX_FORMER],
        )
        self.cursor = cursor
        self.acknowledged = acknowledged
        self._moving = moving
        self._limits = limits  # what we take; the next two are what the relay takes
        self._max_push = limits.max_frame
        self._window = limits.window
        self._next = acknowledged + 1  # the batch to be pushed next
        self._highest = acknowledged  # the highest ever pushed on this connection
        self._missing = acknowledged  # the highest that the relay has said to miss
        self._pings: dict[int, _Sent] = {}
        self._last_ping = self._answered = 0

    # What the driver says

    def start(self) -> None:
        """Say hello."""
        self._say(self._hello)

    @property
    def window_open(self) -> bool:
        """Whether the next batch may be pushed."""
        ahead = self._next - 1 - self.acknowledged
        return self.state is State.READY and ahead < self._window

    def push(self, number: int, payload: bytes) -> None:
        """Push a batch, an encoded push frame, when ``window_open``.

        Numbers follow each other; after Rewind they do from its batch. Raises UsageError for
        another number or a full window, LimitExceeded for a frame that the relay would not take.
        """
        # A batch pushed again may be acknowledged, and so gone from the outbox, before its turn.
        if not self._next <= number <= max(self._next, self.acknowledged + 1):
            raise UsageError(
                f"Batch {number} was pushed where batch {self._next} was due.",
                hint="Push batches in order, after a Rewind from the batch that it names.",
            )
        if self.state is State.READY and not self.window_open:
            raise UsageError(
                f"Batch {number} was pushed while {self._window} wait for acknowledgement.",
                hint="Push when window_open is true.",
            )
        if len(payload) > self._max_push:
            raise LimitExceeded(
                f"Batch {number} has {len(payload):,} bytes, and the relay takes at most "
                f"{self._max_push:,} in a frame.",
                hint="Raise the relay's limit, or write smaller changes.",
            )
        self._say_encoded(Push, payload)
        self._next = number + 1
        self._highest = max(self._highest, number)

    def ping(self) -> int:
        """Ask where the relay is; returns the id that Ponged will carry, or a later one."""
        self._say(Ping(self._last_ping + 1))
        self._last_ping += 1
        self._pings[self._last_ping] = _Sent(pushed=self._next - 1)
        if len(self._pings) > MAX_PINGS:
            del self._pings[min(self._pings)]
        return self._last_ping

    def fetch(self, address: Address, epoch: int, state_vector: Mapping[int, int]) -> None:
        """Ask for what the relay has of one document beyond ``state_vector``."""
        self._say(Fetch(address, epoch, encode_state_vector(state_vector)))

    def compare(self, after: Address | None) -> None:
        """Ask for digests of the relay's documents after ``after``."""
        self._say(Compare(after))

    def enumerate(self, after: Address | None, until: Address | None) -> None:
        """Ask for the states of the relay's documents with after < address <= until."""
        self._say(Enumerate(after, until))

    def resume(self, cursor: int) -> None:
        """Ask for everything after ``cursor`` again."""
        self._say(Resume(cursor))
        for sent in self._pings.values():
            sent.resumed = True

    # What the relay says

    def receive(self, frame: Frame) -> list[Event]:
        """Take a frame from the relay.

        Raises ProtocolError if it has no place here, VersionMismatch and WorkspaceMismatch if this
        relay is none for this replica; the session is then closed.
        """
        if self.state is State.CLOSED:
            return []
        try:
            return self._handle(self._accept(frame, self._limits.max_frame))
        except SynclineError:
            self.state = State.CLOSED
            raise

    def _handle(self, message: Message) -> list[Event]:
        match message:
            case Welcome():
                return self._welcomed(message)
            case Ack():
                return self._acknowledged(message)
            case Expected():
                return self._expected(message)
            case Pong():
                return self._ponged(message)
            case Updates(since, cursor, entries):
                return [UpdatesReceived(since, cursor, entries)]
            case Advance(since, cursor):
                return [Advanced(since, cursor)]
            case DocumentUpdate(address, epoch, update):
                return [DocumentReceived(address, epoch, update)]
            case CaughtUp() | Digests() | States():
                return [message]
            case Error():
                return [self._failed(message)]
            case _:  # the table lets none of the replica's own messages come here
                return []

    def _welcomed(self, welcome: Welcome) -> list[Event]:
        check_welcome(self._hello, welcome, moving=self._moving)
        self._max_push = welcome.limits.max_frame
        self._window = min(welcome.limits.window, self._limits.window)
        forgetful = is_forgetful(self._hello, welcome)
        if forgetful:
            self.cursor = welcome.head
        return [Welcomed(welcome.relay, welcome.head, welcome.batch, forgetful, welcome.time)]

    def _acknowledged(self, ack: Ack) -> list[Event]:
        self._check_pushed(ack.name, ack.batch)
        # A repetition is no news. One too early follows a lost one: a pong will tell, and both
        # come again.
        if ack.batch != self.acknowledged + 1:
            return []
        self.acknowledged = ack.batch
        return [Acknowledged(ack.batch, ack.seq, ack.refused)]

    def _expected(self, expected: Expected) -> list[Event]:
        self._check_pushed(expected.name, expected.batch - 1)
        # The relay misses ever later batches. A number that is not above all before is from before
        # we went back, and what comes from there is on its way.
        if expected.batch <= max(self._missing, self.acknowledged):
            return []
        if expected.batch >= self._next:
            return []  # nothing after it has been pushed since we went back
        self._missing = expected.batch
        return [self._rewind(expected.batch)]

    def _ponged(self, pong: Pong) -> list[Event]:
        self._check_pushed(pong.name, max(pong.received, pong.committed))
        if pong.id > self._last_ping:
            raise UnexpectedMessage(
                f"The relay answered ping {pong.id}, and {self._last_ping} was the last.",
                hint="The relay is broken; tell its operator.",
            )
        if pong.id <= self._answered:
            return []  # a repetition, or overtaken by a later one
        self._answered = pong.id
        sent = self._pings.pop(pong.id, None)
        events: list[Event] = [] if sent is None else self._find_losses(pong, sent)
        events.append(Ponged(pong.id, pong.head))
        return events

    def _find_losses(self, pong: Pong, sent: _Sent) -> list[Event]:
        events: list[Event] = []
        if min(pong.committed, sent.pushed) > self.acknowledged:
            events.append(self._rewind(self.acknowledged + 1))
        elif max(pong.received, self.acknowledged) < sent.pushed:
            self._missing = max(pong.received, self.acknowledged) + 1
            events.append(self._rewind(self._missing))
        if pong.position > self.cursor and not sent.resumed:
            events.append(Missed(pong.position))
        return events

    def _rewind(self, batch: int) -> Rewind:
        self._next = batch
        for sent in self._pings.values():
            sent.pushed = min(sent.pushed, batch - 1)
        return Rewind(batch)

    def _check_pushed(self, name: str, batch: int) -> None:
        if batch > self._highest:
            raise UnexpectedMessage(
                f'The relay sent "{name}" about batch {batch}, and {self._highest} was the last '
                "pushed.",
                hint="Another process may use this replica's identity; only one may be open.",
            )

    def _failed(self, error: Error) -> PeerFailed:
        if error.code == VersionMismatch.code:
            raise version_refused(error)
        return PeerFailed(peer_error(error))
