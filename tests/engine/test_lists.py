"""Lists under any history: every item once, in one order, read the same however it came."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import merge_updates
from syncline.engine.document.roots import ArrayRoot, MapRoot
from syncline.engine.fields import list_edit
from syncline.engine.history.rebuild import rebuild
from tests.engine.calls import calls_of
from tests.engine.devices import Device, exchange
from tests.engine.first_layout import append_in_first_layout
from tests.profiles import scaled

WHO = st.integers(0, 2)
PLACES = st.integers(0, 50)
IDS = [2**33 + 1, 2**40 + 2, 2**52 + 3]


class Lists(RuleBasedStateMachine):
    """Three replicas of a list. A value is ``[item, revision]``, so that an item can be told."""

    def __init__(self) -> None:
        super().__init__()
        self.devices = [Device(client_id) for client_id in IDS]
        self.log: list[bytes] = []
        self.items = 0
        self.removed: set[int] = set()
        self.assigned: set[int] = set()

    def _value(self) -> list[int]:
        self.items += 1
        return [self.items, 0]

    def _write(self, device: Device, expected: list[Any]) -> None:
        assert list(device.list) == expected
        self.log += device.written()

    @rule(who=WHO, place=PLACES, count=st.integers(1, 3))
    def insert(self, who: int, place: int, count: int) -> None:
        device = self.devices[who]
        content = list(device.list)
        place %= len(content) + 1
        values = [self._value() for _ in range(count if place == len(content) else 1)]
        if place == len(content):
            device.list.extend(values)
        else:
            device.list.insert(place, values[0])
        self._write(device, content[:place] + values + content[place:])

    @rule(who=WHO)
    def append_in_the_first_layout(self, who: int) -> None:
        device = self.devices[who]
        append_in_first_layout(device, self._value())
        self.log += device.written()

    @rule(who=WHO, here=PLACES, there=PLACES)
    def move(self, who: int, here: int, there: int) -> None:
        device = self.devices[who]
        content = list(device.list)
        if content:
            here, there = here % len(content), there % len(content)
            device.now += 1
            device.list.move(here, there)
            content.insert(there, content.pop(here))
            self._write(device, content)

    @rule(who=WHO, place=PLACES)
    def assign(self, who: int, place: int) -> None:
        device = self.devices[who]
        content = list(device.list)
        if content:
            place %= len(content)
            item, revision = content[place]
            device.list[place] = content[place] = [item, revision + 1]
            self.assigned.add(item)
            self._write(device, content)

    @rule(who=WHO, place=PLACES)
    def remove(self, who: int, place: int) -> None:
        device = self.devices[who]
        content = list(device.list)
        if content:
            self.removed.add(content.pop(place % len(content))[0])
            del device.list[place % (len(content) + 1)]
            self._write(device, content)

    @rule(who=WHO, start=PLACES, length=st.integers(0, 5), step=st.sampled_from([-2, -1, 1, 2]))
    def remove_many(self, who: int, start: int, length: int, step: int) -> None:
        device = self.devices[who]
        content = list(device.list)
        start %= len(content) + 1
        where = (
            slice(start, start + length, step) if step > 0 else slice(start + length, start, step)
        )
        assert device.list[where] == content[where]
        self.removed |= {item for item, _ in content[where]}
        del content[where]
        del device.list[where]
        self._write(device, content)

    @rule(who=WHO)
    def hear_of_everything(self, who: int) -> None:
        self.devices[who].receive(self.log)

    @rule(who=WHO, seed=st.integers(0, 2**16))
    def hear_of_something(self, who: int, seed: int) -> None:
        random = Random(seed)
        device = self.devices[who]
        device.list.to_plain()  # what comes now meets an index that has been built
        self.devices[who].receive(self.log[: random.randrange(len(self.log) + 1)])

    @invariant()
    def every_item_is_there_once(self) -> None:
        for device in self.devices:
            shown = [item for item, _ in device.list]
            assert len(set(shown)) == len(shown)

    @invariant()
    def reading_anew_shows_the_same(self) -> None:
        for device in self.devices:
            reader = Device(7)
            reader.receive([device.document().diff({})])
            assert list(reader.list) == list(device.list)

    def teardown(self) -> None:
        random = Random(len(self.log))
        for device in self.devices:
            doubled = self.log + random.choices(self.log, k=5) if self.log else []
            random.shuffle(doubled)
            device.receive(doubled)
        self.every_item_is_there_once()
        self.reading_anew_shows_the_same()
        contents = [list(device.list) for device in self.devices]
        assert contents[0] == contents[1] == contents[2]
        shown = {item for item, _ in contents[0]}
        assert set(range(1, self.items + 1)) - self.removed <= shown
        assert not shown & (self.removed - self.assigned)
        cut = random.randrange(len(self.log) + 1)
        reader = Device(8)
        reader.receive([merge_updates(self.log[:cut]), merge_updates(self.log[cut:])])
        assert list(reader.list) == contents[0]
        rebuilt = Device(9)
        rebuilt.receive([rebuild(reader.document(), 2**41)])
        assert list(rebuilt.list) == contents[0]


class CrowdedLists(Lists):
    """The same where hardly a position is short enough, so that most moves write neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(list_edit, "_LONG", 12)
        self._patch.setattr(list_edit, "_WINDOW", 1)

    def teardown(self) -> None:
        super().teardown()
        self._patch.undo()


TestLists = Lists.TestCase
TestLists.settings = settings(max_examples=scaled(60), stateful_step_count=25, deadline=None)
TestCrowdedLists = CrowdedLists.TestCase
TestCrowdedLists.settings = settings(max_examples=scaled(40), stateful_step_count=25, deadline=None)


# What it costs


EDITS: dict[str, Callable[[Device], None]] = {
    "append": lambda device: device.list.append("x"),
    "insert": lambda device: device.list.insert(len(device.list) // 2, "x"),
    "move": lambda device: device.list.move(len(device.list) - 1, len(device.list) // 2),
    "assign": lambda device: device.list.__setitem__(len(device.list) // 2, "x"),
    "remove": lambda device: device.list.__delitem__(len(device.list) // 2),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_of_a_long_list_does_hardly_more_than_of_a_short_one(
    edit: Callable[[Device], None],
) -> None:
    def follow(device: Device) -> None:
        edit(device)
        len(device.list)  # what was written is followed when the list is used next

    counts: list[int] = []
    for length in (100, 12_800):
        device = Device(2**40)
        device.list.extend(range(length))
        follow(device)
        follow(device)
        counts.append(calls_of(follow, device))
    # Seven doublings later: a few steps more down a tree.
    assert counts[1] <= counts[0] + 150


def test_an_append_asks_the_library_for_the_same_at_any_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    for kind in (ArrayRoot, MapRoot):
        for name, method in vars(kind).items():
            if callable(method) and not name.startswith("_"):

                def counting(*args: Any, name: str = name, method: Any = method) -> Any:
                    asked.append(name)
                    return method(*args)

                monkeypatch.setattr(kind, name, counting)
    found: list[list[str]] = []
    for length in (10, 10_000):
        device = Device(2**40)
        device.list.extend(range(length))
        device.list.append("x")
        len(device.list)
        asked.clear()
        device.list.append("y")
        len(device.list)
        found.append(list(asked))
    assert found[0] == found[1]
    assert "items" not in found[0]
    assert "texts" not in found[0]


def test_edits_cost_about_the_bytes_of_their_values() -> None:
    device = Device(2**40)
    values = [f"a value of some {number:05} letters" for number in range(2_000)]
    device.list.extend(values)
    size = len(device.document().diff({}))
    assert size < 1.3 * sum(map(len, values))
    for value in values[:500]:
        device.list.append(value)
    assert len(device.document().diff({})) - size < 1.3 * sum(map(len, values[:500]))
    assert sum(map(len, device.written()[1:])) < 500 * (len(values[0]) + 30)
    for number in range(500):
        device.list.move(number, 1_000 + number % 7)
    assert max(map(len, device.written())) < 150


def test_positions_stay_short() -> None:
    device = Device(2**40)
    device.list.extend(range(5))
    model = list(range(5))
    for here, there in ((4, 1), (2, 1), (4, 0)):
        for _ in range(400):
            device.list.move(here, there)
            model.insert(there, model.pop(here))
        assert device.list == model
    cells = cells_of(device.document(), "list:list")
    values = [cells.newest(name) for name in cells.names()]
    assert max(len(cell.value) for cell in values if cell is not None) <= 40 + 2 * 21


@pytest.mark.slow
def test_many_items_are_inserted_at_once_between_others() -> None:
    device, other = Device(2**40), Device(2**41)
    device.list.extend("az")
    exchange(device, other)
    device.list.insert(1, "b")
    device.list.extend(range(10_000))
    other.list.append("c")
    exchange(device, other)
    assert list(device.list) == list(other.list)
    assert sorted(map(str, device.list)) == sorted(["a", "b", "c", "z", *map(str, range(10_000))])
    reader = Device(3)
    reader.receive([device.document().diff({})])
    assert list(reader.list) == list(device.list)


@pytest.mark.slow
def test_runs_inserted_at_one_place_do_not_interleave() -> None:
    devices = [Device(client_id) for client_id in IDS]
    devices[0].list.extend("<>")
    exchange(*devices)
    for number, device in enumerate(devices):
        for step in range(600):
            device.list.insert(1 + step, [number, step])
    exchange(*devices)
    content = list(devices[0].list)[1:-1]
    assert [list(device.list)[1:-1] for device in devices] == [content] * 3
    writers = [number for number, _ in content]
    assert sum(one != other for one, other in pairwise(writers)) == 2
    assert sorted(content) == [[number, step] for number in range(3) for step in range(600)]


def test_a_move_that_does_not_know_of_a_removal_finds_the_next_home() -> None:
    ada, bob = Device(IDS[1]), Device(IDS[0])
    ada.list.extend("abcdef")
    exchange(ada, bob)
    del ada.list[3]
    bob.list.move(0, 3)  # behind d
    exchange(ada, bob)
    assert "".join(ada.list) == "".join(bob.list) == "bcaef"
    ada.list.append("g")  # who edits next writes down where it stands
    del bob.list[3]
    exchange(ada, bob)
    assert "".join(ada.list) == "".join(bob.list) == "bcafg"


def test_what_others_stand_behind_goes_with_the_last_of_them() -> None:
    device = Device(2**40)
    device.list.extend("abc")
    device.list.move(0, 1)  # a stands behind b
    del device.list[0]
    assert device.list == ["a", "c"]
    array = device.document().array("items:list")
    assert len(array.items()) == 4  # a head, and three homes, one of them without a value
    device.list.move(0, 1)
    assert device.list == ["c", "a"]
    assert len(array.items()) == 3
