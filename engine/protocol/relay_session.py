"""The relay's side of one connection from a replica.

Theory of operation. The replica pushes its batches in order, beginning after the last one that its
hello says is acknowledged. The session takes them in that order only: one that comes too early
makes it ask, once, for the one that is missing (``expected``), one that has come before is handed
on as a duplicate, because the replica may not have got its acknowledgement. What the driver has
committed it acknowledges, in order; what it has committed is never more than a window behind what
came.

``received`` and ``committed`` count on this connection. Counting from what the store has committed
before would hide that a batch was lost which the replica offers again, and would tell the replica
that acknowledgements were lost which are merely on their way.

Changes go down in the driver's own order (updates are encoded once for all readers, so the driver
sends those frames itself); it says in ``pong`` how far it has come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from syncline.engine.errors import MalformedFrame, SynclineError, UnexpectedMessage
from syncline.engine.names import Address
from syncline.engine.updates.parse import DEFAULT_LIMITS, StateVector, decode_state_vector

from .codec import encode
from .handshake import check_hello, choose_version, is_forgetful
from .messages import (
    LIMITS,
    MAX_CONTROL_FRAME,
    Ack,
    Advance,
    CaughtUp,
    Compare,
    Digests,
    DocumentSummary,
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
    Range,
    Refusal,
    Resume,
    States,
    Welcome,
)
from .session import PeerFailed, Session, State, Transitions, peer_error

__all__ = [
    "CompareReceived",
    "EnumerateReceived",
    "Event",
    "FetchReceived",
    "HelloReceived",
    "PeerFailed",
    "PingReceived",
    "PushReceived",
    "RelaySession",
    "ResumeReceived",
]

MAX_FETCH_CLIENTS = DEFAULT_LIMITS.max_clients
"""Most writers in the state vector of a fetch: as many as a document has."""

SENDS: Transitions = {
    State.IDLE: {},
    State.HELLO_RECEIVED: {Welcome: State.READY},
    State.READY: {
        Ack: State.READY,
        Expected: State.READY,
        Pong: State.READY,
        Advance: State.READY,
        CaughtUp: State.READY,
        DocumentUpdate: State.READY,
        Digests: State.READY,
        States: State.READY,
    },
}
RECEIVES: Transitions = {
    State.IDLE: {Hello: State.HELLO_RECEIVED, Error: State.CLOSED},
    State.HELLO_RECEIVED: {Error: State.CLOSED},
    State.READY: {
        Push: State.READY,
        Ping: State.READY,
        Resume: State.READY,
        Fetch: State.READY,
        Compare: State.READY,
        Enumerate: State.READY,
        Error: State.CLOSED,
    },
}


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """A replica wants in: answer with ``welcome`` or ``fail``."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class PushReceived:
    """A batch to commit. ``digest`` is the SHA-256 of its frame. A ``duplicate`` came before, on
    this connection or an earlier one: acknowledge it again as it was, or when it is committed."""

    batch: int
    entries: tuple[Entry, ...]
    digest: bytes
    duplicate: bool


@dataclass(frozen=True, slots=True)
class PingReceived:
    """Answer with ``pong``, before any later frame is handled."""

    id: int


@dataclass(frozen=True, slots=True)
class ResumeReceived:
    """Go back to ``cursor`` with sending changes."""

    cursor: int


@dataclass(frozen=True, slots=True)
class FetchReceived:
    """Answer with ``document``."""

    address: Address
    epoch: int
    state_vector: StateVector


@dataclass(frozen=True, slots=True)
class CompareReceived:
    """Answer with ``digests``."""

    after: Address | None


@dataclass(frozen=True, slots=True)
class EnumerateReceived:
    """Answer with ``states``."""

    after: Address | None
    until: Address | None


Event: TypeAlias = (
    HelloReceived
    | PushReceived
    | PingReceived
    | ResumeReceived
    | FetchReceived
    | CompareReceived
    | EnumerateReceived
    | PeerFailed
)


class RelaySession(Session):
    """Protocol state of a relay towards one replica, over one connection to ``workspace``."""

    def __init__(self, workspace: str, limits: Limits = LIMITS) -> None:
        super().__init__("relay", SENDS, RECEIVES)
        self.workspace = workspace
        self.version = 0
        """The version of the protocol agreed on; 0 before the hello."""
        self.received = 0
        """The last batch that came on this connection, or was acknowledged before it."""
        self.committed = 0
        """The last batch acknowledged, on this connection or before it."""
        self._limits = limits
        self._hello: Hello | None = None
        self._stored = 0  # the last batch committed when the connection began
        self._asked = 0  # the batch asked for last

    # What the driver says

    def welcome(self, *, relay: str, head: int, batch: int, time: int) -> int:
        """Open the session: ``relay`` is our identity, ``head`` the workspace's last seq, ``batch``
        the replica's last committed batch, ``time`` ours in milliseconds since the Unix epoch.

        Returns the seq after which changes are to be sent: the replica's cursor; or ``head``, if
        that cursor is about a log that was lost, and the replica will compare.
        """
        welcome = Welcome(self.version, relay, head, batch, time, self._limits)
        self._say(welcome)
        self._stored = batch
        if self._hello is None or is_forgetful(self._hello, welcome):
            return head
        return min(self._hello.cursor, head)

    def acknowledge(self, batch: int, seq: int, refused: tuple[Refusal, ...] = ()) -> None:
        """Say that ``batch`` is committed, at ``seq``, without what was refused.

        If a frame has no room for the refusals' state vectors, they are left out: the replica then
        fetches the documents.
        """
        frame = encode(Ack(batch, seq, refused))
        if len(frame) > self._limits.max_frame:
            bare = tuple(replace(refusal, state_vector=None) for refusal in refused)
            frame = encode(Ack(batch, seq, bare))
        self._say_encoded(Ack, frame)
        self.committed = max(self.committed, batch)

    def pong(self, id: int, *, position: int, head: int) -> None:  # noqa: A002
        """Answer a ping. ``position`` is the last seq of changes sent, or about to be sent before
        this; ``head`` the workspace's last seq."""
        self._say(Pong(id, position, head, self.received, self.committed))

    def advance(self, since: int, cursor: int) -> None:
        """Say that nothing in since < seq <= cursor is news to this replica."""
        self._say(Advance(since, cursor))

    def caught_up(self, cursor: int) -> None:
        """Say that what there was at hello or resume has been sent, up to ``cursor``."""
        self._say(CaughtUp(cursor))

    def document(self, address: Address, epoch: int, update: bytes) -> None:
        """Answer a fetch; with an empty update if there is nothing."""
        self._say(DocumentUpdate(address, epoch, update))

    def digests(self, after: Address | None, ranges: Sequence[Range]) -> None:
        """Answer a compare."""
        self._say(Digests(after, tuple(ranges)))

    def states(
        self, after: Address | None, until: Address | None, documents: Sequence[DocumentSummary]
    ) -> None:
        """Answer an enumerate."""
        self._say(States(after, until, tuple(documents)))

    # What the replica says

    def receive(self, frame: Frame) -> list[Event]:
        """Take a frame from the replica.

        Raises ProtocolError if it has no place here, WorkspaceMismatch if the hello is about
        another workspace; the session is then closed.
        """
        if self.state is State.CLOSED:
            return []
        limit = self._limits.max_frame if isinstance(frame, bytes) else MAX_CONTROL_FRAME
        try:
            return self._handle(self._accept(frame, limit), frame)
        except SynclineError:
            self.state = State.CLOSED
            raise

    def _handle(self, message: Message, frame: Frame) -> list[Event]:
        match message:
            case Hello():
                return self._greeted(message)
            case Push() if isinstance(frame, bytes):
                return self._pushed(message, frame)
            case Ping(id_):
                return [PingReceived(id_)]
            case Resume(cursor):
                return [ResumeReceived(cursor)]
            case Fetch(address, epoch, state_vector):
                return [FetchReceived(address, epoch, _state_vector(state_vector))]
            case Compare(after):
                return [CompareReceived(after)]
            case Enumerate(after, until):
                return [EnumerateReceived(after, until)]
            case Error():
                return [PeerFailed(peer_error(message))]
            case _:  # the table lets none of the relay's own messages come here
                return []

    def _greeted(self, hello: Hello) -> list[Event]:
        check_hello(hello, self.workspace)
        self.version = choose_version(hello.versions)
        self.received = self.committed = hello.acknowledged
        self._hello = hello
        return [HelloReceived(hello)]

    def _pushed(self, push: Push, frame: bytes) -> list[Event]:
        missing = self.received + 1
        if push.batch > missing:
            if self._asked != missing:
                self._asked = missing
                self._say(Expected(missing))
            return []
        if push.batch > self.committed + self._limits.window:
            raise UnexpectedMessage(
                f"Batch {push.batch} was pushed while {self._limits.window} batches wait to be "
                "acknowledged.",
                hint="The welcome says how many may wait.",
            )
        duplicate = push.batch < missing or push.batch <= self._stored
        self.received = max(self.received, push.batch)
        # There is one encoding of a push, so the frame is its canonical form.
        digest = hashlib.sha256(frame).digest()
        return [PushReceived(push.batch, push.entries, digest, duplicate)]


def _state_vector(encoded: bytes) -> StateVector:
    try:
        return decode_state_vector(encoded, MAX_FETCH_CLIENTS)
    except MalformedFrame as error:
        raise MalformedFrame(
            f'In a message "fetch", the field "state_vector" is none: {error.message.rstrip(".")}.',
            hint=error.hint,
        ) from None
