"""Maps, arrays and texts inside each other: live objects, and plain values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pycrdt
import pytest

from syncline.engine.errors import (
    Detached,
    DocumentBroken,
    LimitExceeded,
    OutOfRange,
    ValueRefused,
    WrongType,
)
from syncline.engine.history.history import History
from syncline.engine.shared import (
    SharedArray,
    SharedMap,
    SharedText,
    Subdocument,
    XmlElement,
    document_content,
)
from syncline.engine.shared.content import plain_branch
from syncline.engine.shared.items import MAP_SHAPE, Items, items_of
from tests.engine.devices import Device, exchange


def shapes_of(device: Device) -> SharedMap:
    return SharedMap.of_root(device, "pages/home", "shapes")


def order_of(device: Device) -> SharedArray:
    return SharedArray.of_root(device, "pages/home", "order")


@pytest.fixture
def device() -> Device:
    return Device(2**40)


@pytest.fixture
def shapes(device: Device) -> SharedMap:
    return shapes_of(device)


def test_a_dict_is_one_value_and_a_shared_map_is_edited_by_key(shapes: SharedMap) -> None:
    shapes["plain"] = {"x": 1}
    shapes["shared"] = SharedMap({"x": 1, "at": SharedArray([1, 2]), "label": SharedText("a")})
    with pytest.raises(WrongType, match="cannot be changed in place"):
        shapes["plain"]["x"] = 2
    shared = shapes["shared"]
    shared["x"] = 2
    shared["at"].append(3)
    shared["label"].append("b")
    assert shapes.to_plain() == {
        "plain": {"x": 1},
        "shared": {"at": [1, 2, 3], "label": "ab", "x": 2},
    }
    assert json.dumps(shapes.to_plain()["shared"]["at"]) == "[1, 2, 3]"
    assert isinstance(shared, SharedMap)
    assert isinstance(shared["at"], SharedArray)
    assert isinstance(shared["label"], SharedText)
    assert repr(shared["at"]) == "<SharedArray pages/home:shapes['shared']['at']: [1, 2, 3]>"


def test_writes_inside_two_devices_merge() -> None:
    ada, bob = Device(2**40), Device(2**40 + 1)
    shapes_of(ada)["box"] = SharedMap({"at": SharedArray(["m"]), "size": 1})
    exchange(ada, bob)
    shapes_of(ada)["box"]["at"].insert(0, "a")
    shapes_of(ada)["box"]["size"] = 2
    shapes_of(bob)["box"]["at"].append("z")
    shapes_of(bob)["box"]["color"] = "red"
    exchange(ada, bob)
    assert shapes_of(ada).to_plain() == shapes_of(bob).to_plain()
    assert shapes_of(ada).to_plain() == {
        "box": {"at": ["a", "m", "z"], "color": "red", "size": 2},
    }


def test_an_object_keeps_meaning_the_same_item(device: Device) -> None:
    other, order = Device(2**40 + 1), order_of(device)
    order.extend([SharedMap({"id": n}) for n in range(3)])
    exchange(device, other)
    one = order[1]
    order_of(other).insert(0, "new")
    del order_of(other)[1]
    exchange(device, other)
    one["done"] = True
    exchange(device, other)
    assert order_of(other).to_plain() == ["new", {"done": True, "id": 1}, {"id": 2}]
    order_of(other)[1] = "gone"
    exchange(device, other)
    with pytest.raises(Detached, match=r"pages/home:order\[1\] was deleted"):
        one["done"] = False
    assert device.written() == []


def test_a_shared_map_is_a_mapping(shapes: SharedMap) -> None:
    shapes["m"] = SharedMap()
    inner = shapes["m"]
    inner.update({"a": 1, "b": [2]})
    assert dict(inner) == {"a": 1, "b": [2]}
    assert list(inner.items()) == [("a", 1), ("b", [2])]
    assert inner.setdefault("c", 3) == 3
    assert inner.pop("a") == 1
    assert inner == {"b": [2], "c": 3} == shapes["m"]
    inner.clear()
    assert len(inner) == 0
    assert inner.get("a", 5) == 5
    with pytest.raises(KeyError):
        del inner["a"]


def test_a_shared_array_is_a_list(device: Device) -> None:
    order, model = order_of(device), list[Any]()
    for each in (order, model):
        each.extend([1, "a", {"k": 1}])
        each[1] = "b"
        each.insert(1, None)
        each.extend([4, 5, 6])
        del each[2:4]
        each[-1] = 7
    assert order == model
    assert order[1:3] == model[1:3]
    assert order[::-2] == model[::-2]
    assert order != [1]
    assert 7 in order
    assert 8 not in order
    order.append(SharedMap({"k": SharedArray()}))
    assert order.pop() == {"k": []}
    with pytest.raises(WrongType, match="only neighbours"):
        del order[::2]
    with pytest.raises(OutOfRange):
        order[9] = 1
    order.clear()
    assert order.to_plain() == []
    order.extend([])
    order.append(1)
    assert order == order_of(device) == [1]


def test_a_shared_type_has_one_place(shapes: SharedMap, device: Device) -> None:
    shapes["a"] = made = SharedMap({"x": 1})
    assert made.to_plain() == {"x": 1}
    made["x"] = 2
    device.written()
    for again in (made, shapes["a"], shapes):
        with pytest.raises(ValueRefused) as refused:
            shapes["b"] = again
        assert refused.value.message.startswith("pages/home:shapes['b'] cannot hold pages/home:")
    made_too = SharedMap()
    with pytest.raises(ValueRefused, match=r"shapes\['c'\]\[1\] cannot store b'x'"):
        shapes["c"] = SharedArray([made_too, b"x"])
    with pytest.raises(Detached):
        made_too.to_plain()
    assert device.written() == []
    assert shapes == {"a": {"x": 2}}
    shapes["b"] = SharedMap(shapes["a"].to_plain())
    assert shapes["b"] == shapes["a"]
    assert repr(SharedMap({"x": 1})) == "<SharedMap in no document: {'x': 1}>"
    assert repr(SharedArray([1])) == "<SharedArray in no document: [1]>"


def _nested(levels: int) -> SharedMap:
    node = SharedMap()
    for _ in range(levels - 1):
        node = SharedMap({"k": node})
    return node


def test_depth_is_bounded(shapes: SharedMap, device: Device) -> None:
    shapes["k"] = _nested(100)
    assert str(shapes.to_plain()).count("k") == 100
    inner = shapes
    for _ in range(100):
        inner = inner["k"]
    device.written()
    writes: list[Callable[[], None]] = [
        lambda: inner.__setitem__("k", SharedMap()),
        lambda: shapes.__setitem__("l", _nested(101)),
    ]
    for write in writes:
        with pytest.raises(ValueRefused, match="would be nested 101 shared types deep"):
            write()
    assert device.written() == []
    items, branch = shapes.found()
    with pytest.raises(LimitExceeded, match="shapes nests shared types deeper than 2 levels"):
        plain_branch(items, branch, MAP_SHAPE, "shapes", max_depth=2)
    assert document_content(device.document(), max_depth=2) == {"shapes": {"k": {"k": {"k": None}}}}


def test_a_hostile_depth_reads_level_by_level(shapes: SharedMap, device: Device) -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=9)
    inner: Any = doc.get("shapes", type=pycrdt.Map)
    for _ in range(900):
        inner["k"] = pycrdt.Map()
        inner = inner["k"]
    device.receive([doc.get_update()])
    with pytest.raises(LimitExceeded, match="nests shared types deeper than 100 levels"):
        shapes.to_plain()
    assert document_content(device.document())["shapes"]["k"]["k"]
    found = shapes
    for _ in range(500):
        found = found["k"]
    found["here"] = True
    del shapes["k"]
    assert shapes == {}


def test_subdocuments_and_bytes_say_what_they_are(shapes: SharedMap, device: Device) -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=9)
    root: Any = doc.get("shapes", type=pycrdt.Map)
    root["sub"] = pycrdt.Doc(guid="page-2")
    root["bytes"] = b"\x00\xff"
    array: Any = doc.get("order", type=pycrdt.Array)
    array.append(pycrdt.Doc(guid="page-3"))
    device.receive([doc.get_update()])
    sub = shapes["sub"]
    assert isinstance(sub, Subdocument)
    assert sub.guid == "page-2"
    assert shapes["bytes"] == b"\x00\xff"
    assert shapes.to_plain() == {"bytes": b"\x00\xff", "sub": sub}
    assert order_of(device)[0].guid == "page-3"
    assert document_content(device.document())["order"][0].guid == "page-3"
    shapes["k"] = 1
    assert shapes["sub"] == sub


NUMBERS = {
    "one": "7d01", "minus": "7d41", "far": "7dbfffffff0f", "float32": "7c3f800000",
    "half": "7c3f000000", "double": "7b4014000000000000", "bigint": "7a0000000000000005",
    "null": "7e", "undefined": "7f", "true": "78", "false": "79", "text": "770161",
    "list": "75027d017e", "object": "7601016b7d02", "bytes": "740100",
}  # fmt: skip


def test_every_value_of_javascript_is_read(shapes: SharedMap, device: Device) -> None:
    structs = b"".join(
        b"\x28\x01\x06shapes" + bytes([len(key)]) + key.encode() + b"\x01" + bytes.fromhex(value)
        for key, value in NUMBERS.items()
    )
    device.receive([bytes([1, len(NUMBERS), 5, 0]) + structs + b"\0"])
    assert shapes.to_plain() == {
        "one": 1, "minus": -1, "far": 2**31 - 1, "float32": 1, "half": 0.5, "double": 5,
        "bigint": 5, "null": None, "undefined": None, "true": True, "false": False, "text": "a",
        "list": [1, None], "object": {"k": 2}, "bytes": b"\0",
    }  # fmt: skip
    assert repr(shapes["double"]) == "5"
    assert repr(document_content(device.document())["shapes"]["float32"]) == "1"


def test_the_whole_document_as_plain_values(device: Device, shapes: SharedMap) -> None:
    shapes["five"] = 5
    shapes["node"] = XmlElement("p", {"a": "<"}, ["x & y"])
    text = SharedText.of_root(device, "pages/home", "title")
    text.append("ab")
    text.insert_embed(1, {"image": 1})
    order_of(device).append(SharedArray([5, SharedText("t")]))
    content = document_content(device.document())
    assert content == {
        "order": [[5, "t"]],
        "shapes": {"five": 5, "node": '<p a="&lt;">x &amp; y</p>'},
        "title": "a\ufffcb",
    }
    assert content["title"] == str(text)
    assert repr(content["shapes"]["five"]) == "5"


def test_updates_that_wait_are_bounded(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    document, read = device.document(), list[int]()
    items = Items(document, max_waiting=2)
    original = History.__init__

    def counted(history: History, update: bytes) -> None:
        read.append(len(update))
        original(history, update)

    monkeypatch.setattr(History, "__init__", counted)
    for written in (1, 2, 5, 2):
        for number in range(written):
            with document.transaction():
                document.map("m").set(f"k{number}", written)
        keys = items.history.root("m").entries
        assert set(keys) == {f"k{number}" for number in range(max(written, len(keys)))}
    assert len(read) == 2  # at first, and when five had waited


def test_items_laid_to_take_for_ever_are_refused() -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=1)
    doc.get("t", type=pycrdt.Text)
    updates: list[bytes] = []
    for client in range(2, 7):
        other: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
        other.get("t", type=pycrdt.Text).insert(0, "x")
        updates.append(other.get_update())
    for update in updates:
        doc.apply_update(update)
    assert len(list(History(doc.get_update()).root("t").items())) == 5
    with pytest.raises(LimitExceeded, match="takes more than 2 steps") as refused:
        History(doc.get_update(), max_steps=2)
    assert refused.value.code == "limit-exceeded"


def test_appending_costs_the_same_however_long_the_array_is(device: Device) -> None:
    order = order_of(device)
    for number in range(300):
        order.append(number)
    assert order.to_plain() == list(range(300))
    assert items_of(device.document()) is items_of(device.document())


# What hostile clients make: bytes that break those who read them.
NAN = "010202002801066669656c6473016b027e7b7ff800000000000043020102616200"
PARENT_IS_A_CHARACTER = "01010900040005010178 00".replace(" ", "")


def test_what_crashes_the_library_when_it_reads_is_read(device: Device) -> None:
    device.document().apply(bytes.fromhex(NAN))
    fields = SharedMap.of_root(device, "pages/home", "fields")
    assert set(fields) == {"k"}
    assert repr(fields["k"]) in ("nan", "'ab'")
    assert document_content(device.document()).keys() == {"fields"}


def test_what_the_library_refuses_is_an_error_with_a_code() -> None:
    device = Device(2**40)
    device.receive([bytes([1, 1, 5, 0, 4, 1, 4]) + b"body\x0bhello world\0"])
    text = SharedText.of_root(device, "pages/home", "body")
    with pytest.raises(DocumentBroken):
        device.document().apply(bytes.fromhex(PARENT_IS_A_CHARACTER))
    uses: list[Callable[[SharedText], object]] = [
        str,
        SharedText.delta,
        lambda text: text.append("x"),
    ]
    for use in uses:
        with pytest.raises(DocumentBroken) as refused:
            use(text)
        assert refused.value.code == "document-broken"
