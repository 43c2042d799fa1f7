"""Merge semantics as properties: any delivery order, duplication and merging gives the same
content."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import merge_updates
from syncline.engine.document.types import ValueType
from syncline.engine.document.values import encode_value
from tests.engine.devices import Device, exchange
from tests.profiles import scaled

Operation = Callable[[Device, int, int], None]


def _type(device: Device, place: int, what: int) -> None:
    device.text.insert(place % (len(device.text) + 1), ["a", "é", "😀", "words "][what % 4])


def _erase(device: Device, place: int, what: int) -> None:
    length = len(device.text)
    if length:
        start = place % length
        device.text.delete(start, min(what % 3 + 1, length - start))


def _count(device: Device, place: int, what: int) -> None:
    device.counter += what - 5


def _add(device: Device, place: int, what: int) -> None:
    device.set.add(what % 4)


def _discard(device: Device, place: int, what: int) -> None:
    device.set.discard(what % 4)


def _insert(device: Device, place: int, what: int) -> None:
    device.list.insert(place % (len(device.list) + 1), what)


def _move(device: Device, place: int, what: int) -> None:
    if device.list:
        device.list.move(place % len(device.list), what % len(device.list))


def _assign(device: Device, place: int, what: int) -> None:
    if device.list:
        device.list[place % len(device.list)] = -what


def _remove(device: Device, place: int, what: int) -> None:
    if device.list:
        del device.list[place % len(device.list)]


def _put(device: Device, place: int, what: int) -> None:
    device.map[f"key {place % 3}"] = what


def _drop(device: Device, place: int, what: int) -> None:
    if f"key {place % 3}" in device.map:
        del device.map[f"key {place % 3}"]


OPERATIONS: list[Operation] = [
    _type, _type, _erase, _count, _add, _discard, _insert, _insert, _move, _assign, _remove, _put,
    _drop,
]  # fmt: skip

STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.one_of(st.sampled_from(OPERATIONS), st.none()),
        st.integers(0, 50),
        st.integers(0, 50),
    ),
    max_size=40,
)


@settings(max_examples=scaled(150), deadline=None)
@given(steps=STEPS, ids=st.permutations([2**33 + 1, 2**40 + 2, 2**52 + 3]), data=st.data())
def test_every_field_converges(
    steps: list[tuple[int, Operation | None, int, int]], ids: list[int], data: st.DataObject
) -> None:
    devices = [Device(client_id) for client_id in ids]
    log: list[bytes] = []
    for who, operation, place, what in steps:
        device = devices[who]
        device.now += what
        if operation is None:  # this device hears of everything so far
            device.receive(log)
        else:
            operation(device, place, what)
            log.extend(device.written())
    for device in devices:
        order = data.draw(st.permutations(log))
        doubled = order + data.draw(st.lists(st.sampled_from(log), max_size=5)) if log else []
        device.receive(doubled)
    assert devices[0].content() == devices[1].content() == devices[2].content()

    reader = Device(7)
    cut = data.draw(st.integers(0, len(log)))
    reader.receive([merge_updates(log[:cut]), merge_updates(log[cut:])])
    assert reader.content() == devices[0].content()
    assert reader.document().to_dict() == devices[0].document().to_dict()


@settings(max_examples=scaled(60), deadline=None)
@given(
    times=st.lists(st.integers(1, 1_000_000), min_size=2, max_size=5, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_the_newest_write_wins_whatever_the_client_ids(times: list[int], order: Any) -> None:
    ids = [2**40 + number for number in range(len(times))]
    order.shuffle(ids)
    devices = [Device(client_id, now) for client_id, now in zip(ids, times, strict=True)]
    for device in devices:
        device.map["key"] = device.now
    exchange(*devices)
    assert [device.map["key"] for device in devices] == [max(times)] * len(devices)


OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes()
    | st.datetimes(timezones=OFFSETS)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=scaled(300), deadline=None)
@given(value=VALUES)
def test_values_come_back_as_they_went_in(value: Any) -> None:
    writer, reader = Device(2**40 + 1), Device(2**40 + 2)
    writer.map["key"] = value
    reader.receive(writer.written())
    found = reader.map["key"]
    assert found == value
    assert repr(found) == repr(value)  # 1 is not 1.0, and 1.10 is not 1.1


def test_a_write_replaces_what_it_has_seen_and_nothing_else() -> None:
    first, second, third = (Device(2**40 + number) for number in range(3))
    first.map["key"] = "one"
    exchange(first, second, third)
    second.map["key"] = "two"
    third.map["key"] = "three"
    exchange(first, second, third)
    cells = cells_of(first.document(), "map:map")
    assert sorted(cell.value for cell in cells.siblings("key")) == ["three", "two"]
    first.map["key"] = "four"
    exchange(first, second, third)
    assert [cell.value for cell in cells_of(third.document(), "map:map").siblings("key")] == [
        "four"
    ]


def test_a_clock_far_ahead_is_clamped_and_reported() -> None:
    sane, wild = Device(2**40 + 1, now=1_000_000), Device(2**40 + 2, now=10**11)
    wild.map["key"] = "future"
    exchange(sane, wild)
    sane.map["key"] = "present"
    exchange(sane, wild)
    assert wild.map["key"] == sane.map["key"] == "present"  # it had seen the other one
    assert sane.clock.skew_ms > 0
    assert sane.clock.last >> 11 <= 1_000_000 + 5 * 60 * 1000 + 1


def test_encoded_values_are_small_json() -> None:
    assert encode_value("x", where="w") == b'"x"'
    assert ValueType(int, "w").decode("5") == 5
