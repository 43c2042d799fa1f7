"""lib0: exact bytes, round trips, and a sentence for everything malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.errors import MalformedFrame, ValueRefused
from syncline.engine.lib0 import MAX_UINT, Reader, write_buf, write_string, write_uint

uints = st.integers(0, MAX_UINT)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def written(value: int) -> bytes:
    out = bytearray()
    write_uint(out, value)
    return bytes(out)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2**31 - 1, "ffffffff07"),
        (2**53 - 1, "ffffffffffffff0f"),
    ],
)
def test_integers_have_these_bytes(value: int, data: str) -> None:
    assert written(value).hex() == data
    assert Reader(bytes.fromhex(data)).uint() == value


def test_buffers_and_strings_have_these_bytes() -> None:
    out = bytearray()
    write_buf(out, b"\x00\xff")
    write_string(out, "é😀")
    assert out.hex() == "0200ff" + "06c3a9f09f9880"


@given(st.lists(st.one_of(uints, st.binary(), texts)))
def test_what_was_written_is_read(values: list[int | bytes | str]) -> None:
    out = bytearray()
    for value in values:
        match value:
            case int():
                write_uint(out, value)
            case bytes():
                write_buf(out, value)
            case str():
                write_string(out, value)
    for data in (bytes(out), memoryview(out)):
        reader = Reader(data)
        for value in values:
            match value:
                case int():
                    assert reader.uint() == value
                case bytes():
                    assert reader.buf() == value
                case str():
                    assert reader.string() == value
        assert reader.at_end
        reader.expect_end()


@given(st.binary(max_size=12))
def test_an_integer_has_one_encoding(data: bytes) -> None:
    reader = Reader(data)
    try:
        value = reader.uint()
    except MalformedFrame:
        return
    assert written(value) == data[: len(data) - reader.remaining]


@given(st.binary(max_size=300))
def test_a_truncated_buffer_is_refused(payload: bytes) -> None:
    out = bytearray()
    write_buf(out, payload)
    for size in range(len(out)):
        with pytest.raises(MalformedFrame):
            Reader(bytes(out[:size])).buf()


@pytest.mark.parametrize("value", [-1, 2**53, 2**64])
def test_an_integer_that_lib0_cannot_carry_is_not_written(value: int) -> None:
    with pytest.raises(ValueRefused, match=f"{value} cannot be written as a lib0 integer"):
        write_uint(bytearray(), value)


def test_a_lone_surrogate_is_not_written() -> None:
    with pytest.raises(ValueRefused, match="has a lone surrogate at index 1"):
        write_string(bytearray(), "a\ud800")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("", "The binary data ends early (byte 0)."),
        ("80", "The binary data ends early (byte 1)."),
        ("8000", "has an integer padded with zeros"),
        ("ffffffffffffff1f", "has 18014398509481983 where at most 9007199254740991 is allowed"),
        ("ffffffffffffffff01", "has an integer of more than 53 bits"),
        ("ff" * 400_000, "has an integer of more than 53 bits"),
    ],
)
def test_a_malformed_integer_is_refused(data: str, sentence: str) -> None:
    with pytest.raises(MalformedFrame) as caught:
        Reader(bytes.fromhex(data)).uint()
    assert sentence in caught.value.message
    assert caught.value.hint


def test_limits_hold() -> None:
    assert Reader(b"\x05").uint(limit=5) == 5
    with pytest.raises(MalformedFrame, match="has 6 where at most 5 is allowed"):
        Reader(b"\x06").uint(limit=5)
    with pytest.raises(MalformedFrame, match="has 3 where at most 2 is allowed"):
        Reader(b"\x03abc").buf(limit=2)
    with pytest.raises(MalformedFrame, match="has 3 where at most 2 is allowed"):
        Reader(b"\x03abc").string(limit=2)


def test_a_length_beyond_the_data_is_refused_before_anything_is_copied() -> None:
    with pytest.raises(MalformedFrame, match="announces 9007199254740991 bytes and has 0"):
        Reader(written(MAX_UINT)).buf()


def test_bytes_are_read_one_by_one_and_counted() -> None:
    reader = Reader(b"\x01\xff")
    assert (reader.byte(), reader.remaining, reader.at_end) == (1, 1, False)
    assert (reader.byte(), reader.remaining, reader.at_end) == (255, 0, True)
    with pytest.raises(MalformedFrame, match="ends early"):
        reader.byte()


def test_text_must_be_utf8_and_data_must_end() -> None:
    with pytest.raises(MalformedFrame, match="has text that is not UTF-8"):
        Reader(b"\x02\xff\xfe").string()
    with pytest.raises(MalformedFrame, match="goes on for 2 bytes after its end"):
        Reader(b"ab").expect_end()
