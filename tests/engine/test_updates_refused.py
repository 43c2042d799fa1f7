"""Hostile, damaged and oversized updates: refused with a sentence, at once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.errors import InvalidUpdate
from syncline.engine.updates.parse import DEFAULT_LIMITS, MAX_CLOCK, UpdateLimits, parse_update
from tests.engine.update_bytes import (
    ROOT,
    after,
    deletes,
    gc,
    inside,
    item,
    section,
    skip,
    text,
    typed,
    uint,
    update,
    values,
)
from tests.profiles import scaled

BIG = 2**53


def one(struct: bytes, clock: int = 0) -> bytes:
    return update(section(1, clock, struct))


def embed(json: str | bytes) -> bytes:
    return one(item(5, text(json)))


def keyed(key: bytes, content: bytes) -> bytes:
    return bytes([0x28]) + ROOT + key + content


KILLERS = {
    # Each kills, exhausts or misleads pycrdt 0.14, or did so before.
    "nothing": (b"", "it ends early"),
    "item of no length": (one(keyed(text("k"), b"\0")), "a struct is empty"),
    "client twice": (
        update(section(1, 0, typed("a")), section(1, 0, typed("a"))),
        "it has two sections of client 1",
    ),
    "deep array": (one(values(b"\x75\x01" * 40_000 + b"\x7e")), "nested deeper than 32 levels"),
    "deep object": (one(values(b"\x76\x01\0" * 40_000 + b"\x7e")), "nested deeper than 32 levels"),
    "many clients": (uint(1 << 28) + b"\0\0\0\0", "has more than 20000 writers"),
    "many structs": (uint(1) + uint(1 << 30) + b"\x01\0", "has more than 16777216 structs"),
    "long array": (one(values(b"\x75" + uint(1 << 28))), "has more than 16777216 structs"),
    "long object": (one(values(b"\x76" + uint(1 << 52))), "has more than 16777216 structs"),
    "longer array": (one(values(b"\x75" + b"\x80" * 8 + b"\x40")), "longer than 53 bits"),
    "long integer": (b"\x01\x80" + b"\x80" * 400_000, "an integer is longer than 53 bits"),
    "value not UTF-8": (one(values(b"\x77\x02\xff\xfe")), "a text is not UTF-8"),
    "text not UTF-8": (one(item(4, text(b"\xff"))), "a text is not UTF-8"),
    "root not UTF-8": (one(item(4, text("a"), b"\x01\x01\xff")), "a text is not UTF-8"),
    "key not UTF-8": (one(keyed(b"\x01\xff", b"\x01\x7e")), "a text is not UTF-8"),
    "long GC": (one(gc(2**32 - 1)), "client 1 would reach clock 4294967295"),
    "long gap": (one(skip(2**32 - 1)), "client 1 would reach clock 4294967295"),
    "long deleted item": (one(item(1, uint(2**31))), "client 1 would reach clock 2147483648"),
    "last clock": (one(gc(1), MAX_CLOCK), "client 1 would reach clock 2147483648"),
    "clock of 64 bits": (one(gc(1), 2**40), "client 1 would reach clock 1099511627777"),
    "long delete": (
        update(deletes=deletes((7, [(0, 2**32 - 1)]))),
        "it deletes 4294967295 operations from clock 0",
    ),
    "late delete": (
        update(deletes=deletes((7, [(MAX_CLOCK, 1)]))),
        "it deletes 1 operations from clock 2147483647",
    ),
    "division by zero": (
        bytes.fromhex("01029bf4aada0a0001010161010000019bf4aada0a010002"),
        "a struct is empty",
    ),
    "long JSON": (embed("[" * 100_000), "not JSON (depth limit exceeded"),
    "deep JSON array": (embed("[" * 33 + "]" * 33), "nested deeper than 32 levels"),
    "deep JSON object": (embed('{"a":' * 33 + "1" + "}" * 33), "nested deeper than 32 levels"),
}

AMBIGUOUS = {
    # yrs and Yjs would read different things, or read what no one writes.
    "XmlHook": (one(item(7, b"\x05" + text("hook"))), "a shared type is of the unknown kind 5"),
    "WeakLink": (one(item(7, b"\x07\0\x01\0")), "a shared type is of the unknown kind 7"),
    "undefined type": (one(item(7, b"\x0f")), "a shared type is of the unknown kind 15"),
    "JSON content": (one(item(2, b"\x01" + text("1"))), "an item is of the unknown kind 2"),
    "Move": (one(item(11, b"\0\x01\0\x01\0")), "an item is of the unknown kind 11"),
    "spare bit, no kind": (one(item(0x10, b"\x01")), "an item is of the unknown kind 16"),
    "spare bit": (one(item(0x18, b"\x01\x7e")), "an item is of the unknown kind 24"),
    "GC with a key": (one(item(0x20, b"", ROOT + text("k"))), "an item is of the unknown kind 0"),
    "gap with an origin": (one(after(1, 0, 10, b"\x01"), 1), "an item is of the unknown kind 10"),
    "parent": (one(item(4, text("a"), b"\x02")), "a parent is of the unknown kind 2"),
    "value": (one(values(b"\x73")), "a value is of the unknown kind 115"),
    "integer value": (one(values(b"\x7d" + b"\xff" * 8 + b"\x01")), "an integer value is longer"),
    "padded integer": (b"\x81\0" + one(gc(1))[1:], "an integer is padded with zeros"),
    "client": (update(section(BIG, 0, gc(1))), f"the integer {BIG} is longer than 53 bits"),
    "client of a delete": (
        update(deletes=deletes((BIG, [(0, 1)]))),
        f"the integer {BIG} is longer than 53 bits",
    ),
    "something after the end": (one(typed("a")) + b"\0", "1 bytes follow its end"),
    "empty section": (update(section(1, 0)), "the section of client 1 is empty"),
    "only a gap": (one(skip(3)), "the section of client 1 ends in a gap"),
    "gap at the end": (
        update(section(1, 0, gc(1), skip(3))),
        "the section of client 1 ends in a gap",
    ),
    "empty GC": (one(gc(0)), "a struct is empty"),
    "empty gap": (update(section(1, 0, skip(0), gc(1))), "a struct is empty"),
    "empty deleted item": (one(item(1, b"\0")), "a struct is empty"),
    "empty text": (one(typed("")), "a struct is empty"),
    "empty delete": (
        update(deletes=deletes((7, [(3, 0)]))),
        "it deletes 0 operations from clock 3",
    ),
    "client deleted from twice": (
        update(deletes=deletes((7, [(0, 1)]), (7, [(1, 1)]))),
        "it has two lists of deletes of client 7",
    ),
    "embed": (embed("{"), "a format or embed is not JSON"),
    "embed NaN": (embed("NaN"), "a format or embed is not JSON"),
    "embed infinity": (embed("1e999"), "a format or embed is not JSON"),
    "embed half a character": (embed('"\\ud800"'), "a format or embed is not JSON"),
    "embed not UTF-8": (embed(b'"\xff"'), "a format or embed is not JSON"),
    "format undefined": (one(item(6, text("b") + text("undefined"))), "is not JSON"),
}

IMPOSSIBLE = {
    # They could never integrate: pycrdt would keep them pending, and lose them when it stores.
    "own origin": (one(after(1, 0, 4, text("x"))), "builds on itself or on a later one"),
    "later origin": (one(after(1, 5, 4, text("x")), 3), "builds on itself or on a later one"),
    "own parent": (
        one(item(4, text("x"), b"\0" + uint(1) + uint(0))),
        "builds on itself or on a later one",
    ),
    "clock of an origin": (
        one(after(2, MAX_CLOCK, 4, text("x"))),
        f"an item builds on clock {MAX_CLOCK}",
    ),
    "two that wait": (
        update(section(2, 0, after(1, 0, 4, b"\x01b")), section(1, 0, after(2, 0, 4, b"\x01a"))),
        "wait for each other's operations",
    ),
    "three that wait": (
        update(*(section(n, 0, gc(1), after(n % 3 + 1, 1, 4, b"\x01x")) for n in (3, 2, 1))),
        "wait for each other's operations",
    ),
    "many deleted from": (uint(0) + uint(1 << 28), "deletes from more than 20000 writers"),
    "many deletes": (uint(0) + uint(1) + uint(7) + uint(1 << 40), "has more than 16777216 structs"),
}

NEVER_MADE = {
    # Bytes that are in order, and that no client writes. What only the document shows is refused
    # by its layout: test_layout.py.
    "NaN in two values of a key": (
        bytes.fromhex("010202002801066669656c6473016b027e7b7ff800000000000043020102616200"),
        "one item has several values of one key",
    ),
    "two values, one deleted": (
        update(section(1, 0, keyed(text("k"), b"\x02\x7e\x7e")), deletes=deletes((1, [(0, 1)]))),
        "one item has several values of one key",
    ),
    "a value before one of its key": (
        one(bytes([0x68]) + uint(2) + uint(0) + b"\x01\x7e"),
        "a value under a key has a neighbour on its right",
    ),
    "formatting under a key": (
        one(item(0x26, text("b") + text("true"), ROOT + text("k"))),
        "the value of a key is formatting",
    ),
    "a character as parent": (
        update(section(1, 0, typed("abc"), item(4, text("x"), inside(1, 1)))),
        "an item lies in what is no shared type",
    ),
    "another one's character as parent": (
        update(section(2, 0, item(4, text("x"), inside(1, 1))), section(1, 0, typed("abc"))),
        "an item lies in what is no shared type",
    ),
}

REFUSED = NEVER_MADE | KILLERS | AMBIGUOUS | IMPOSSIBLE


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_update_is_refused_with_a_sentence(name: str) -> None:
    data, sentence = REFUSED[name]

    with pytest.raises(InvalidUpdate) as caught:
        parse_update(data)
    assert sentence in caught.value.message
    assert caught.value.message.startswith("The update ")
    assert caught.value.message.endswith(".")
    assert "not stored" in caught.value.hint


LIMITS = {
    "bytes": (UpdateLimits(max_bytes=len(one(gc(1))) - 1), one(gc(1)), "has 7 bytes; 6 are"),
    "structs": (UpdateLimits(max_structs=1), update(section(1, 0, gc(1), gc(1))), "more than 1"),
    "values": (UpdateLimits(max_structs=3), one(values(*[b"\x7e"] * 3)), "more than 3 structs"),
    "deletes": (
        UpdateLimits(max_structs=1),
        update(deletes=deletes((1, [(0, 1), (4, 1)]))),
        "more than 1 structs, values and deletes",
    ),
    "JSON": (UpdateLimits(max_structs=3), embed("[1,[]]"), "more than 3 structs"),
    "writers": (
        UpdateLimits(max_clients=1),
        update(section(1, 0, gc(1)), section(2, 0, gc(1))),
        "has more than 1 writers",
    ),
    "deleted writers": (
        UpdateLimits(max_clients=1),
        update(deletes=deletes((1, [(0, 1)]), (2, [(0, 1)]))),
        "deletes from more than 1 writers",
    ),
    "depth": (UpdateLimits(max_depth=1), one(values(b"\x75\x01\x75\0")), "deeper than 1 levels"),
    "JSON depth": (UpdateLimits(max_depth=1), embed("[{}]"), "deeper than 1 levels"),
    "collected": (
        UpdateLimits(max_collected=6),
        update(section(1, 0, gc(3), item(1, uint(4)))),
        "has more than 6 operations without content",
    ),
    "nested types": (
        UpdateLimits(max_nesting=1),
        update(section(1, 0, item(7, b"\0"), item(7, b"\0", inside(1, 0)))),
        "The update nests shared types deeper than 1 levels",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_refuses_and_one_more_allows(name: str) -> None:
    limits, data, sentence = LIMITS[name]
    with pytest.raises(InvalidUpdate) as caught:
        parse_update(data, limits)
    assert sentence in caught.value.message
    names = ("max_bytes", "max_structs", "max_depth", "max_clients", "max_nesting", "max_collected")
    (lowered,) = [n for n in names if getattr(limits, n) != getattr(DEFAULT_LIMITS, n)]
    assert f"raise UpdateLimits.{lowered}" in caught.value.hint
    parse_update(data, replace(limits, **{lowered: getattr(limits, lowered) + 1}))


def test_values_may_nest_up_to_the_limit() -> None:
    parse_update(one(values(b"\x75\x01" * 32 + b"\x7e")))
    parse_update(embed("[" * 32 + "]" * 32))
    parse_update(embed("[" + "[]," * 40 + "[]]"))


@given(st.binary(max_size=60))
@settings(max_examples=scaled(500))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    with suppress(InvalidUpdate):
        parse_update(data)
