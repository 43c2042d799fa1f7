"""A relay's session once it is open: batches, pongs, what is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from syncline.engine.errors import (
    MalformedFrame,
    UnexpectedMessage,
)
from syncline.engine.protocol import relay_session
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import (
    MAX_CONTROL_FRAME,
    Ack,
    Compare,
    Enumerate,
    Expected,
    Fetch,
    Limits,
    Ping,
    Pong,
    Refusal,
    Resume,
)
from syncline.engine.protocol.relay_session import (
    CompareReceived,
    EnumerateReceived,
    FetchReceived,
    PingReceived,
    PushReceived,
    RelaySession,
    ResumeReceived,
)
from syncline.engine.protocol.session import State
from syncline.engine.updates.parse import encode_state_vector
from tests.engine.sessions import (
    ENTRIES,
    HELLO,
    NOW,
    payload,
    ready_relay,
    said,
)
from tests.engine.wire import CAFE, RELAY


def test_a_push_is_taken_with_the_digest_of_its_frame() -> None:
    session = ready_relay()
    digest = hashlib.sha256(payload(6)).digest()
    assert session.receive(payload(6)) == [PushReceived(6, ENTRIES, digest, duplicate=False)]
    assert session.receive(payload(6)) == [PushReceived(6, ENTRIES, digest, duplicate=True)]
    session.acknowledge(6, 31)
    assert said(session) == [Ack(6, 31)]
    assert session.receive(payload(6)) == [PushReceived(6, ENTRIES, digest, duplicate=True)]


def test_a_batch_committed_on_an_earlier_connection_is_a_duplicate() -> None:
    session = ready_relay(batch=7)
    duplicates: list[bool] = []
    for number in (6, 7, 8):
        (event,) = session.receive(payload(number))
        assert isinstance(event, PushReceived)
        duplicates.append(event.duplicate)
    assert duplicates == [True, True, False]


def test_a_missing_batch_is_asked_for_once() -> None:
    session = ready_relay()
    session.receive(payload(6))
    assert session.receive(payload(8)) == session.receive(payload(9)) == []
    assert said(session) == [Expected(7)]
    assert [event.duplicate for event in pushes(session, 7, 8)] == [False, False]
    session.acknowledge(6, 31)
    session.acknowledge(7, 31)
    assert session.receive(payload(10)) == []
    assert said(session) == [Ack(6, 31), Ack(7, 31), Expected(9)]


def pushes(session: RelaySession, *numbers: int) -> list[PushReceived]:
    events = [event for number in numbers for event in session.receive(payload(number))]
    return [event for event in events if isinstance(event, PushReceived)]


def test_a_missing_batch_of_an_earlier_connection_is_asked_for_too() -> None:
    session = ready_relay(batch=7)
    assert session.receive(payload(7)) == []
    assert said(session) == [Expected(6)]


def test_the_window_is_kept() -> None:
    session = ready_relay()
    assert len(pushes(session, 6, 7, 8, 9)) == 4
    session.acknowledge(6, 31)
    assert len(pushes(session, 10, 10, 6)) == 3
    with pytest.raises(UnexpectedMessage, match="Batch 11 was pushed while 4 batches wait"):
        session.receive(payload(11))


def test_a_pong_counts_on_this_connection() -> None:
    session = ready_relay(batch=7)
    assert session.receive(encode(Ping(1))) == [PingReceived(1)]
    session.pong(1, position=20, head=30)
    pushes(session, 6, 7, 8)
    session.acknowledge(6, 31)
    session.acknowledge(7, 31)
    session.acknowledge(6, 31)
    session.pong(2, position=25, head=30)
    assert said(session) == [
        Pong(1, 20, 30, 5, 5),
        Ack(6, 31),
        Ack(7, 31),
        Ack(6, 31),
        Pong(2, 25, 30, 8, 7),
    ]


def test_an_ack_leaves_state_vectors_out_when_a_frame_has_no_room() -> None:
    session = RelaySession("demo", Limits(max_frame=400, window=4))
    session.receive(encode(HELLO))
    session.welcome(relay=RELAY, head=30, batch=5, time=NOW)
    session.frames_to_send()
    short = Refusal(CAFE, "invalid-update", "It ends early.", "Report this.", b"1" * 10)
    long = replace(short, state_vector=b"1" * 1000)
    session.acknowledge(6, 31, (short,))
    session.acknowledge(7, 31, (short, long))
    bare = replace(short, state_vector=None)
    assert said(session) == [Ack(6, 31, (short,)), Ack(7, 31, (bare, bare))]


def test_what_a_replica_asks_for_is_handed_on() -> None:
    session = ready_relay()
    assert session.receive(encode(Resume(3))) == [ResumeReceived(3)]
    fetch = Fetch(CAFE, 3, encode_state_vector({7: 2, 9: 1}))
    assert session.receive(encode(fetch)) == [FetchReceived(CAFE, 3, {7: 2, 9: 1})]
    assert session.receive(encode(Compare(CAFE))) == [CompareReceived(CAFE)]
    assert session.receive(encode(Enumerate(None, CAFE))) == [EnumerateReceived(None, CAFE)]


@pytest.mark.parametrize("state_vector", [b"", b"\x02\x07\x02", b"\x01\x07"])
def test_a_fetch_has_a_state_vector(state_vector: bytes) -> None:
    session = ready_relay()
    with pytest.raises(MalformedFrame, match='"fetch", the field "state_vector" is none: The'):
        session.receive(encode(Fetch(CAFE, 0, state_vector)))
    assert session.state is State.CLOSED


def test_a_fetch_names_a_bounded_number_of_writers() -> None:
    most = relay_session.MAX_FETCH_CLIENTS
    ready_relay().receive(
        encode(Fetch(CAFE, 0, encode_state_vector(dict.fromkeys(range(most), 1))))
    )
    with pytest.raises(MalformedFrame):
        ready_relay().receive(
            encode(Fetch(CAFE, 0, encode_state_vector(dict.fromkeys(range(most + 1), 1))))
        )


def test_a_relay_takes_no_large_text_frames() -> None:
    ping = '{"type":"ping","id":1}'
    assert ready_relay().receive(ping.ljust(MAX_CONTROL_FRAME)) == [PingReceived(1)]
    with pytest.raises(MalformedFrame, match="524,288 are allowed"):
        ready_relay().receive(ping.ljust(MAX_CONTROL_FRAME + 1))
