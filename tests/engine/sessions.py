"""Sessions in every state, and a sample of every message."""

from __future__ import annotations

from typing import Any

from syncline.engine.errors import (
    StoreFailed,
)
from syncline.engine.protocol.codec import decode, encode
from syncline.engine.protocol.messages import (
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
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Push,
    Range,
    Resume,
    States,
    Updates,
    Welcome,
)
from syncline.engine.protocol.relay_session import RelaySession
from syncline.engine.protocol.replica_session import ReplicaSession
from tests.engine.wire import CAFE, HI, RELAY, REPLICA, WELCOME_PAGE

ENTRIES = (Entry(WELCOME_PAGE, HI),)
NOW = 1_764_345_600_000
HELLO = Hello((1,), "demo", REPLICA, 7, 20, 5, RELAY)
WELCOME = Welcome(1, RELAY, 30, 5, NOW, Limits(window=4))
ERROR = Error("store-failed", "The disk is full.", "Free some space.", 2.0)

# One of each, fit for a session that has just been opened.
SAMPLES: list[Message] = [
    HELLO,
    WELCOME,
    Ack(5, 20),
    Expected(6),
    Ping(1),
    Pong(0, 20, 20, 5, 5),
    Advance(20, 21),
    CaughtUp(21),
    Resume(20),
    Fetch(CAFE, 0, b"\x00"),
    Compare(None),
    Digests(None, (Range(CAFE, bytes(32)),)),
    Enumerate(None, CAFE),
    ERROR,
    Push(6, ENTRIES),
    Updates(20, 22, ENTRIES),
    DocumentUpdate(CAFE, 0, HI),
    States(None, CAFE, ()),
]


def payload(number: int) -> bytes:
    frame = encode(Push(number, ENTRIES))
    assert isinstance(frame, bytes)
    return frame


def said(session: ReplicaSession | RelaySession) -> list[Message]:
    return [decode(frame) for frame in session.frames_to_send()]


def new_replica(**changes: Any) -> ReplicaSession:
    settings: dict[str, Any] = {
        "workspace": "demo",
        "replica": REPLICA,
        "client_id": 7,
        "cursor": 20,
        "acknowledged": 5,
        "relay": RELAY,
    }
    return ReplicaSession(**(settings | changes))


def greeting_replica(**changes: Any) -> ReplicaSession:
    session = new_replica(**changes)
    session.start()
    session.frames_to_send()
    return session


def ready_replica(**changes: Any) -> ReplicaSession:
    session = greeting_replica(**changes)
    session.receive(encode(WELCOME))
    return session


def pushing_replica(last: int) -> ReplicaSession:
    """Batches 6 to ``last`` are pushed, and nothing has come back."""
    session = ready_replica()
    for number in range(6, last + 1):
        session.push(number, payload(number))
    session.frames_to_send()
    return session


def greeted_relay() -> RelaySession:
    session = RelaySession("demo", Limits(window=4))
    session.receive(encode(HELLO))
    return session


def ready_relay(batch: int = 5) -> RelaySession:
    session = greeted_relay()
    session.welcome(relay=RELAY, head=30, batch=batch, time=NOW)
    session.frames_to_send()
    return session


def closed(session: ReplicaSession | RelaySession) -> Any:
    session.fail(StoreFailed("The disk is full.", hint="Free some space."))
    return session
