"""What the two ends of a connection share: states, and frames that wait to be sent.

Theory of operation. A session is the protocol state of one peer on one connection. It does no I/O:
its driver gives it every frame that came (``receive`` returns events), calls its methods to say
things, and sends what ``frames_to_send`` hands out, in that order. It keeps no time: the driver
decides when to ping and when to give up.

Each end has two tables, of the messages that it may send and that it may receive: in a state, a
message leads to the next state, and a message that is not in the table has no place there. What the
peer says out of place, or wrong, raises; the session is then closed, and the driver sends what
``fail`` returns and closes the connection. A closed session takes and says nothing more, silently:
the peer's last frames and a commit that was under way come too late, and that is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from syncline.engine.errors import (
    AccessError,
    NotAllowed,
    NotAuthenticated,
    PeerError,
    SynclineError,
    UnexpectedMessage,
    UsageError,
)

from .codec import decode, encode
from .messages import LIMITS, Error, Frame, Message


class State(Enum):
    IDLE = "before the hello"
    HELLO_SENT = "before the welcome"
    HELLO_RECEIVED = "before the answer to the hello"
    READY = "after the welcome"
    CLOSED = "after the end"


Transitions: TypeAlias = Mapping[State, Mapping[type[Message], State]]


@dataclass(frozen=True, slots=True)
class PeerFailed:
    """The peer ended the conversation and says why; the connection closes."""

    error: SynclineError


class Session:
    """One end of a connection; ``role`` is its name in sentences."""

    def __init__(self, role: str, sends: Transitions, receives: Transitions) -> None:
        self.state = State.IDLE
        self._role = role
        self._sends = sends
        self._receives = receives
        self._outgoing: list[Frame] = []

    def frames_to_send(self) -> list[Frame]:
        """Hand out the frames to be sent now, in order. Drain it after every call: it has no
        bound."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def fail(self, error: SynclineError) -> Frame:
        """Close the session and return the frame that tells the peer why; nothing follows it."""
        self.state = State.CLOSED
        self._outgoing.clear()
        return encode(Error(error.code, error.message, error.hint, error.retry_after))

    def _say(self, message: Message) -> None:
        if self._enter(self._sends, type(message)):
            self._outgoing.append(encode(message))

    def _say_encoded(self, kind: type[Message], frame: Frame) -> None:
        if self._enter(self._sends, kind):
            self._outgoing.append(frame)

    def _enter(self, sends: Transitions, kind: type[Message]) -> bool:
        """Go where saying this leads; False if the session is closed and nothing is said."""
        if self.state is State.CLOSED:
            return False
        following = sends[self.state].get(kind)
        if following is None:
            raise UsageError(
                f'The {self._role} cannot send "{kind.name}" {self.state.value}.',
                hint="Wait for the event that opens the session.",
            )
        self.state = following
        return True

    def _accept(self, frame: Frame, max_bytes: int = LIMITS.max_frame) -> Message:
        """Decode a frame and go where it leads. Raises ProtocolError."""
        message = decode(frame, max_bytes)
        following = self._receives[self.state].get(type(message))
        if following is None:
            raise UnexpectedMessage(
                f'The {self._role} got "{message.name}" {self.state.value}.',
                hint="docs/protocol.md says who may send what when.",
            )
        self.state = following
        return message


_ACCESS: dict[str, type[AccessError]] = {kind.code: kind for kind in (NotAuthenticated, NotAllowed)}


def peer_error(message: Error) -> SynclineError:
    """What the peer said in its error message, as an exception."""
    kind = _ACCESS.get(message.code)
    if kind is not None:
        return kind(message.message, hint=message.hint, retry_after=message.retry_after)
    return PeerError(
        message.code, message.message, hint=message.hint, retry_after=message.retry_after
    )
