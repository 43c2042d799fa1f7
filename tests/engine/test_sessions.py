"""Both state machines: what may be said when, how a session ends, and the handshake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given

from syncline.engine.errors import (
    PeerError,
    StoreFailed,
    SynclineError,
    UnexpectedMessage,
    UsageError,
    VersionMismatch,
    WorkspaceMismatch,
)
from syncline.engine.protocol import relay_session, replica_session
from syncline.engine.protocol.codec import decode, encode
from syncline.engine.protocol.messages import (
    BinaryMessage,
    Error,
    Frame,
    Limits,
    Message,
    Pong,
    Range,
    TextMessage,
    Updates,
)
from syncline.engine.protocol.relay_session import HelloReceived, RelaySession
from syncline.engine.protocol.replica_session import ReplicaSession, Welcomed
from syncline.engine.protocol.session import PeerFailed, State
from tests.engine.sessions import (
    ERROR,
    HELLO,
    NOW,
    SAMPLES,
    WELCOME,
    closed,
    greeted_relay,
    greeting_replica,
    new_replica,
    payload,
    ready_relay,
    ready_replica,
    said,
)
from tests.engine.wire import CAFE, HI, RELAY, damaged, messages

# Who may say what when

REPLICA_TAKES: dict[State, set[str]] = {
    State.IDLE: set(),
    State.HELLO_SENT: {"welcome", "error"},
    State.READY: {
        *(
            "ack",
            "expected",
            "pong",
            "advance",
            "caught-up",
            "updates",
            "document",
            "digests",
            "states",
            "error",
        )
    },
}
RELAY_TAKES: dict[State, set[str]] = {
    State.IDLE: {"hello", "error"},
    State.HELLO_RECEIVED: {"error"},
    State.READY: {"push", "ping", "resume", "fetch", "compare", "enumerate", "error"},
}
REPLICAS: dict[State, Callable[[], ReplicaSession]] = {
    State.IDLE: new_replica,
    State.HELLO_SENT: greeting_replica,
    State.READY: ready_replica,
}
RELAYS: dict[State, Callable[[], RelaySession]] = {
    State.IDLE: lambda: RelaySession("demo"),
    State.HELLO_RECEIVED: greeted_relay,
    State.READY: ready_relay,
}


def check_takes(session: ReplicaSession | RelaySession, message: Message, takes: set[str]) -> None:
    state = session.state
    if message.name in takes:
        session.receive(encode(message))
        assert (session.state is State.CLOSED) == isinstance(message, Error)
    else:
        with pytest.raises(UnexpectedMessage) as caught:
            session.receive(encode(message))
        assert f'got "{message.name}" {state.value}.' in caught.value.message
        assert session.state is State.CLOSED


@pytest.mark.parametrize("state", REPLICAS)
@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: message.name)
def test_what_a_replica_takes(state: State, message: Message) -> None:
    session = REPLICAS[state]()
    if isinstance(message, Pong) and state is State.READY:
        message = replace(message, id=session.ping())
    check_takes(session, message, REPLICA_TAKES[state])


@pytest.mark.parametrize("state", RELAYS)
@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: message.name)
def test_what_a_relay_takes(state: State, message: Message) -> None:
    check_takes(RELAYS[state](), message, RELAY_TAKES[state])


def test_there_is_a_sample_of_every_message() -> None:
    assert {type(message) for message in SAMPLES} == {
        *get_args(TextMessage),
        *get_args(BinaryMessage),
    }


REPLICA_SAYS: dict[str, Callable[[ReplicaSession], object]] = {
    "hello": lambda session: session.start(),
    "push": lambda session: session.push(6, payload(6)),
    "ping": lambda session: session.ping(),
    "resume": lambda session: session.resume(20),
    "fetch": lambda session: session.fetch(CAFE, 0, {7: 2}),
    "compare": lambda session: session.compare(None),
    "enumerate": lambda session: session.enumerate(None, CAFE),
}
RELAY_SAYS: dict[str, Callable[[RelaySession], object]] = {
    "welcome": lambda session: session.welcome(relay=RELAY, head=30, batch=5, time=NOW),
    "ack": lambda session: session.acknowledge(6, 31),
    "pong": lambda session: session.pong(1, position=20, head=30),
    "advance": lambda session: session.advance(20, 21),
    "caught-up": lambda session: session.caught_up(30),
    "document": lambda session: session.document(CAFE, 0, HI),
    "digests": lambda session: session.digests(None, [Range(CAFE, bytes(32))]),
    "states": lambda session: session.states(None, CAFE, []),
}
REPLICA_MAY: dict[State, set[str]] = {
    State.IDLE: {"hello"},
    State.HELLO_SENT: set(),
    State.READY: {"push", "ping", "resume", "fetch", "compare", "enumerate"},
}
RELAY_MAY: dict[State, set[str]] = {
    State.IDLE: set(),
    State.HELLO_RECEIVED: {"welcome"},
    State.READY: {"ack", "pong", "advance", "caught-up", "document", "digests", "states"},
}


def check_says(session: Any, name: str, say: Callable[[Any], object], may: set[str]) -> None:
    session.frames_to_send()
    if name in may:
        say(session)
        assert [message.name for message in said(session)] == [name]
    else:
        with pytest.raises(UsageError, match=f'cannot send "{name}"'):
            say(session)
        assert session.frames_to_send() == []


@pytest.mark.parametrize("state", REPLICAS)
@pytest.mark.parametrize("name", REPLICA_SAYS)
def test_what_a_replica_says(state: State, name: str) -> None:
    check_says(REPLICAS[state](), name, REPLICA_SAYS[name], REPLICA_MAY[state])


@pytest.mark.parametrize("state", RELAYS)
@pytest.mark.parametrize("name", RELAY_SAYS)
def test_what_a_relay_says(state: State, name: str) -> None:
    check_says(RELAYS[state](), name, RELAY_SAYS[name], RELAY_MAY[state])


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: message.name)
def test_a_closed_session_hears_nothing(message: Message) -> None:
    assert closed(ready_replica()).receive(encode(message)) == []
    assert closed(ready_relay()).receive(encode(message)) == []


def test_a_closed_session_says_nothing() -> None:
    replica, relay = closed(ready_replica()), closed(ready_relay())
    for say in REPLICA_SAYS.values():
        say(replica)
    for answer in RELAY_SAYS.values():
        answer(relay)
    assert replica.frames_to_send() == relay.frames_to_send() == []
    assert not replica.window_open


@pytest.mark.parametrize("make", [ready_replica, ready_relay])
def test_failing_is_the_last_thing_said(make: Callable[[], Any]) -> None:
    session = make()
    session.ping() if isinstance(session, ReplicaSession) else session.caught_up(30)
    frame = session.fail(StoreFailed("The disk is full.", hint="Free some space.", retry_after=2.0))
    assert decode(frame) == ERROR
    assert session.frames_to_send() == []
    assert session.state is State.CLOSED


@pytest.mark.parametrize("make", [greeting_replica, ready_replica, greeted_relay, ready_relay])
def test_the_peers_error_is_reported(make: Callable[[], Any]) -> None:
    (event,) = make().receive(encode(ERROR))
    assert isinstance(event, PeerFailed)
    error = event.error
    assert type(error) is PeerError
    assert (error.code, error.message) == ("store-failed", "The disk is full.")
    assert (error.hint, error.retry_after) == ("Free some space.", 2.0)


@given(damaged(messages.map(encode)) | messages.map(encode))
def test_no_frame_does_more_to_a_session_than_close_it(frame: Frame) -> None:
    for session in (greeting_replica(), ready_replica(), RelaySession("demo"), ready_relay()):
        failure: SynclineError | None = None
        try:
            session.receive(frame)
        except SynclineError as error:
            failure = error
        if failure is not None:
            assert session.state is State.CLOSED
            assert isinstance(decode(session.fail(failure)), Error)


# The handshake


def test_the_replica_says_hello_and_is_welcomed() -> None:
    session = new_replica()
    session.start()
    assert said(session) == [HELLO]
    assert not session.window_open
    assert session.receive(encode(WELCOME)) == [Welcomed(RELAY, 30, 5, forgetful=False, time=NOW)]
    assert session.window_open


def test_the_first_relay_may_be_any() -> None:
    session = greeting_replica(relay=None)
    assert session.receive(encode(WELCOME)) == [Welcomed(RELAY, 30, 5, forgetful=False, time=NOW)]


def test_another_relay_is_refused() -> None:
    with pytest.raises(WorkspaceMismatch) as caught:
        greeting_replica(relay="other").receive(encode(WELCOME))
    assert caught.value.message == (
        f"This replica has synced with the relay other, and the relay at this URL is {RELAY}."
    )
    assert "Check the URL" in caught.value.hint


@pytest.mark.parametrize(("head", "batch"), [(19, 5), (30, 4)])
def test_a_relay_that_has_forgotten_changes_is_to_be_compared_with(head: int, batch: int) -> None:
    session = greeting_replica()
    welcome = replace(WELCOME, head=head, batch=batch)
    assert session.receive(encode(welcome)) == [
        Welcomed(RELAY, head, batch, forgetful=True, time=NOW)
    ]
    assert session.cursor == head  # the relay sends what follows


def test_a_restored_relay_keeps_its_lineage() -> None:
    session = greeting_replica(relay=f"{RELAY}.1")
    welcome = replace(WELCOME, relay=f"{RELAY}.2", head=50)
    assert session.receive(encode(welcome)) == [
        Welcomed(f"{RELAY}.2", 50, 5, forgetful=True, time=NOW)
    ]


@pytest.mark.parametrize(
    ("relay", "cursor", "sends_after"),
    [(RELAY, 20, 20), (f"{RELAY}.1", 20, 30), (RELAY, 31, 30), (None, 0, 0)],
)
def test_a_relay_sends_what_follows_the_cursor_or_its_head(
    relay: str | None, cursor: int, sends_after: int
) -> None:
    session = RelaySession("demo")
    session.receive(encode(replace(HELLO, relay=relay, cursor=cursor)))
    assert session.welcome(relay=RELAY, head=30, batch=5, time=NOW) == sends_after


def test_a_version_that_was_not_offered_is_refused() -> None:
    with pytest.raises(VersionMismatch) as caught:
        greeting_replica().receive(encode(replace(WELCOME, version=2)))
    assert caught.value.message == (
        "The relay chose protocol version 2, and this replica speaks 1."
    )
    assert caught.value.hint == "Upgrade the replica."


def test_the_relay_refuses_a_replica_without_a_common_version() -> None:
    relay, replica = RelaySession("demo"), greeting_replica()
    with pytest.raises(VersionMismatch) as refused:
        relay.receive(encode(replace(HELLO, versions=(2, 3))))
    assert refused.value.message == "The replica speaks protocol version 2 or 3, the relay 1."
    with pytest.raises(VersionMismatch) as told:
        replica.receive(relay.fail(refused.value))
    assert told.value.message == (
        "The relay refused protocol version 1 of this replica: "
        "The replica speaks protocol version 2 or 3, the relay 1."
    )
    assert told.value.hint == "Upgrade the relay."


def test_who_is_behind_is_to_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.engine.protocol.handshake.VERSIONS", (2, 3))
    with pytest.raises(VersionMismatch) as caught:
        RelaySession("demo").receive(encode(HELLO))
    assert caught.value.message == "The replica speaks protocol version 1, the relay 2 or 3."
    assert caught.value.hint == "Upgrade the replica."
    monkeypatch.setattr("syncline.engine.protocol.replica_session.VERSIONS", (2, 3))
    ahead = greeting_replica()
    with pytest.raises(VersionMismatch) as behind:
        ahead.receive(encode(WELCOME))
    assert behind.value.hint == "Upgrade the relay."


def test_the_relay_welcomes() -> None:
    session = RelaySession("demo", Limits(window=4))
    hello = replace(HELLO, versions=(1, 2))
    assert session.receive(encode(hello)) == [HelloReceived(hello)]
    assert session.version == 1
    session.welcome(relay=RELAY, head=30, batch=5, time=NOW)
    assert said(session) == [WELCOME]


def test_the_highest_common_version_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.engine.protocol.handshake.VERSIONS", (1, 2, 3))
    session = RelaySession("demo")
    session.receive(encode(replace(HELLO, versions=(2, 1))))
    assert session.version == 2


def test_a_hello_about_another_workspace_is_refused() -> None:
    with pytest.raises(WorkspaceMismatch) as caught:
        RelaySession("other").receive(encode(HELLO))
    assert caught.value.message == (
        'The hello is about the workspace "demo", and the connection was made to "other".'
    )


def test_the_tables_name_every_message_once_for_its_sender() -> None:
    """What one side may send, the other may receive; errors go through ``fail``."""

    def kinds(table: Any) -> set[type[Message]]:
        return {kind for row in table.values() for kind in row} - {Error}

    # The relay's driver sends updates itself, encoded once for all readers.
    assert kinds(relay_session.SENDS) | {Updates} == kinds(replica_session.RECEIVES)
    assert kinds(replica_session.SENDS) == kinds(relay_session.RECEIVES)
