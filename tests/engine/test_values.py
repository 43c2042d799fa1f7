"""Exact values: the bytes that they are, what is refused, and what stored bytes are believed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.document.values import (
    MAX_DEPTH,
    MAX_VALUE_BYTES,
    decode_value,
    encode_value,
    unpack,
)
from syncline.engine.errors import ValueRefused

EXACT = 2**53 - 1


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Name(str):
    __slots__ = ()


class Instant(datetime):
    """As pandas.Timestamp is: it would come back as something else."""


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# These bytes are in the stores of users: they may gain rows, never change.
ENCODED: list[tuple[object, bytes]] = [
    (None, b"null"),
    (True, b"true"),
    (False, b"false"),
    ("", b'""'),
    ('naïve 😀 "\n\0', '"naïve 😀 \\"\\n\\u0000"'.encode()),
    ("$int", b'"$int"'),
    (0, b"0"),
    (EXACT, b"9007199254740991"),
    (-EXACT, b"-9007199254740991"),
    (EXACT + 1, b'{"$int":"9007199254740992"}'),
    (-EXACT - 1, b'{"$int":"-9007199254740992"}'),
    (1.0, b"1.0"),
    (-0.0, b"-0.0"),
    (0.1, b"0.1"),
    (5e-324, b"5e-324"),
    (Decimal("1.10"), b'{"$decimal":"1.10"}'),
    (Decimal("-0"), b'{"$decimal":"-0"}'),
    (Decimal("1E+400"), b'{"$decimal":"1E+400"}'),
    (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), b'{"$datetime":"2026-01-02T03:04:05.000006+00:00"}'),
    (datetime(2026, 1, 2, 3, 4), b'{"$datetime":"2026-01-02T03:04:00"}'),  # noqa: DTZ001
    (
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=timezone(timedelta(hours=1))),
        b'{"$datetime":["2026-10-25T02:30:00+01:00",1]}',
    ),
    (date(2026, 1, 2), b'{"$date":"2026-01-02"}'),
    (time(3, 4, 5, 6), b'{"$time":"03:04:05.000006"}'),
    (time(2, 30, fold=1), b'{"$time":["02:30:00",1]}'),
    (timedelta(days=-1, microseconds=1), b'{"$duration":"-86399999999"}'),
    (timedelta.max, b'{"$duration":"86399999999999999999"}'),
    (b"", b'{"$bytes":""}'),
    (b"\xff\x00", b'{"$bytes":"/wA="}'),
    (UUID(int=1), b'{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
    ([1, [None, "a"]], b'[1,[null,"a"]]'),
    ({}, b"{}"),
    ({"b": 1, "a": {"c": b"x"}}, b'{"b":1,"a":{"c":{"$bytes":"eA=="}}}'),
    ({"$int": "5"}, b'{"$dict":[["$int","5"]]}'),
    ({"a": 1, "$b": [b""]}, b'{"$dict":[["a",1],["$b",[{"$bytes":""}]]]}'),
    ({"$dict": {"$dict": 1}}, b'{"$dict":[["$dict",{"$dict":[["$dict",1]]}]]}'),
]


@pytest.mark.parametrize(("value", "encoded"), ENCODED)
def test_a_value_and_its_bytes(value: object, encoded: bytes) -> None:
    assert encode_value(value, where="w") == encoded
    found = decode_value(encoded)
    assert found == value
    assert repr(found) == repr(value)  # 1 is not 1.0, 1.10 is not 1.1, -0.0 is not 0.0
    assert getattr(found, "fold", 0) == getattr(value, "fold", 0)
    assert decode_value(encoded.decode()) == value


REFUSED: list[tuple[object, str]] = [
    (float("nan"), "cannot store the float nan."),
    (float("inf"), "cannot store the float inf."),
    (-float("inf"), "cannot store the float -inf."),
    (Decimal("NaN"), "cannot store the decimal NaN."),
    (Decimal("sNaN"), "cannot store the decimal sNaN."),
    (Decimal("-Infinity"), "cannot store the decimal -Infinity."),
    (1 << 14_000, "cannot store an int of more than 4,000 digits."),
    (-(1 << 14_000), "cannot store an int of more than 4,000 digits."),
    (
        "half \ud83d",
        "cannot store this text: str is not valid UTF-8: surrogates not allowed.",
    ),
    (
        {"\ud83d": 1},
        "cannot store this text: str is not valid UTF-8: surrogates not allowed.",
    ),
    ({1: 2}, "cannot store a dict with the key 1."),
    ({Name("a"): 2}, "cannot store a dict with the key 'a'."),
    ((1, 2), "cannot store a value of type tuple."),
    ({1, 2}, "cannot store a value of type set."),
    (object(), "cannot store a value of type object."),
    (1j, "cannot store a value of type complex."),
    (bytearray(b"x"), "cannot store a value of type bytearray."),
    (Color.RED, "cannot store a value of type Color."),
    (Size.SMALL, "cannot store a value of type Size."),
    (Name("x"), "cannot store a value of type Name."),
    (Instant(2026, 1, 1, tzinfo=UTC), "cannot store a value of type Instant."),
]


@pytest.mark.parametrize(("value", "sentence"), REFUSED)
@pytest.mark.parametrize("wrap", [False, True], ids=["alone", "inside"])
def test_what_cannot_be_stored_is_refused_by_the_name_of_its_field(
    value: object, sentence: str, *, wrap: bool
) -> None:
    with pytest.raises(ValueRefused) as refused:
        encode_value([{"a": value}] if wrap else value, where="contacts.phone")
    assert refused.value.message == f"contacts.phone {sentence}"
    assert refused.value.hint


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (float("nan"), "Store None, or a string, for what is no number."),
        (Decimal("NaN"), "Store None for what is no number."),
        (1 << 14_000, "Store it as bytes."),
        ({1: 2}, "Keys of a dict must be strings."),
        (_nested(MAX_DEPTH + 1), "Flatten it."),
        (
            "\ud800",
            (
                "Remove the lone surrogates, for example with "
                "text.encode('utf-8', 'replace').decode()."
            ),
        ),
        (
            "x" * MAX_VALUE_BYTES,
            (
                "A value holds at most 1,048,576 bytes; long text belongs in a Text field, files "
                "beside the record."
            ),
        ),
        (
            Color.RED,
            (
                "Use None, bool, int, float, str, bytes, Decimal, datetime, date, time, timedelta, "
                "UUID, or lists and dicts of these; an Enum needs a field declared with it."
            ),
        ),
    ],
)
def test_a_refusal_says_what_to_do(value: object, hint: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        encode_value(value, where="contacts.phone")
    assert refused.value.hint == hint


def test_the_hint_for_surrogates_works() -> None:
    mended = "half \ud83d".encode("utf-8", "replace").decode()
    assert decode_value(encode_value(mended, where="w")) == "half ?"


def test_the_largest_int_comes_back() -> None:
    value = (1 << 14_000) - 1
    assert decode_value(encode_value(value, where="w")) == value
    assert decode_value(encode_value(-value, where="w")) == -value


def test_a_value_may_have_one_mebibyte() -> None:
    largest = "x" * (MAX_VALUE_BYTES - 2)  # two quotes
    assert len(encode_value(largest, where="w")) == MAX_VALUE_BYTES == 1 << 20
    with pytest.raises(ValueRefused) as refused:
        encode_value(largest + "x", where="contacts.notes")
    assert refused.value.message == "contacts.notes cannot store a value of 1,048,577 bytes."


def test_a_value_may_be_nested_32_deep() -> None:
    deepest = _nested(MAX_DEPTH)
    assert decode_value(encode_value(deepest, where="w")) == deepest
    circular: list[Any] = []
    circular.append({"again": circular})
    for value in (_nested(MAX_DEPTH + 1), circular):
        with pytest.raises(ValueRefused) as refused:
            encode_value(value, where="contacts.tags")
        assert refused.value.message == "contacts.tags cannot store a value nested deeper than 32."


def test_depth_counts_dicts_with_a_dollar_as_one_level() -> None:
    value: dict[str, Any] = {"$": None}
    for _ in range(MAX_DEPTH - 1):
        value = {"$": value}
    assert decode_value(encode_value(value, where="w")) == value
    with pytest.raises(ValueError, match="nested deeper than 32"):
        decode_value(json.dumps({"$dict": [["$", json.loads(encode_value(value, where="w"))]]}))


@pytest.mark.parametrize(
    ("encoded", "problem"),
    [
        ('{"$complex":"1j"}', "unknown value tag '$complex'"),
        ('{"$' + "x" * 100 + '":1}', f"unknown value tag '${'x' * 39}'"),
        ('[{"a":{"$new":1}}]', "unknown value tag '$new'"),
        ('{"$int":null}', "the payload of $int is not valid"),
        ('{"$decimal":"many"}', "the payload of $decimal is not valid"),
        ('{"$decimal":"NaN"}', "the decimal NaN is not finite"),
        ('{"$decimal":"sNaN"}', "the decimal sNaN is not finite"),
        ('{"$decimal":"Infinity"}', "the decimal Infinity is not finite"),
        ('{"$datetime":5}', "the payload of $datetime is not valid"),
        ('{"$date":5}', "the payload of $date is not valid"),
        ('{"$duration":"99999999999999999999999"}', "the payload of $duration is not valid"),
        ('{"$bytes":5}', "the payload of $bytes is not valid"),
        ('{"$uuid":5}', "the payload of $uuid is not valid"),
        ('{"$dict":5}', "the payload of $dict is not valid"),
        ('{"$dict":[5]}', "the payload of $dict is not valid"),
        ("[" * 33 + "]" * 33, "a value is nested deeper than 32"),
        ('{"a":' * 33 + "1" + "}" * 33, "a value is nested deeper than 32"),
        # As deep as orjson reads: without the bound, a RecursionError.
        ("[" * 1000 + "]" * 1000, "a value is nested deeper than 32"),
    ],
)
def test_what_encode_never_wrote_is_a_value_error(encoded: str, problem: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - compared in full
        decode_value(encoded)
    assert str(refused.value) == problem


@pytest.mark.parametrize(
    "encoded",
    [
        '{"$int":"many"}',
        '{"$int":"' + "9" * 5000 + '"}',
        '{"$datetime":"yesterday"}',
        '{"$datetime":["2026-01-01T00:00:00",2]}',
        '{"$datetime":["2026-01-01T00:00:00"]}',
        '{"$time":[]}',
        '{"$bytes":"a"}',
        '{"$bytes":"é"}',
        '{"$bytes":"eA==\\n"}',
        '{"$uuid":"5"}',
        '{"$dict":[["a"]]}',
        "[" * 2000 + "]" * 2000,
        "1e999",
        "",
        "nope",
        b"\xff",
    ],
)
def test_so_is_what_the_libraries_refuse(encoded: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - in their words
        decode_value(encoded)


def test_two_keys_with_a_dollar_are_no_tag() -> None:
    # encode never writes this either, but a dict is a dict.
    assert unpack({"$int": "5", "$date": "6"}) == {"$int": "5", "$date": "6"}


TAGS = ["$int", "$decimal", "$datetime", "$date", "$time", "$duration", "$bytes", "$uuid", "$dict"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*TAGS, "$x", "a", ""]), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(parsed=JSON)
def test_reading_any_json_gives_a_value_or_a_value_error(parsed: Any) -> None:
    try:
        value = unpack(parsed)
    except ValueError:
        return
    # What is read can be written again, and is the same then.
    assert repr(decode_value(encode_value(value, where="w"))) == repr(value)


@pytest.mark.parametrize("size", [0, 1, 2, 3, MAX_VALUE_BYTES - 1, MAX_VALUE_BYTES])
def test_bytes_count_as_they_are(size: int) -> None:
    value = b"\xff" * size
    assert decode_value(encode_value(value, where="w")) == value


def test_bytes_beyond_one_mebibyte_are_refused_by_their_own_size() -> None:
    with pytest.raises(ValueRefused) as refused:
        encode_value(b"x" * (MAX_VALUE_BYTES + 1), where="contacts.photo")
    assert refused.value.message == "contacts.photo cannot store a value of 1,048,577 bytes."


@pytest.mark.parametrize("as_dict", [False, True])
def test_bytes_in_a_list_or_a_dict_count_as_they_are(as_dict: bool) -> None:
    part = b"x" * (MAX_VALUE_BYTES // 2 - 20)
    value = {"k": [part, part]} if as_dict else [part, part]
    assert decode_value(encode_value(value, where="w")) == value
    with pytest.raises(ValueRefused, match="cannot store a value of"):
        encode_value({"k": value, "l": part} if as_dict else [value, part], where="w")
