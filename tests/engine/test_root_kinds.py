"""Roots of an editor's types: one that is used as another type is refused before anything is
written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pycrdt
import pytest

from syncline.engine.errors import SchemaError
from syncline.engine.shared import SharedArray, SharedMap, SharedText, XmlElement, XmlFragment
from syncline.engine.shared.items import items_of
from tests.engine.devices import Device

PAGE = "pages/home"


def text(device: Device) -> SharedText:
    return SharedText.of_root(device, PAGE, "r")


def map_(device: Device) -> SharedMap:
    return SharedMap.of_root(device, PAGE, "r")


def array(device: Device) -> SharedArray:
    return SharedArray.of_root(device, PAGE, "r")


def xml(device: Device) -> XmlFragment:
    return XmlFragment.of_root(device, PAGE, "r")


USES: dict[str, list[Callable[[Device], object]]] = {
    "Y.Text": [
        lambda device: text(device).append("x"),
        lambda device: text(device).insert(0, "x", {"bold": True}),
        lambda device: text(device).insert_embed(0, {"image": 1}),
        lambda device: text(device).apply_delta([{"insert": "x"}]),
        lambda device: text(device).format(0, 0, {"bold": True}),
        lambda device: str(text(device)),
        lambda device: text(device).delta(),
    ],
    "Y.Map": [
        lambda device: map_(device).__setitem__("k", 1),
        lambda device: map_(device).get("k"),
        lambda device: list(map_(device)),
        lambda device: map_(device).to_plain(),
    ],
    "Y.Array": [
        lambda device: array(device).append(1),
        lambda device: array(device).insert(0, 1),
        lambda device: array(device).to_plain(),
        lambda device: array(device).clear(),
    ],
    "Y.XmlFragment": [
        lambda device: xml(device).append(XmlElement("p")),
        lambda device: xml(device).extend(["x"]),
        lambda device: str(xml(device)),
        lambda device: xml(device).to_plain(),
    ],
}
METHODS = {"Y.Text": "text", "Y.Map": "map", "Y.Array": "array", "Y.XmlFragment": "xml"}


def _doc(kind: type[Any]) -> Any:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=9)
    return doc.get("r", type=kind)


def with_text() -> Any:
    root = _doc(pycrdt.Text)
    root += "hello"
    return root


def with_formats() -> Any:
    root = with_text()
    root.format(1, 3, {"bold": True})
    return root


def with_an_object() -> Any:
    root = _doc(pycrdt.Text)
    root.insert_embed(0, {"image": 1})
    return root


def with_keys() -> Any:
    root = _doc(pycrdt.Map)
    root["k"] = pycrdt.Text("x")
    return root


def emptied_keys() -> Any:
    root = with_keys()
    del root["k"]
    return root


def with_values() -> Any:
    root = _doc(pycrdt.Array)
    root.append("text")
    return root


def with_maps() -> Any:
    root = _doc(pycrdt.Array)
    root.append(pycrdt.Map({"k": 1}))
    return root


def with_nodes() -> Any:
    root = _doc(pycrdt.XmlFragment)
    root.children.append(pycrdt.XmlElement("p")).children.append(pycrdt.XmlText("hello"))
    return root


def after_the_first_was_deleted() -> Any:
    root = with_nodes()
    root.children.append(pycrdt.XmlElement("p"))
    del root.children[0]
    return root


KEPT: list[tuple[Callable[[], Any], str, set[str]]] = [
    (with_text, "Y.Text", {"Y.Text"}),
    (with_formats, "Y.Text", {"Y.Text"}),
    (with_an_object, "Y.Text", {"Y.Text"}),
    (with_keys, "Y.Map", {"Y.Map"}),
    (emptied_keys, "Y.Map", {"Y.Map"}),
    (with_values, "Y.Array", {"Y.Array"}),
    (with_maps, "Y.Array", {"Y.Array", "Y.Text"}),  # a text may hold maps
    (with_nodes, "Y.XmlFragment", {"Y.XmlFragment", "Y.Array"}),  # and an array XML
    (after_the_first_was_deleted, "Y.XmlFragment", {"Y.XmlFragment", "Y.Array"}),
]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("keep", "kept", "fitting"), KEPT, ids=[keep.__name__ for keep, _, _ in KEPT]
)
def test_another_type_is_refused_before_anything_is_written(
    keep: Callable[[], Any], kept: str, fitting: set[str], *, restarted: bool
) -> None:
    update = keep().doc.get_update()
    for asked in set(USES) - fitting:
        for use in USES[asked]:
            device = Device(2**40)
            device.receive([update])
            if restarted:
                stored = device.document().diff({})
                device = Device(2**40)
                device.receive([stored])
            before = device.document().diff({})
            with pytest.raises(SchemaError) as refused:
                use(device)
            assert refused.value.message == (
                f"The root 'r' of pages/home is a {kept}, and cannot be used as a {asked}."
            )
            assert refused.value.hint.startswith(f"Use document.{METHODS[kept]}('r'), or another")
            assert device.written() == []
            assert device.document().diff({}) == before
            assert not device.document().broken


@pytest.mark.parametrize(
    ("keep", "kept", "fitting"), KEPT, ids=[keep.__name__ for keep, _, _ in KEPT]
)
def test_what_it_may_be_is_taken(keep: Callable[[], Any], kept: str, fitting: set[str]) -> None:
    assert kept in fitting
    for asked in fitting:
        for use in USES[asked]:
            device = Device(2**40)
            device.receive([keep().doc.get_update()])
            use(device)


def test_asking_changes_nothing_for_the_editor() -> None:
    root, device = with_nodes(), Device(2**40)
    device.receive([root.doc.get_update()])
    with pytest.raises(SchemaError):
        text(device).append("x")
    xml(device)[0].append("!")
    root.doc.apply_update(device.written()[0])
    assert str(root) == "<p>hello!</p>"


def test_an_empty_root_becomes_what_it_is_asked_for_as() -> None:
    for asked, kind in (("Y.Text", text), ("Y.Map", map_), ("Y.Array", array)):
        device = Device(2**40)
        for first in (text, map_, array, xml):
            assert len(first(device)) == 0  # reading decides nothing
        USES[asked][0](device)
        assert len(kind(device)) == 1
        for other in {"Y.Text", "Y.Map", "Y.Array"} - {asked}:
            with pytest.raises(SchemaError):
                USES[other][0](device)


def test_a_root_that_was_read_while_it_was_empty_is_looked_at_again() -> None:
    device = Device(2**40)
    title = text(device)
    assert str(title) == ""
    device.receive([with_nodes().doc.get_update()])
    with pytest.raises(SchemaError):
        title.append("x")
    assert str(xml(device)) == "<p>hello</p>"
    assert device.written() == []


def test_a_sequence_of_which_all_was_deleted_is_no_map() -> None:
    root, device = with_text(), Device(2**40)
    root.clear()
    device.receive([root.doc.get_update()])
    assert len(array(device)) == len(text(device)) == len(xml(device)) == 0
    with pytest.raises(SchemaError, match=r"is a Y\.Array, and cannot be used as a Y\.Map"):
        map_(device)["k"] = 1


def test_a_root_that_was_damaged_before_can_be_mended() -> None:
    root, device = with_nodes(), Device(2**40)
    damaged = root.doc.get("r", type=pycrdt.Text)
    damaged.insert(0, "x")
    device.receive([root.doc.get_update()])
    assert str(xml(device)) == "<p>hello</p>"
    broken = text(device)
    assert broken.delta()[0] == {"insert": "x"}
    broken.delete(0, 1)
    mended = Device(2**40 + 1)
    mended.receive([device.document().diff({})])
    with pytest.raises(SchemaError):
        text(mended).append("x")
    assert str(xml(mended)) == "<p>hello</p>"


def test_kinds_are_not_read_again_for_each_use(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(2**40)
    text(device).append("x")
    str(text(device))

    def read(*_: object) -> None:
        raise AssertionError("all of the document")

    monkeypatch.setattr(type(items_of(device.document())), "history", property(read))
    for _ in range(3):
        text(device).append("y")
    assert str(text(device)) == "xyyy"
