"""One edit does the same with many writers, or in a large field, as with one or in a small one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from syncline.engine.shared import SharedArray
from syncline.engine.updates.parse import encode_state_vector
from tests.engine.calls import calls_of
from tests.engine.devices import Device


def _count(device: Device) -> None:
    device.counter += 1


USES: dict[str, Callable[[Device], Any]] = {
    "count": _count,
    "read a counter": lambda device: int(device.counter),
    "set a key": lambda device: device.map.__setitem__("k", 1),
    "read a key": lambda device: device.map["k"],
    "add an element": lambda device: device.set.add(1),
    "count elements": lambda device: len(device.set),
    "look for an element": lambda device: 1 in device.set,
    "type": lambda device: device.text.insert(0, "x"),
    "append": lambda device: device.list.append(1),
    "move": lambda device: device.list.move(0, 1),
    "say what is known": lambda device: device.document().state_vector(),
}


@cache
def _written_by(writers: int) -> Device:
    device = Device(2**40)
    for number in range(writers):
        writer = Device(2**41 + number)
        writer.counter += 1
        writer.map[f"k{number}"] = number
        writer.set.add(number)
        writer.text.append("x")
        writer.list.append(number)
        device.receive(writer.written())
    device.list.extend([1, 2])
    for use in USES.values():
        use(device)
    device.content()
    return device


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
def test_a_use_costs_the_same_with_many_writers(name: str) -> None:
    use = USES[name]

    def used(device: Device) -> None:
        use(device)
        use(device)  # what the first one wrote is followed

    few, many = (  # the least of some: now and then a block is split
        min(calls_of(used, _written_by(writers)) for _ in range(5)) for writers in (100, 400)
    )
    assert many <= few + 60  # some steps more down a tree


@pytest.mark.parametrize("name", ["count", "set a key", "append"])
def test_what_is_known_is_what_the_library_says(name: str) -> None:
    use = USES[name]
    device, other = _written_by(3), Device(2**42)
    for step in range(60):
        use(device)
        if step % 7 == 0:
            other.receive([device.document().diff({})])
            use(other)
            device.receive(other.written())
        if step % 3 == 0:
            found = device.document().state_vector()
            reader = Device(5)
            reader.receive([device.document().diff({})])
            assert found == reader.document().state_vector()
            assert encode_state_vector(found)


def _add(device: Device) -> None:
    device.set.add("y")
    assert len(device.set) > 100


def _append(shared: SharedArray) -> None:
    shared.append("x")
    assert shared[-1] == "x"


def test_an_element_more_does_not_sort_all() -> None:
    counts: list[int] = []
    for size in (100, 5_000):
        device = Device(2**40)
        device.set.fill(range(size))
        device.set.add("x")
        len(device.set)

        counts.append(calls_of(_add, device))
        device.set.discard(3)
        assert list(device.set) == [*(n for n in range(size) if n != 3), "x", "y"]
    assert counts[1] <= counts[0] + 5


def test_one_element_of_a_shared_array_is_read_and_appended_alone() -> None:
    counts: list[int] = []
    for size in (10, 1_000):
        device = Device(2**40)
        shared = SharedArray.of_root(device, "device", "array")
        for number in range(size):
            shared.append(number)

        counts.append(calls_of(_append, shared))
    assert counts[1] <= counts[0] + 5  # longer numbers


def test_typing_in_a_long_text_encodes_what_lies_between(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(2**40)
    device.text.append("é😀" * 5_000)
    encoded: list[int] = []
    original = type(device.document().text("text:text"))._offset  # pyright: ignore[reportPrivateUsage]

    def counting(root: Any, content: str, index: int) -> int:
        encoded.append(abs(index - root._known[0]))
        return original(root, content, index)

    monkeypatch.setattr(type(device.document().text("text:text")), "_offset", counting)
    model = "é😀" * 5_000
    for step, letter in enumerate("typing é 😀 here"):
        device.text.insert(5_000 + step, letter)
        model = model[: 5_000 + step] + letter + model[5_000 + step :]
    device.text.delete(4_998, 3)
    device.text.insert(0, "<")
    device.text.delete(9_000, 1)
    model = "<" + model[:4_998] + model[5_001:]
    model = model[:9_000] + model[9_001:]
    assert device.text == model
    assert sum(encoded[1:15]) <= 15
    other = Device(2**41)
    other.receive(device.written())
    assert other.text == model
