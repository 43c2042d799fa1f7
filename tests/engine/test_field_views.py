"""Field views beside merging: comparing, filling, refusing, ignoring what is not of the layout."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, cast

import pytest

from syncline.engine.document.cells import cells_of
from syncline.engine.document.types import ValueType
from syncline.engine.errors import OutOfRange, ValueRefused, WrongType
from syncline.engine.fields import Counter, FieldView, ListOf, MapOf, SetOf, Text
from syncline.engine.fields.counter import MAX_DIGITS
from syncline.engine.fields.maps import MAX_KEY
from syncline.engine.fields.order import MAX_LENGTH
from tests.engine.devices import ANY, Device, exchange

LONG = "9" * 5000  # more digits than int() reads


@pytest.fixture
def device() -> Device:
    return Device(2**40)


def _views(device: Device) -> list[FieldView]:
    return [device.text, device.counter, device.set, device.list, device.map]


FILLINGS: dict[str, Any] = {
    "text": "héllo",
    "counter": 3,
    "set": ["b", "a"],
    "list": [1, None],
    "map": {"a": 2, "k": 1},
}


def _filled(client_id: int) -> Device:
    device = Device(client_id)
    for view in _views(device):
        view.fill(FILLINGS[view.kind])
    return device


def test_views_are_filled_and_show_themselves() -> None:
    device = _filled(1)
    for view in _views(device):
        assert view.to_plain() == FILLINGS[view.kind]
        name = type(view).__name__
        assert repr(view) == f"<{name} device.{view.kind}: {FILLINGS[view.kind]!r}>"


def test_views_are_equal_by_content() -> None:
    first, second = _filled(1), _filled(2)
    for ours, theirs in zip(_views(first), _views(second), strict=True):
        assert ours == theirs
    second.text.append("!")
    second.counter += 1
    second.set.discard("a")
    second.list.append(2)
    second.map["k"] = 2
    for ours, theirs in zip(_views(first), _views(second), strict=True):
        assert ours != theirs
    assert first.text == "héllo"
    assert first.text != "hello"
    assert first.set == {"a", "b"} == frozenset("ab")
    assert first.set != ["b", "a"]
    assert first.list == [1, None]
    assert first.list != [1]
    assert first.map == {"k": 1, "a": 2}
    assert first.map != {"k": 1}


def test_views_are_true_when_they_hold_something(device: Device) -> None:
    for view in (device.text, device.set, device.list, device.map):
        assert not view
        view.fill(FILLINGS[view.kind])
        assert view


def test_a_view_that_changes_cannot_be_a_key(device: Device) -> None:
    for view in _views(device):
        with pytest.raises(TypeError, match="unhashable"):
            hash(view)


def test_a_view_knows_another_of_its_own_field(device: Device) -> None:
    same = Counter(device, "device", "counter", ANY)
    assert device.counter.same_as(same)
    assert not device.counter.same_as(Counter(device, "device", "other", ANY))
    assert not device.counter.same_as(Counter(Device(2), "device", "counter", ANY))
    assert not device.counter.same_as(Text(device, "device", "counter", ANY))
    assert not device.counter.same_as(0)


# Counter


def test_a_counter_compares_as_a_number(device: Device) -> None:
    counter, other = device.counter, Device(2).counter
    counter += 5
    other += 6
    for five in (5, 5.0):
        assert counter == five
        assert counter <= five
        assert counter >= five
        assert not counter < five
        assert not counter > five
    assert counter < 5.5
    assert counter <= 5.5
    assert counter > 4.5
    assert counter >= 4.5
    assert counter < other
    assert other > counter
    assert counter <= other
    assert other >= counter
    assert counter != "5"
    assert str(counter) == "5"
    assert f"{counter}" == "5"


@pytest.mark.parametrize(("step", "kind"), [(1.0, "float"), ("1", "str"), (True, "bool")])
def test_a_counter_takes_whole_steps(device: Device, step: Any, kind: str) -> None:
    def add() -> None:
        device.counter += step

    def subtract() -> None:
        device.counter -= step

    for change in (add, subtract):
        with pytest.raises(WrongType) as refused:
            change()
        assert refused.value.message == f"device.counter counts in whole numbers, not {kind}."
        assert refused.value.hint == "Add an int; for amounts of money use a Decimal field."
    assert device.written() == []


@pytest.mark.parametrize("sign", [1, -1])
def test_a_counter_has_a_thousand_digits(device: Device, sign: int) -> None:
    largest = sign * (10**MAX_DIGITS - 1)
    device.counter += largest
    for step in (sign, sign * 10**5000):
        with pytest.raises(ValueRefused) as refused:
            device.counter += step
        assert refused.value.message == "device.counter cannot count beyond 1,000 digits."
        assert refused.value.hint == "Keep numbers of that size as bytes."
    assert device.counter == largest
    other = Device(2)
    other.counter += largest
    exchange(device, other)
    assert str(device.counter) == str(other.counter) == str(2 * largest)


@pytest.mark.parametrize(
    "stored",
    [None, True, 1, 2.5, float("inf"), "", "x", "1.5", "--1", "+1", " 1", "1_0", "٣", LONG, ["1"]],
    ids=lambda stored: f"{stored!r:.12}",
)
def test_a_sum_of_another_layout_does_not_count(device: Device, stored: Any) -> None:
    device.counter += 5
    with device.writing() as document:
        document.map("counter:counter").set("7", stored)
    assert device.counter == 5
    assert device.counter.to_plain() == 5


# Text


def test_a_text_is_searched_and_grows(device: Device) -> None:
    device.text.insert(0, "")
    device.text.append("")
    device.text.delete(0, 0)
    assert device.written() == []
    device.text += "héllo"
    assert "éll" in device.text
    assert "x" not in device.text
    assert len(device.text) == 5
    device.text.delete(5, 0)
    assert device.text == "héllo"


REFUSED_TEXTS: list[tuple[Callable[[Text], None], type[Any], str, str]] = [
    (
        lambda text: text.insert(6, "x"),
        OutOfRange,
        "device.text has 5 characters, so nothing can be inserted at 6.",
        "Use an index from 0 to 5.",
    ),
    (
        lambda text: text.insert(-1, "x"),
        OutOfRange,
        "device.text has 5 characters, so nothing can be inserted at -1.",
        "Use an index from 0 to 5.",
    ),
    (
        lambda text: text.delete(4, 2),
        OutOfRange,
        "device.text has 5 characters, so 2 cannot be deleted from 4.",
        "The range must lie inside the text.",
    ),
    (
        lambda text: text.append(cast("Any", b"x")),
        WrongType,
        "device.text takes str, not bytes.",
        "Convert the value with str() first.",
    ),
    (
        lambda text: text.append("x" * (2**20 + 1)),
        ValueRefused,
        "device.text cannot take 1,048,577 characters in one insert.",
        "Insert at most 1,048,576 characters at a time.",
    ),
    (
        lambda text: text.append("\udfff"),
        ValueRefused,
        "device.text cannot store a lone surrogate.",
        "Decode the bytes with errors='replace' first.",
    ),
]


@pytest.mark.parametrize(("use", "kind", "sentence", "hint"), REFUSED_TEXTS)
def test_what_a_text_refuses(
    device: Device, use: Callable[[Text], None], kind: type[Any], sentence: str, hint: str
) -> None:
    device.text.append("héllo")
    device.written()
    with pytest.raises(kind) as refused:
        use(device.text)
    assert (refused.value.message, refused.value.hint) == (sentence, hint)
    assert device.written() == []
    assert device.text == "héllo"


# SetOf


def test_an_element_of_another_layout_is_ignored(device: Device) -> None:
    device.set.add("ours")
    names = [
        "not json",
        "",
        "1.50",  # 1.5 has one spelling
        "[1, 2]",
        '"\\u0061"',
        '{"$new":1}',
        "[" * 1000 + "]" * 1000,
        "NaN",
        f'{{"$int":"{LONG}"}}',
    ]
    with device.writing() as document:
        for name in names:
            document.map("set:set").set(f"{name}/5", "[1,null]")
        document.map("set:set").set("[1,2]/5", "[1,null]")
    assert device.set.to_plain() == [[1, 2], "ours"]
    assert len(device.set) == 2
    device.set.discard([1, 2])
    assert device.set == {"ours"}


def test_a_set_checks_the_type_of_its_elements(device: Device) -> None:
    numbers: SetOf[Any] = SetOf(device, "device", "numbers", ValueType(int, "test"))
    numbers.add(1)
    uses: list[Callable[[], object]] = [
        lambda: numbers.add("x"),
        lambda: numbers.discard("x"),
        lambda: "x" in numbers,
    ]
    for use in uses:
        with pytest.raises(WrongType, match=r"device\.numbers takes int, not str \('x'\)"):
            use()
    numbers.discard(2)  # not there: nothing happens
    assert numbers == {1}
    assert numbers != {2}


# ListOf


class Color(Enum):
    RED = "red"


def test_items_come_back_as_declared(device: Device) -> None:
    red = ValueType(Color, "test")
    colors: list[FieldView] = [
        ListOf[Color](device, "device", "colors", red),
        SetOf[Color](device, "device", "colors", red),
    ]
    for view in colors:
        view.fill([Color.RED])
        assert view.to_plain() == [Color.RED]
    by_name: MapOf[Color] = MapOf(device, "device", "colors", red)
    by_name["k"] = Color.RED
    assert by_name["k"] is Color.RED
    assert by_name.get("k") is Color.RED


def test_an_item_that_was_read_is_not_the_stored_one(device: Device) -> None:
    device.list.append([1])
    device.map["k"] = {"l": [1]}
    device.list[0].append(2)
    device.map["k"]["l"].append(2)
    assert device.list == [[1]]
    assert device.map == {"k": {"l": [1]}}


def test_an_index_of_a_list_is_checked(device: Device) -> None:
    device.list.extend("ab")
    device.written()
    uses: list[Callable[[], object]] = [
        lambda: device.list[2],
        lambda: device.list.__setitem__(2, "x"),
        lambda: device.list.__delitem__(2),
        lambda: device.list.pop(2),
        lambda: device.list.move(2, 0),
        lambda: device.list.move(0, 2),
    ]
    for use in uses:
        with pytest.raises(OutOfRange) as refused:
            use()
        assert refused.value.message == "device.list has 2 items, so there is none at 2."
        assert (
            refused.value.hint == "Use an index from 0 to len - 1, or a negative one from the end."
        )
    device.list.move(1, 1)
    device.list.move(-1, 1)
    assert device.written() == []


def test_a_value_of_a_list_is_checked_by_its_index(device: Device) -> None:
    device.list.append("a")
    with pytest.raises(
        ValueRefused, match=r"^device\.list\[0\] cannot store a value of type object"
    ):
        device.list[0] = object()
    with pytest.raises(ValueRefused, match=r"^device\.list cannot store a value of type object"):
        device.list.extend(["b", object()])
    assert device.list == ["a"]


@pytest.mark.parametrize(
    "position", [None, 5, "", "a", "a0-", "a00", "a0" + "V" * MAX_LENGTH, ["a0"]], ids=str
)
def test_an_item_without_a_good_position_stands_first(device: Device, position: Any) -> None:
    device.list.extend("ab")
    with device.writing() as document:
        cells = cells_of(document, "list:list")
        cells.write("stranger.v", b'"s"', 1)
        if position is not None:
            document.map("list:list").set("stranger.p/5", f'[1,"{position}"]')
    assert device.list == ["s", "a", "b"]
    # It can be worked with as any other.
    device.list.insert(1, "n")
    assert device.list == ["s", "n", "a", "b"]
    device.list[0] = "S"
    assert device.list == ["S", "n", "a", "b"]
    device.list.move(0, 2)
    assert device.list == ["n", "a", "S", "b"]


def test_a_position_without_a_value_is_no_item(device: Device) -> None:
    device.list.extend("ab")
    with device.writing() as document:
        cells_of(document, "list:list").write("ghost.p", b'"a0V"', 1)
        cells_of(document, "list:list").write("neither", b'"a0V"', 1)
    assert device.list == ["a", "b"]


def test_a_list_always_has_room(device: Device) -> None:
    longest = "a0" + "z" * (MAX_LENGTH - 2)
    positions = ["a0V", longest, longest, "a1V"]
    with device.writing() as document:
        cells = cells_of(document, "list:list")
        for item, position in zip("abcd", positions, strict=True):
            cells.write(f"{item}.v", f'"{item}"'.encode(), 1)
            cells.write(f"{item}.p", f'"{position}"'.encode(), 1)
    model = list("abcd")
    assert device.list == model
    for index in (2, 3, 1):
        device.list.insert(index, "x")
        model.insert(index, "x")
        assert device.list == model
    device.list.move(0, 3)
    model.insert(3, model.pop(0))
    assert device.list == model
    assert max(len(place.position) for place in device.list._items()) < 50  # pyright: ignore[reportPrivateUsage]


# MapOf


def test_a_map_checks_its_keys(device: Device) -> None:
    cases: list[tuple[Any, type[Any], str, str]] = [
        (
            5,
            WrongType,
            "A key of device.map must be str, not int.",
            "Convert the key with str() first.",
        ),
        (
            "x" * (MAX_KEY + 1),
            ValueRefused,
            "A key of device.map has 513 characters.",
            "Keys have at most 512 characters.",
        ),
        (
            "\ud800",
            ValueRefused,
            "A key of device.map cannot store a lone surrogate.",
            "Decode the bytes with errors='replace' first.",
        ),
    ]
    for key, kind, sentence, hint in cases:
        with pytest.raises(kind) as refused:
            device.map[key] = 1
        assert (refused.value.message, refused.value.hint) == (sentence, hint)
    device.map["x" * MAX_KEY] = 1
    device.map[""] = 2
    assert len(device.map) == 2
    assert 5 not in device.map
    with pytest.raises(ValueRefused, match=r"^device\.map\['k'\] cannot store the float nan"):
        device.map["k"] = float("nan")


def test_a_map_is_iterated_in_the_order_of_its_keys(device: Device) -> None:
    device.map.fill({"b": 1, "a": 2, "ä": 3})
    assert list(device.map) == ["a", "b", "ä"]
    assert list(device.map.items()) == [("a", 2), ("b", 1), ("ä", 3)]
    assert device.map.get("a") == 2
    assert device.map.get("z") is None
