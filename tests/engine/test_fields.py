"""Fields behave like the Python type they resemble, and merge by their rule."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.engine.errors import OutOfRange, ValueRefused, WrongType
from tests.engine.devices import Device, exchange


@pytest.fixture
def pair() -> tuple[Device, Device]:
    return Device(2**40 + 1), Device(2**40 + 2)


def test_text_positions_are_code_points(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.text.append("naïve 😀 text")
    exchange(ada, bob)
    bob.text.insert(7, "👩‍🚀")
    bob.text.delete(2, 1)
    exchange(ada, bob)
    assert str(bob.text) == str(ada.text) == "nave 😀👩‍🚀 text"
    assert len(ada.text) == len(str(ada.text))


def test_concurrent_typing_keeps_both(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.text.append("hello world")
    exchange(ada, bob)
    ada.text.insert(0, "Oh, ")
    bob.text += "!"
    exchange(ada, bob)
    assert ada.text == bob.text == "Oh, hello world!"


@pytest.mark.parametrize(("index", "length"), [(-1, 1), (0, 6), (5, 1), (6, 0), (0, -1)])
def test_text_refuses_ranges_outside(pair: tuple[Device, Device], index: int, length: int) -> None:
    pair[0].text.append("hello")
    with pytest.raises(OutOfRange, match=r"device.text has 5 characters"):
        pair[0].text.delete(index, length)
    assert str(pair[0].text) == "hello"


def test_text_refuses_what_it_cannot_hold(pair: tuple[Device, Device]) -> None:
    text = pair[0].text
    with pytest.raises(OutOfRange, match="nothing can be inserted at 1"):
        text.insert(1, "x")
    with pytest.raises(ValueRefused, match="lone surrogate"):
        text.append("a\ud800")
    with pytest.raises(WrongType, match="takes str, not int"):
        text.append(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueRefused, match="in one insert"):
        text.append("x" * (1 << 20) + "x")
    assert not text
    assert pair[0].written() == []


def test_an_embedded_object_counts_as_one_character(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    # {"image": 1} embedded by an editor after "ab", as Yjs encodes it, then "cé".
    embed = (
        b"\x01\x03\x05\x00"
        b"\x04\x01\x09text:text\x02ab"
        b'\x85\x05\x01\x0b{"image":1}'
        b"\x84\x05\x02\x03c\xc3\xa9"
        b"\x00"
    )
    ada.receive([embed])
    assert str(ada.text) == "ab\ufffccé"
    ada.text.insert(5, "!")
    ada.text.delete(3, 1)
    bob.receive([embed, *ada.written()])
    assert str(bob.text) == str(ada.text) == "ab\ufffcé!"


def test_counter_adds_up(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.counter += 3
    bob.counter += 4
    bob.counter -= 2
    exchange(ada, bob)
    assert int(ada.counter) == int(bob.counter) == 5
    assert ada.counter == 5
    assert ada.counter > 4
    assert range(10)[ada.counter] == 5
    wrong: Any = 1.5
    with pytest.raises(WrongType, match="counts in whole numbers, not float"):
        ada.counter += wrong
    with pytest.raises(WrongType, match="not bool"):
        ada.counter += True


def test_set_add_wins_over_concurrent_discard(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.set.add("math")
    exchange(ada, bob)
    ada.set.discard("math")
    bob.set.add("math")
    exchange(ada, bob)
    assert ada.set == bob.set == {"math"}
    bob.set.discard("math")
    exchange(ada, bob)
    assert not ada.set


def test_set_add_wins_whatever_the_client_ids() -> None:
    # With one map key per element Yjs would drop the add of the lower client id.
    for ids in ([1, 2, 3], [3, 2, 1], [2, 3, 1], [1, 3, 2]):
        low, middle, high = (Device(2**40 + number) for number in ids)
        low.set.add("x")
        exchange(low, middle, high)
        middle.set.add("x")
        for device in (low, middle):  # high has not seen this one
            device.receive([])
        low.receive(middle.written())
        low.set.discard("x")
        high.set.add("x")
        first, third = low.written(), high.written()
        middle.receive(first)
        middle.receive(third)
        assert "x" in middle.set


def test_set_keeps_types_apart_and_its_order(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.set.add("1")
    ada.set.add(1)
    ada.set.add(None)
    ada.set.add("1")
    exchange(ada, bob)
    assert list(bob.set) == ["1", 1, None]
    assert 1 in bob.set
    assert 2 not in bob.set


def test_list_behaves_like_a_list(pair: tuple[Device, Device]) -> None:
    items, model = pair[0].list, list[int]()
    for number in range(5):
        items.append(number)
        model.append(number)
    items.insert(2, 20)
    model.insert(2, 20)
    items.insert(-1, 30)
    model.insert(-1, 30)
    items.insert(99, 40)
    model.insert(99, 40)
    items[0] = 50
    model[0] = 50
    assert items.pop() == model.pop()
    assert items.pop(1) == model.pop(1)
    del items[-2]
    del model[-2]
    items.extend([7, 8])
    model.extend([7, 8])
    items.move(0, 3)
    model.insert(3, model.pop(0))
    assert list(items) == model
    assert items == model
    assert len(items) == len(model)
    assert 7 in items
    for wrong in (len(model), -len(model) - 1):
        with pytest.raises(OutOfRange, match=f"there is none at {wrong}"):
            items[wrong]
        with pytest.raises(IndexError):
            items.pop(wrong)


def test_concurrent_moves_do_not_double(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.list.extend("abcde")
    exchange(ada, bob)
    ada.now, bob.now = 2_000, 3_000
    ada.list.move(0, 4)
    bob.list.move(0, 2)
    exchange(ada, bob)
    assert "".join(ada.list) == "".join(bob.list) == "bcade"  # bob's move was later


def test_removal_beats_a_concurrent_move_and_yields_to_an_assignment(
    pair: tuple[Device, Device],
) -> None:
    ada, bob = pair
    ada.list.extend("abc")
    exchange(ada, bob)
    del ada.list[1]
    bob.list.move(1, 0)
    exchange(ada, bob)
    assert "".join(ada.list) == "".join(bob.list) == "ac"
    del ada.list[1]
    bob.list[1] = "C"
    exchange(ada, bob)
    assert "".join(ada.list) == "".join(bob.list) == "aC"


def test_concurrent_inserts_at_one_place_keep_runs_together(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.list.extend("ad")
    exchange(ada, bob)
    ada.list.insert(1, "b")
    bob.list.insert(1, "c")
    exchange(ada, bob)
    assert list(ada.list) == list(bob.list)
    assert sorted(ada.list) == ["a", "b", "c", "d"]
    ada.list.insert(2, "between")
    exchange(ada, bob)
    assert list(bob.list)[2] == "between"


def test_map_merges_by_key(pair: tuple[Device, Device]) -> None:
    ada, bob = pair
    ada.map["color"] = "red"
    ada.map["a/b"] = 1
    exchange(ada, bob)
    ada.map["size"] = 3
    bob.map["color"] = "blue"
    exchange(ada, bob)
    assert ada.map == bob.map == {"color": "blue", "a/b": 1, "size": 3}
    assert list(ada.map) == ["a/b", "color", "size"]
    assert ada.map.get("nothing", 7) == 7
    del ada.map["color"]
    bob.map["color"] = "green"
    exchange(ada, bob)
    assert ada.map["color"] == bob.map["color"] == "green"
    with pytest.raises(KeyError):
        ada.map["nothing"]
    with pytest.raises(KeyError):
        del ada.map["nothing"]
    with pytest.raises(WrongType, match="must be str, not int"):
        ada.map[5] = 1  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        ValueRefused, match=r"device\.map\['x'\] cannot store a value of type object"
    ):
        ada.map["x"] = object()


def test_entries_of_other_programs_are_ignored(pair: tuple[Device, Device]) -> None:
    ada = pair[0]
    ada.map["good"] = 1
    ada.counter += 1
    with ada.writing() as document:
        root = document.map("map:map")
        for key in ("no-writer", "bad/12x", "bad/5", "wrong/6", "late/7"):
            root.set(key, "not json" if key == "bad/5" else f'["x", {2**60}]')
        root.set("late/8", f"[{2**60}, 1]")
        root.set("number/9", 4)
        document.map("counter:counter").set("12", "many")
        document.map("counter:counter").set("13", True)
    assert ada.map == {"good": 1}
    assert ada.list == []
