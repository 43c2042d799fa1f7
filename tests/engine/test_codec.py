"""Frames: exact bytes, round trips, strictness, and nothing but MalformedFrame for damage."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.errors import MalformedFrame, VersionMismatch
from syncline.engine.protocol.codec import decode, encode
from syncline.engine.protocol.messages import (
    LIMITS,
    MAX_PUSH_ENTRIES,
    MAX_STATE_VECTOR,
    MAX_TEXT,
    MAX_UPDATES_ENTRIES,
    Ack,
    BinaryMessage,
    Error,
    Frame,
    Hello,
    Message,
    Push,
    Refusal,
    TextMessage,
    Updates,
)
from tests.engine.wire import (
    CAFE,
    VECTORS,
    binary_messages,
    damaged,
    frame_of,
    messages,
    text_messages,
)
from tests.profiles import scaled

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"

TEXTS = [vector for _, vector in VECTORS if vector.startswith("{")]


def sentence(frame: Frame, max_bytes: int = LIMITS.max_frame) -> str:
    """The sentence with which a frame is refused."""
    with pytest.raises(MalformedFrame) as caught:
        decode(frame, max_bytes)
    assert caught.value.hint
    assert not caught.value.message.endswith("..")
    return caught.value.message


def with_member(text: str, name: str, value: Any) -> str:
    return json.dumps({**json.loads(text), name: value})


def vector_of(name: str) -> str:
    """The last text vector of a type: the fullest."""
    return [text for text in TEXTS if json.loads(text)["type"] == name][-1]


# Bytes


@pytest.mark.parametrize(("message", "vector"), VECTORS, ids=str)
def test_vectors(message: Message, vector: str) -> None:
    assert encode(message) == frame_of(vector)
    assert decode(frame_of(vector)) == message


def test_every_message_has_a_vector() -> None:
    kinds = {type(message) for message, _ in VECTORS}
    assert kinds == {*get_args(TextMessage), *get_args(BinaryMessage)}


def test_the_page_has_the_same_vectors() -> None:
    (block,) = re.findall(r"```vectors\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block.splitlines() == [vector for _, vector in VECTORS]


# Round trips


@given(messages)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.text(), st.text())
def test_sentences_are_cleaned_so_that_they_can_be_sent(message: str, hint: str) -> None:
    refusal = Refusal(CAFE, "code", message, hint, None)
    for said in (Error("code", message, hint, None), Ack(1, 1, (refusal,))):
        again = decode(encode(said))
        assert encode(again) == encode(said)


def test_a_long_sentence_is_cut() -> None:
    error = decode(encode(Error("code", "a" * MAX_TEXT + "b", "\x1b[31mred\u202e\n", None)))
    assert error == Error("code", "a" * (MAX_TEXT - 1) + "…", " [31mred  ", None)


# Strictness of text frames

JUNK: list[Any] = [None, True, False, -1, 2**53, 2**64, 1.5, "", "\x00", [], [None], {}, {"a": 1}]
# What of the junk is right after all.
FITTING: list[tuple[str, str, list[Any]]] = [
    ("hello", "relay", [None]),
    ("hello", "token", [None]),
    ("ack", "refused", [[]]),
    ("error", "retry_after", [None, 1.5]),
    ("error", "message", [""]),
    ("error", "hint", [""]),
    ("fetch", "state_vector", [""]),
    ("compare", "after", [None]),
    ("enumerate", "after", [None]),
    ("enumerate", "until", [None]),
    ("digests", "after", [None]),
    ("ack", "refused[0].message", [""]),
    ("ack", "refused[0].hint", [""]),
    ("ack", "refused[0].state_vector", [None, ""]),
]
MEMBERS = [
    (name, member)
    for name in sorted({json.loads(text)["type"] for text in TEXTS})
    for member in json.loads(vector_of(name))
    if member != "type"
]


def inner(name: str) -> list[tuple[str, str]]:
    """The members of the objects inside a message, as (path of the object, member)."""
    return {
        "welcome": [("limits", each) for each in ("max_frame", "max_update", "window")],
        "ack": [
            ("refused[0]", each) for each in ("address", "code", "message", "hint", "state_vector")
        ],
    }.get(name, [])


def with_inner(name: str, path: str, change: dict[str, Any], without: str = "") -> str:
    members = json.loads(vector_of(name))
    target = members["refused"][0] if path == "refused[0]" else members[path]
    target.update(change)
    target.pop(without, None)
    return json.dumps(members)


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_a_member_must_be_there(name: str, member: str) -> None:
    members = json.loads(vector_of(name))
    del members[member]
    assert sentence(json.dumps(members)) == (
        f'In a message "{name}", the field "{member}" is missing.'
    )


@pytest.mark.parametrize(("name", "member"), MEMBERS)
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_a_member_is_of_its_type(name: str, member: str, junk: Any) -> None:
    frame = with_member(vector_of(name), member, junk)
    if any(
        (name, member) == (n, m) and any(junk == v and type(junk) is type(v) for v in fits)
        for n, m, fits in FITTING
    ):
        decode(frame)
    else:
        # The field itself, or one inside it.
        assert re.search(rf'"{name}", the field "{member}["\[.]', sentence(frame))


@pytest.mark.parametrize("name", ["welcome", "ack"])
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_a_member_of_a_member_is_of_its_type(name: str, junk: Any) -> None:
    for path, member in inner(name):
        frame = with_inner(name, path, {member: junk})
        field = f"{path}.{member}"
        if any(
            (name, field) == (n, m) and any(junk == v and type(junk) is type(v) for v in fits)
            for n, m, fits in FITTING
        ):
            decode(frame)
        else:
            assert f'"{name}", the field "{field}" ' in sentence(frame)


@pytest.mark.parametrize("text", TEXTS)
def test_no_member_is_unknown(text: str) -> None:
    name = json.loads(text)["type"]
    if json.loads(text).get("versions") == [1, 2]:
        return  # below: the peer may know more than we
    assert sentence(with_member(text, "zoom", 1)) == (
        f'In a message "{name}", the field "zoom" is unknown.'
    )


@pytest.mark.parametrize("name", ["welcome", "ack"])
def test_no_member_of_a_member_is_missing_or_unknown(name: str) -> None:
    for path, member in inner(name):
        field = f"{path}.{member}"
        assert f'"{field}" is missing' in sentence(with_inner(name, path, {}, without=member))
        assert f'"{path}.zoom" is unknown' in sentence(with_inner(name, path, {"zoom": 1}))


@pytest.mark.parametrize(
    ("name", "member", "value", "problem"),
    [
        ("hello", "versions", [1] * 17, "is no array of 0 to 16"),
        ("hello", "versions", [1, 0], "is no array of versions, 1 and up"),
        ("hello", "versions", [1, True], "is no array of versions, 1 and up"),
        ("hello", "workspace", "De mo", "cannot name a workspace"),
        ("hello", "replica", "a" * 65, "does not match"),
        ("hello", "replica", "a\n", "does not match"),
        ("hello", "relay", "ä", "does not match"),
        ("welcome", "version", 0, "is no integer of 1 to"),
        ("ack", "batch", 0, "is no integer of 1 to"),
        ("expected", "batch", 0, "is no integer of 1 to"),
        ("advance", "cursor", 412, "is no integer of 413 to"),
        ("fetch", "address", "pages", "has no slash"),
        ("fetch", "address", "pages/../x", "contains '/'"),
        ("fetch", "state_vector", "AQcC=", "is no base64"),
        ("fetch", "state_vector", "AQc", "is no base64"),
        ("fetch", "state_vector", "AB==", "is no base64"),
        ("fetch", "state_vector", "AQ\ncC", "is no base64"),
        ("fetch", "state_vector", "A-_C", "is no base64"),
        ("fetch", "state_vector", "ÄQcC", "is no base64"),
        ("fetch", "state_vector", "AAAA" * (MAX_STATE_VECTOR // 3 + 1), "is no base64"),
        ("error", "code", "Store Failed", "does not match"),
        ("error", "message", "a" * (MAX_TEXT + 1), "is no line of at most 1000"),
        ("error", "message", "two\nlines", "is no line of at most 1000"),
        ("error", "hint", "\u202egnihton", "is no line of at most 1000"),
        ("error", "retry_after", 86_401, "is neither null nor 0 to 86400 seconds"),
        ("error", "retry_after", -0.5, "is neither null nor 0 to 86400 seconds"),
    ],
)
def test_a_member_is_within_its_bounds(name: str, member: str, value: Any, problem: str) -> None:
    refused = sentence(with_member(vector_of(name), member, value))
    assert refused.startswith(f'In a message "{name}", the field "{member}" ')
    assert problem in refused


def test_an_ack_has_no_more_refusals_than_a_push_has_entries() -> None:
    refused = json.loads(vector_of("ack"))["refused"][:1]
    decode(with_member(vector_of("ack"), "refused", refused * MAX_PUSH_ENTRIES))
    too_many = with_member(vector_of("ack"), "refused", refused * (MAX_PUSH_ENTRIES + 1))
    assert '"refused" is no array of 0 to 1000' in sentence(too_many)


@pytest.mark.parametrize(
    ("frame", "refused"),
    [
        ("", "is no JSON:"),
        ("{", "is no JSON:"),
        ('{"type":"ping","id":1}x', "is no JSON:"),
        ('{"type":"ping","id":NaN}', "is no JSON:"),
        ('{"type":"ping","id":"\ud800"}', "half a character"),
        ('{"type":"ping","id":"\\ud800"}', "is no JSON:"),
        ("[" * 5000, "is no JSON: depth limit exceeded"),
        ("[1]", "is no JSON object."),
        ("null", "is no JSON object."),
        ("{}", "has the unknown type that is no string."),
        ('{"type":["ping"],"id":1}', "has the unknown type that is no string."),
        ('{"type":"pang","id":1}', "has the unknown type 'pang'."),
        ('{"type":"push","batch":1}', "has the unknown type 'push'."),
    ],
)
def test_a_text_frame_is_a_json_object_of_a_known_type(frame: str, refused: str) -> None:
    assert refused in sentence(frame)


def test_an_unknown_type_is_quoted_short_and_clean() -> None:
    assert sentence('{"type":"' + "\\u001b" + "a" * 99 + '"}').count("a") < 60


# Versions


def test_a_hello_without_a_common_version_is_a_mismatch_whatever_else_it_says() -> None:
    for offered, upgrade in (([2, 3], "Upgrade the relay."), ([2], "Upgrade the relay.")):
        with pytest.raises(VersionMismatch) as caught:
            decode(json.dumps({"type": "hello", "versions": offered, "new": {}}))
        assert caught.value.message == (
            f"The replica speaks protocol version {' or '.join(map(str, offered))}, the relay 1."
        )
        assert caught.value.hint == upgrade


def test_a_hello_of_a_newer_version_that_speaks_ours_too_may_say_more() -> None:
    text = with_member(with_member(vector_of("hello"), "versions", [1, 2]), "zoom", 1)
    hello = decode(text)
    assert isinstance(hello, Hello)
    assert hello.versions == (1, 2)


# Strictness of binary frames


@pytest.mark.parametrize(
    ("frame", "message", "field", "problem"),
    [
        ("", "unknown", "kind", "ends early"),
        ("00", "unknown", "kind", "0 is unknown"),
        ("05", "unknown", "kind", "5 is unknown"),
        ("8100", "unknown", "kind", "padded with zeros"),
        ("01", "push", "batch", "ends early"),
        ("0100", "push", "batch", "0 where 1 to 9007199254740991 are allowed"),
        ("01ffffffffffffff10", "push", "batch", "at most 9007199254740991"),
        ("01 01 00", "push", "count", "0 where 1 to 1000 are allowed"),
        ("01 01 e907", "push", "count", "1001 where 1 to 1000 are allowed"),
        ("01 01 01 03612f62 00", "push", "update of entry 0", "ends early"),
        ("01 01 01 03612f62 00 00", "push", "update of entry 0", "no bytes"),
        ("01 01 01 03612f62 00 030000", "push", "update of entry 0", "announces 3 bytes and has 2"),
        ("01 01 01 ffffffffffff07", "push", "address of entry 0", "at most 576"),
        ("01 01 01 c004", "push", "address of entry 0", "announces 576 bytes"),
        ("01 01 01 0161 020000", "push", "address of entry 0", "'a' has no slash"),
        ("01 01 01 03c32f62 020000", "push", "address of entry 0", "not UTF-8"),
        ("01 01 01 04 612f2e2e 020000", "push", "address of entry 0", "is a path"),
        ("01 01 02 03612f62 00 020000", "push", "address of entry 1", "ends early"),
        ("01 01 01 03612f62 00 020000 00", "push", "end", "goes on for 1 bytes"),
        ("02 05 05", "updates", "cursor", "5 where 6 to"),
        ("02 05 06 00", "updates", "count", "0 where 1 to 65536 are allowed"),
        ("02 05 06 818004", "updates", "count", "65537 where 1 to 65536"),
        ("03 03612f62 00 00", "document", "update", "no bytes"),
        ("03 03412f62 020000", "document", "address", "cannot name a collection"),
        ("03 03612f62 00 020000 00", "document", "end", "goes on for 1 bytes"),
    ],
)
def test_binary_frames_are_exact(frame: str, message: str, field: str, problem: str) -> None:
    refused = sentence(bytes.fromhex(frame))
    assert refused.startswith(f'A binary frame "{message}" has a bad field "{field}": ')
    assert problem in refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "most"), [("0101", MAX_PUSH_ENTRIES), ("020001", MAX_UPDATES_ENTRIES)]
)
def test_as_many_entries_as_are_allowed(start: str, most: int) -> None:
    count = bytes([most & 0x7F | 0x80, most >> 7 & 0x7F | (0x80 if most >> 14 else 0)])
    count += bytes([most >> 14]) if most >> 14 else b""
    entries = bytes.fromhex("03612f6200020000") * most
    message = decode(bytes.fromhex(start) + count + entries)
    assert isinstance(message, (Push, Updates))
    assert len(message.entries) == most


def test_a_frame_has_a_size() -> None:
    text = '{"type":"ping","id":1}'
    decode(text, len(text))
    assert sentence(text, len(text) - 1) == "The frame has 22 bytes or more, and 21 are allowed."
    accented = text.replace("ping", "pïng")
    assert "23 bytes or more, and 22" in sentence(accented, 22)
    push = frame_of("01 01 01 03612f62 00 020000")
    decode(push, len(push))
    assert "11 bytes or more, and 10 are allowed" in sentence(push, 10)
    assert "16,777,217 bytes" in sentence(bytes(LIMITS.max_frame + 1))


# Damage


@settings(max_examples=scaled(500), deadline=None)
@given(damaged(messages.map(encode)) | st.binary(max_size=60) | st.text(max_size=60))
def test_damage_is_either_malformed_or_another_message(frame: Frame) -> None:
    try:
        message = decode(frame)
    except (MalformedFrame, VersionMismatch):
        return
    # What was accepted was understood: encoded again, it says the same.
    assert decode(encode(message)) == message


@settings(max_examples=scaled(300))
@given(binary_messages, st.data())
def test_there_is_one_encoding_of_a_binary_message(
    message: BinaryMessage, data: st.DataObject
) -> None:
    frame = data.draw(damaged(st.just(encode(message))))
    try:
        other = decode(frame)
    except MalformedFrame:
        return
    assert encode(other) == frame


@settings(max_examples=scaled(300))
@given(text_messages, st.data())
def test_a_text_frame_cut_short_is_malformed(message: TextMessage, data: st.DataObject) -> None:
    frame = encode(message)
    cut = data.draw(st.integers(0, len(frame) - 1))
    sentence(frame[:cut])


@settings(max_examples=scaled(300))
@given(binary_messages, st.data())
def test_a_binary_frame_cut_short_is_malformed(message: BinaryMessage, data: st.DataObject) -> None:
    frame = encode(message)
    cut = data.draw(st.integers(0, len(frame) - 1))
    sentence(frame[:cut])
