"""A replica's session once it is open: batches, pongs, changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncline.engine.errors import (
    LimitExceeded,
    UnexpectedMessage,
    UsageError,
)
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import (
    Ack,
    Advance,
    CaughtUp,
    Compare,
    Digests,
    DocumentSummary,
    DocumentUpdate,
    Enumerate,
    Expected,
    Fetch,
    Limits,
    Message,
    Ping,
    Pong,
    Range,
    Refusal,
    States,
    Updates,
)
from syncline.engine.protocol.replica_session import (
    MAX_PINGS,
    Acknowledged,
    Advanced,
    DocumentReceived,
    Missed,
    Ponged,
    ReplicaSession,
    Rewind,
    UpdatesReceived,
)
from syncline.engine.updates.parse import encode_state_vector
from tests.engine.sessions import (
    ENTRIES,
    WELCOME,
    greeting_replica,
    payload,
    pushing_replica,
    ready_replica,
    said,
)
from tests.engine.wire import CAFE, HI

# Batches, at the replica


def test_batches_are_pushed_as_they_are_while_the_window_is_open() -> None:
    session = ready_replica()
    for number in range(6, 10):
        assert session.window_open
        session.push(number, payload(number))
    assert session.frames_to_send() == [payload(number) for number in range(6, 10)]
    assert not session.window_open
    with pytest.raises(UsageError, match="Batch 10 was pushed while 4 wait"):
        session.push(10, payload(10))
    session.receive(encode(Ack(6, 31)))
    assert session.window_open


def test_the_smaller_window_counts() -> None:
    session = ready_replica(limits=Limits(window=1))
    session.push(6, payload(6))
    assert not session.window_open


@pytest.mark.parametrize("number", [5, 7, 0])
def test_batches_are_pushed_in_order(number: int) -> None:
    session = ready_replica()
    with pytest.raises(UsageError, match=f"Batch {number} was pushed where batch 6 was due"):
        session.push(number, payload(6))
    assert session.frames_to_send() == []


def test_a_batch_that_the_relay_would_not_take_is_refused() -> None:
    session = greeting_replica()
    session.receive(encode(replace(WELCOME, limits=Limits(max_frame=len(payload(6)) - 1))))
    with pytest.raises(LimitExceeded, match="Batch 6 has 31 bytes, and the relay takes at most 30"):
        session.push(6, payload(6))
    session.receive(encode(Advance(20, 21)))  # what the relay takes is no bound for what it sends


def test_acknowledgements_are_reported_once_and_in_order() -> None:
    session = pushing_replica(9)
    refused = (Refusal(CAFE, "invalid-update", "It ends early.", "Report this.", None),)
    assert session.receive(encode(Ack(7, 32))) == []  # that of 6 is missing
    assert session.receive(encode(Ack(6, 31, refused))) == [Acknowledged(6, 31, refused)]
    assert session.receive(encode(Ack(6, 31, refused))) == []
    assert session.receive(encode(Ack(7, 32))) == [Acknowledged(7, 32, ())]
    assert session.acknowledged == 7


@pytest.mark.parametrize(
    "message", [Ack(8, 31), Expected(9), Pong(1, 20, 20, 8, 5), Pong(1, 20, 20, 5, 8)]
)
def test_what_was_not_pushed_cannot_be_spoken_of(message: Message) -> None:
    session = pushing_replica(7)
    session.ping()
    with pytest.raises(UnexpectedMessage, match="about batch 8, and 7 was the last pushed"):
        session.receive(encode(message))


def test_a_missing_batch_is_pushed_again_with_those_after_it() -> None:
    session = pushing_replica(9)
    assert session.receive(encode(Expected(7))) == [Rewind(7)]
    with pytest.raises(UsageError, match="where batch 7 was due"):
        session.push(10, payload(10))
    for number in (7, 8, 9):
        session.push(number, payload(number))
    assert session.frames_to_send() == [payload(number) for number in (7, 8, 9)]


def test_the_relay_missing_the_same_batch_again_is_no_news() -> None:
    session = pushing_replica(9)
    assert session.receive(encode(Expected(7))) == [Rewind(7)]
    session.push(7, payload(7))
    assert session.receive(encode(Expected(7))) == []
    assert session.receive(encode(Expected(6))) == []  # overtaken by the other
    session.push(8, payload(8))
    session.push(9, payload(9))
    assert session.receive(encode(Expected(8))) == [Rewind(8)]


def test_a_batch_that_has_not_been_pushed_again_yet_cannot_be_missing() -> None:
    session = pushing_replica(9)
    assert session.receive(encode(Expected(7))) == [Rewind(7)]
    assert session.receive(encode(Expected(8))) == []
    assert session.receive(encode(Expected(7))) == []


def test_an_acknowledged_batch_is_not_missing() -> None:
    session = pushing_replica(9)
    session.receive(encode(Ack(6, 31)))
    assert session.receive(encode(Expected(6))) == []


def test_a_batch_acknowledged_after_going_back_need_not_be_pushed_again() -> None:
    session = pushing_replica(9)
    assert session.receive(encode(Expected(6))) == [Rewind(6)]
    session.receive(encode(Ack(6, 31)))
    with pytest.raises(UsageError):
        session.push(8, payload(8))
    session.push(7, payload(7))


# Pongs, at the replica


def pong(session: ReplicaSession, ping: int, **fields: int) -> list[Any]:
    """Answer a ping: all is well, but for ``fields``."""
    right = {"position": 20, "head": 40, "received": 9, "committed": 5}
    return session.receive(encode(Pong(id=ping, **(right | fields))))


def test_a_pong_when_all_is_well() -> None:
    session = pushing_replica(9)
    ping = session.ping()
    assert said(session) == [Ping(ping)]
    assert pong(session, ping) == [Ponged(ping, 40)]


def test_a_pong_shows_a_lost_push() -> None:
    session = pushing_replica(9)
    ping = session.ping()
    assert pong(session, ping, received=7) == [Rewind(8), Ponged(ping, 40)]
    session.push(8, payload(8))
    assert session.receive(encode(Expected(8))) == []  # said before the relay got it


def test_a_pong_shows_a_lost_ack() -> None:
    session = pushing_replica(9)
    ping = session.ping()
    assert pong(session, ping, received=7, committed=6) == [Rewind(6), Ponged(ping, 40)]


def test_a_pong_knows_nothing_of_what_was_pushed_after_its_ping() -> None:
    session = pushing_replica(7)
    ping = session.ping()
    session.push(8, payload(8))
    assert pong(session, ping, received=7) == [Ponged(ping, 40)]
    ping = session.ping()
    assert pong(session, ping, received=7) == [Rewind(8), Ponged(ping, 40)]


def test_a_pong_overtaken_by_acks_shows_no_loss() -> None:
    session = pushing_replica(9)
    ping = session.ping()
    for number in range(6, 10):
        session.receive(encode(Ack(number, 31)))
    assert pong(session, ping, received=7) == [Ponged(ping, 40)]


def test_a_pong_from_before_going_back_shows_no_loss() -> None:
    session = pushing_replica(9)
    ping = session.ping()
    assert session.receive(encode(Expected(7))) == [Rewind(7)]
    assert pong(session, ping, received=6) == [Ponged(1, 40)]


def test_a_pong_shows_missed_changes() -> None:
    session = pushing_replica(9)
    ping = session.ping()
    assert pong(session, ping, position=21) == [Missed(21), Ponged(ping, 40)]
    session.cursor = 21
    ping = session.ping()
    assert pong(session, ping, position=21) == [Ponged(ping, 40)]


def test_a_pong_from_before_resuming_shows_no_missed_changes() -> None:
    session = pushing_replica(9)
    ping = session.ping()
    session.resume(20)
    assert [message.name for message in said(session)] == ["ping", "resume"]
    assert pong(session, ping, position=30) == [Ponged(1, 40)]
    ping = session.ping()
    assert pong(session, ping, position=30) == [Missed(30), Ponged(2, 40)]


def test_a_pong_answers_for_the_pings_before_it_and_counts_once() -> None:
    session = pushing_replica(9)
    assert [session.ping() for _ in range(3)] == [1, 2, 3]
    second = encode(Pong(2, 20, 40, 9, 5))
    assert session.receive(second) == [Ponged(2, 40)]
    assert session.receive(second) == []
    assert session.receive(encode(Pong(1, 20, 40, 6, 5))) == []
    assert session.receive(encode(Pong(3, 20, 40, 9, 5))) == [Ponged(3, 40)]
    with pytest.raises(UnexpectedMessage, match="answered ping 4, and 3 was the last"):
        session.receive(encode(Pong(4, 20, 40, 9, 5)))


def test_what_is_kept_of_unanswered_pings_is_bounded() -> None:
    session = ready_replica()
    session.push(6, payload(6))
    for _ in range(MAX_PINGS + 1):
        session.ping()
    assert pong(session, 1, received=5) == [Ponged(1, 40)]
    assert pong(session, 2, received=5) == [Rewind(6), Ponged(2, 40)]


# Changes, at the replica


def test_changes_are_handed_on() -> None:
    session = ready_replica()
    assert session.receive(encode(Updates(20, 22, ENTRIES))) == [UpdatesReceived(20, 22, ENTRIES)]
    assert session.receive(encode(Advance(22, 23))) == [Advanced(22, 23)]
    assert session.receive(encode(CaughtUp(23))) == [CaughtUp(23)]
    assert session.receive(encode(DocumentUpdate(CAFE, 3, HI))) == [DocumentReceived(CAFE, 3, HI)]
    digests = Digests(None, (Range(None, bytes(32)),))
    assert session.receive(encode(digests)) == [digests]
    states = States(None, CAFE, (DocumentSummary(CAFE, 3, b"\x00", bytes(32)),))
    assert session.receive(encode(states)) == [states]


def test_a_fetch_carries_the_state_vector() -> None:
    session = ready_replica()
    session.fetch(CAFE, 3, {7: 2})
    session.compare(CAFE)
    session.enumerate(None, CAFE)
    assert said(session) == [
        Fetch(CAFE, 3, encode_state_vector({7: 2})),
        Compare(CAFE),
        Enumerate(None, CAFE),
    ]
