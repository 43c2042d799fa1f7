"""The frames of y-websocket and Hocuspocus, byte by byte.

The vectors were recorded from y-websocket 3.1.0 and @hocuspocus/provider 4.8.0 and 2.15.3.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.errors import MalformedFrame
from syncline.engine.lib0 import MAX_UINT, Reader
from syncline.engine.yjs import hocuspocus, y_websocket
from syncline.engine.yjs.fields import (
    MAX_AWARENESS_STATE,
    read_awareness,
    read_sync,
    write_awareness,
    write_sync,
)
from syncline.engine.yjs.messages import (
    Authenticate,
    Authenticated,
    Awareness,
    Client,
    Close,
    Denied,
    Message,
    Ping,
    Pong,
    QueryAwareness,
    Stateless,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Unknown,
    Update,
)

HI = bytes.fromhex("010107000401017402686900")

# From a client, each way where both sides send it.
Y_WEBSOCKET: list[tuple[str, Message]] = [
    ("00000100", SyncStep1(b"\0")),
    ("0001020000", SyncStep2(b"\0\0")),
    ("00020c" + HI.hex(), Update(HI)),
    ("010601010002" + b"{}".hex(), Awareness((Client(1, 0, "{}"),))),
    ("0108010107046e756c6c", Awareness((Client(1, 7, None),))),
    ("010100", Awareness(())),
    ("03", QueryAwareness()),
]
HOCUSPOCUS: list[tuple[str, str, Message]] = [
    ("03646f63" + "00" + "000100", "doc", SyncStep1(b"\0")),
    ("03646f63" + "00" + "01020000", "doc", SyncStep2(b"\0\0")),
    ("03646f63" + "00" + "020c" + HI.hex(), "doc", Update(HI)),
    ("03646f63" + "01" + "0601010002" + b"{}".hex(), "doc", Awareness((Client(1, 0, "{}"),))),
    ("03646f63" + "03", "doc", QueryAwareness()),
    ("03646f63" + "05" + "026869", "doc", Stateless("hi")),
    (
        "0f646f63006162636465666768696a6b" + "00" + "000100",
        "doc\0abcdefghijk",
        SyncStep1(b"\0"),
    ),
    ("0970616765732f63c3a9" + "03", "pages/cé", QueryAwareness()),
]
FROM_A_HOCUSPOCUS_CLIENT: list[tuple[str, str, Message]] = [
    ("03646f63" + "02" + "0003746f6b05342e382e30", "doc", Authenticate("tok", "4.8.0")),
    ("03646f63" + "02" + "0003746f6b", "doc", Authenticate("tok")),  # v2 and v3
    ("03646f63" + "02" + "0000", "doc", Authenticate("")),
    ("03646f63" + "04" + "020c" + HI.hex(), "doc", Update(HI)),
    ("03646f63" + "07", "doc", Close()),
    ("03646f63" + "63" + "0102", "doc", Unknown(99)),
    ("0a", "", Pong()),
    ("09", "", Ping()),
]
FROM_A_HOCUSPOCUS_SERVER: list[tuple[str, str, Message]] = [
    ("03646f63" + "02" + "020a726561642d7772697465", "doc", Authenticated(read_only=False)),
    ("03646f63" + "02" + "0208726561646f6e6c79", "doc", Authenticated(read_only=True)),
    ("03646f63" + "02" + "01026e6f", "doc", Denied("no")),
    ("03646f63" + "08" + "01", "doc", SyncStatus(stored=True)),
    ("03646f63" + "08" + "00", "doc", SyncStatus(stored=False)),
    (
        "03646f63" + "07" + "1270726f76696465725f696e69746961746564",
        "doc",
        Close("provider_initiated"),
    ),
    ("09", "doc", Ping()),
]


@pytest.mark.parametrize(("frame", "message"), Y_WEBSOCKET)
def test_y_websocket(frame: str, message: Message) -> None:
    assert y_websocket.decode(bytes.fromhex(frame)) == message
    assert y_websocket.encode(message) == bytes.fromhex(frame)


def test_what_only_a_y_websocket_server_says() -> None:
    assert y_websocket.encode(Denied("no")) == bytes.fromhex("0200026e6f")


@pytest.mark.parametrize(
    "message", [SyncStatus(stored=True), Close("bye"), Stateless("x"), Authenticated(False), Ping()]
)
def test_what_y_websocket_has_no_frame_for(message: Message) -> None:
    assert y_websocket.encode(message) is None


def test_messages_of_unknown_types_are_known_as_such() -> None:
    assert y_websocket.decode(b"\x63\x01\x02") == Unknown(99)
    assert y_websocket.decode(b"\x02\x00\x00") == Unknown(2)  # only servers send it


@pytest.mark.parametrize(("frame", "address", "message"), HOCUSPOCUS)
def test_hocuspocus(frame: str, address: str, message: Message) -> None:
    assert hocuspocus.decode(bytes.fromhex(frame)) == (address, message)
    assert hocuspocus.encode(address, message) == bytes.fromhex(frame)


@pytest.mark.parametrize(("frame", "address", "message"), FROM_A_HOCUSPOCUS_CLIENT)
def test_what_a_hocuspocus_client_says(frame: str, address: str, message: Message) -> None:
    assert hocuspocus.decode(bytes.fromhex(frame)) == (address, message)


@pytest.mark.parametrize(("frame", "address", "message"), FROM_A_HOCUSPOCUS_SERVER)
def test_what_a_hocuspocus_server_says(frame: str, address: str, message: Message) -> None:
    assert hocuspocus.encode(address, message) == bytes.fromhex(frame)


def test_the_name_in_an_address() -> None:
    assert hocuspocus.name_of("pages/a") == "pages/a"
    assert hocuspocus.name_of("pages/a\0abcdefghijk") == "pages/a"


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ("", "ends early"),
        ("00", "ends early"),
        ("0003", "unknown type 3"),
        ("000005", "announces 5 bytes"),
        ("00000100" + "00", "goes on for 1 bytes"),
        ("0000ffffffff7f", "where at most"),
        ("01", "ends early"),
        ("01050101000178", "client 1 is not JSON"),  # x
        ("0107010100034e614e", "client 1 is not JSON"),  # NaN
        ("01050101000122", "client 1 is not JSON"),  # an open quote
        ("010501010001ff", "not UTF-8"),
        ("0102ce10", "ends early"),
        ("01020001", "goes on for 1 bytes"),
        ("0300", "goes on for 1 bytes"),
    ],
)
def test_bad_frames_of_y_websocket(frame: str, problem: str) -> None:
    with pytest.raises(MalformedFrame, match=problem):
        y_websocket.decode(bytes.fromhex(frame))


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        ("", "ends early"),
        ("00", "names no document"),
        ("0100" + "03", "names no document"),  # only a session
        ("05646f63", "announces 5 bytes"),
        ("03646f63", "ends early"),
        ("03646f63" + "06" + "026869", "sent a message to be broadcast"),
        ("03646f63" + "02" + "01026e6f", "auth message is of the type 1"),
        ("03646f63" + "02" + "0003746f6b" + "0131" + "00", "goes on for 1 bytes"),
        ("03646f63" + "05" + "ffff7f", "where at most"),
        ("ffff7f", "where at most"),
        ("03646f63" + "0009", "unknown type 9"),
    ],
)
def test_bad_frames_of_hocuspocus(frame: str, problem: str) -> None:
    with pytest.raises(MalformedFrame, match=problem):
        hocuspocus.decode(bytes.fromhex(frame))


def test_a_state_may_hold_half_a_character() -> None:
    # JSON.stringify writes half of an emoji, cut by a careless slice, as an escape.
    frame = y_websocket.encode(Awareness((Client(1, 1, '{"name":"\\ud83d"}'),)))
    assert frame is not None
    assert y_websocket.decode(frame) == Awareness((Client(1, 1, '{"name":"\\ud83d"}'),))


def test_a_state_nested_too_deep_for_a_reader_is_refused() -> None:
    out = bytearray()
    write_awareness(out, Awareness((Client(1, 1, "[" * 30_000 + "]" * 30_000),)))
    with pytest.raises(MalformedFrame, match="not JSON"):
        read_awareness(Reader(bytes(out)))


def test_a_state_that_is_too_large_is_refused() -> None:
    out = bytearray()
    write_awareness(out, Awareness((Client(1, 1, '"' + "x" * MAX_AWARENESS_STATE + '"'),)))
    with pytest.raises(MalformedFrame, match="at most 65536"):
        read_awareness(Reader(bytes(out)))


JSON = st.sampled_from(['{"user":{"name":"Ada ☕"}}', "{}", '"x"', "1", None])
CLIENTS = st.lists(
    st.builds(Client, st.integers(0, MAX_UINT), st.integers(0, MAX_UINT), JSON), max_size=5
)


@given(CLIENTS)
def test_awareness_comes_back_as_it_was_written(clients: list[Client]) -> None:
    out = bytearray()
    write_awareness(out, Awareness(tuple(clients)))
    assert read_awareness(Reader(bytes(out))) == Awareness(tuple(clients))


@given(st.sampled_from([SyncStep1, SyncStep2, Update]), st.binary(max_size=300))
def test_sync_comes_back_as_it_was_written(
    kind: type[SyncStep1 | SyncStep2 | Update], data: bytes
) -> None:
    out = bytearray()
    write_sync(out, kind(data))
    reader = Reader(bytes(out))
    assert read_sync(reader) == kind(data)
    reader.expect_end()


@given(st.binary(max_size=100))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    for decode in (y_websocket.decode, hocuspocus.decode):
        with suppress(MalformedFrame):
            decode(data)
