"""Formatted texts of editors: positions are code points, and what is written reads as in Yjs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pycrdt
import pytest

from syncline.engine.errors import Detached, DocumentBroken, OutOfRange, ValueRefused, WrongType
from syncline.engine.shared import SharedMap, SharedText, XmlFragment
from tests.engine.calls import calls_of
from tests.engine.devices import Device, exchange

BOLD = {"bold": True}


def root(device: Device) -> SharedText:
    return SharedText.of_root(device, "pages/home", "body")


def nested(device: Device) -> SharedText:
    holder = SharedMap.of_root(device, "pages/home", "shapes")
    if "body" not in holder:
        holder["body"] = SharedText()
    return cast("SharedText", holder["body"])


def in_xml(device: Device) -> SharedText:
    fragment = XmlFragment.of_root(device, "pages/home", "page")
    return cast("SharedText", fragment[0] if len(fragment) else fragment.append(""))


PLACES = [root, nested, in_xml]


@pytest.fixture(params=PLACES, ids=lambda place: place.__name__)
def place(request: pytest.FixtureRequest) -> Callable[[Device], SharedText]:
    return cast("Callable[[Device], SharedText]", request.param)


@pytest.fixture
def device() -> Device:
    return Device(2**40)


@pytest.fixture
def text(device: Device, place: Callable[[Device], SharedText]) -> SharedText:
    return place(device)


def test_a_text_is_used_as_a_str(text: SharedText) -> None:
    text.append("Héllo 😀")
    text += "!"
    text.insert(6, "big ")
    text.delete(0, 1)
    assert text.to_plain() == "éllo big 😀!"
    assert len(text) == 11
    assert text[9] == text[-2] == "😀"
    assert text[5:8] == "big"
    assert "big" in text
    assert text.delta() == [{"insert": "éllo big 😀!"}]


def test_formats_are_written_and_read(
    text: SharedText, device: Device, place: Callable[[Device], SharedText]
) -> None:
    text.insert(0, "😀 hello world")
    text.format(2, 7, BOLD)
    text.insert(7, "!")  # as what stands before it
    text.insert(8, " plain", {})
    text.insert(0, "red ", {"color": {"rgb": [255, 0, 0]}, "size": 1.5})
    assert text.delta() == [
        {"insert": "red ", "attributes": {"color": {"rgb": [255, 0, 0]}, "size": 1.5}},
        {"insert": "😀 "},
        {"insert": "hello!", "attributes": BOLD},
        {"insert": " plain world"},
    ]
    text.format(6, 12, {"bold": None})
    text.format(0, 4, {"color": None, "size": 2})
    expected = [
        {"insert": "red ", "attributes": {"size": 2}},
        {"insert": "😀 hello! plain world"},
    ]
    assert text.delta() == expected
    other = Device(2**40 + 1)
    other.receive(device.written())
    assert place(other).delta() == expected


def test_objects_count_as_one_character(text: SharedText) -> None:
    text.append("ab")
    text.insert_embed(1, {"image": "cat.png"}, {"width": 100})
    text.insert_embed(3, {"mention": 5})
    assert text.to_plain() == "a\ufffcb\ufffc"
    assert len(text) == 4
    text.insert(2, "é")
    text.delete(0, 1)
    assert text.delta() == [
        {"insert": {"image": "cat.png"}, "attributes": {"width": 100}},
        {"insert": "é", "attributes": {"width": 100}},
        {"insert": "b"},
        {"insert": {"mention": 5}},
    ]


def test_a_shared_type_in_a_text_is_live(text: SharedText) -> None:
    text.append("ab")
    made = SharedMap({"checked": False})
    text.insert_embed(1, made, BOLD)
    made["checked"] = True
    first, (second), last = text.delta()
    assert (first, last) == ({"insert": "a"}, {"insert": "b"})
    assert second == {"insert": {"checked": True}, "attributes": BOLD}
    second["insert"]["by"] = "ada"
    assert made.to_plain() == {"by": "ada", "checked": True}
    text.delete(1, 1)
    with pytest.raises(Detached, match=r"an object in .* was deleted"):
        made.to_plain()


def test_a_delta_is_one_change(text: SharedText, device: Device) -> None:
    text.append("Hello world")
    device.written()
    text.apply_delta(
        [
            {"retain": 5, "attributes": BOLD},
            {"insert": ", 😀", "attributes": {"italic": True}},
            {"insert": {"image": 1}},
            {"delete": 6},
            {"insert": "!"},
        ]
    )
    assert len(device.written()) == 1
    assert text.delta() == [
        {"insert": "Hello", "attributes": BOLD},
        {"insert": ", 😀", "attributes": {"italic": True}},
        {"insert": {"image": 1}},
        {"insert": "!"},
    ]
    copy = SharedMap.of_root(device, "pages/home", "copies")
    copy["it"] = SharedText(text.delta())
    assert copy["it"].delta() == text.delta()
    text.apply_delta([])
    text.apply_delta([{"insert": ""}])
    assert copy["it"].delta() == text.delta()


REFUSED: list[tuple[Callable[[SharedText], object], type[Exception], str]] = [
    (lambda text: text.insert(4, "x"), OutOfRange, "has 3 characters, so nothing can be inserted"),
    (lambda text: text.insert(4, "x", BOLD), OutOfRange, "there is no range from 4 to 4"),
    (lambda text: text.insert_embed(-1, {}), OutOfRange, "there is no range from -1 to -1"),
    (lambda text: text.format(1, 4, BOLD), OutOfRange, "there is no range from 1 to 4"),
    (lambda text: text.format(2, 1, BOLD), OutOfRange, "there is no range from 2 to 1"),
    (lambda text: text.delete(1, 3), OutOfRange, "3 cannot be deleted from 1"),
    (
        lambda text: text.apply_delta([{"insert": "x"}, {"retain": 2}, {"delete": 2}]),
        OutOfRange,
        "The delta goes 1 characters beyond the end of",
    ),
    (lambda text: text.apply_delta([{"insert": "x", "delete": 1}]), ValueRefused, "no operation"),
    (lambda text: text.apply_delta([{"attributes": {}}]), ValueRefused, "is no operation"),
    (lambda text: text.apply_delta([{"insert": "x", "to": 1}]), ValueRefused, "is no operation"),
    (lambda text: text.apply_delta([{"retain": -1}]), WrongType, "can retain a number of char"),
    (lambda text: text.apply_delta([{"delete": "x"}]), WrongType, "can delete a number of char"),
    (lambda text: text.apply_delta([{"insert": "\ud800"}]), ValueRefused, "a lone surrogate"),
    (lambda text: text.apply_delta([{"insert": b"x"}]), ValueRefused, "cannot store b'x'"),
    (lambda text: text.insert(0, "\udfff", {}), ValueRefused, "a lone surrogate"),
    (lambda text: text.insert(0, "x", {"k": object()}), ValueRefused, "The attributes of"),
    (lambda text: text.insert(0, "x", cast("Any", {5: 1})), WrongType, "takes str, not int"),
    (lambda text: text.format(0, 1, {"k": float("nan")}), ValueRefused, "cannot store nan"),
]


@pytest.mark.parametrize(("use", "error", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_is_refused_and_changes_nothing(
    device: Device, text: SharedText, use: Callable[[SharedText], object], error: type, said: str
) -> None:
    text.append("a😀b")
    device.written()
    with pytest.raises(error, match=said):
        use(text)
    assert device.written() == []
    assert text.delta() == [{"insert": "a😀b"}]
    text.append("!")
    assert text.to_plain() == "a😀b!"


def test_concurrent_formats_and_texts_converge(place: Callable[[Device], SharedText]) -> None:
    ada, bob = Device(2**40), Device(2**40 + 1)
    place(ada).append("hello 😀 world")
    exchange(ada, bob)
    place(ada).format(0, 5, BOLD)
    place(ada).insert(6, "😀")
    place(bob).format(3, 9, {"italic": True})
    place(bob).insert_embed(7, {"image": 1})
    exchange(ada, bob)
    assert place(ada).delta() == place(bob).delta()
    assert place(ada).to_plain() == place(bob).to_plain() == "hello 😀😀\ufffc world"
    assert place(ada).delta() == place(ada).delta()
    fresh = Device(3)
    fresh.receive([ada.document().diff({})])
    assert place(fresh).delta() == place(ada).delta()


def _cut(*edits: bytes) -> Device:
    """A browser's text ``a😀bcdef``, and what the browser then did to a half of the emoji."""
    device = Device(2**40)
    begin = "010105000401 04626f6479 0a".replace(" ", "")
    device.receive([bytes.fromhex(begin) + "a😀bcdef".encode() + b"\0", *edits])
    return device


CUTS = {
    "its low half deleted": bytes([0, 1, 5, 1, 2, 1]),
    "its high half deleted": bytes([0, 1, 5, 1, 1, 1]),
    "something between": bytes([1, 1, 6, 0, 0xC4, 5, 1, 5, 2, 1]) + b"X" + b"\0",
}


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_a_character_that_an_editor_cut_in_two_reads_without_error(cut: str) -> None:
    device = _cut(CUTS[cut])
    text = root(device)
    content = str(text)
    assert content.startswith("a")
    assert "cdef" in content
    assert "".join(run["insert"] for run in text.delta()) == content
    for index in range(len(content) + 1):
        text.insert(index, "|")
        text.delete(index, 1)
    assert str(text) == content
    assert "".join(run["insert"] for run in text.delta()) == content
    text.append("!")
    assert str(text) == f"{content}!"


def test_where_the_library_has_lost_count_formats_are_refused_and_characters_are_not() -> None:
    device = _cut(CUTS["its high half deleted"])
    text = root(device)
    with pytest.raises(DocumentBroken, match="an editor has cut a character in two"):
        text.format(0, 1, BOLD)
    with pytest.raises(DocumentBroken, match="an editor has cut a character in two"):
        nested(device)
    assert text.delta() == [{"insert": str(text)}]
    text.append("!")
    assert str(text) == "abcdef!"


def test_typing_in_a_text_that_is_not_formatted_reads_no_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device(2**40)
    text = root(device)
    text.append("x")
    assert str(text) == "x"

    def read(*_: object) -> None:
        raise AssertionError("this costs the whole document")

    monkeypatch.setattr("syncline.engine.shared.items.History", read)
    text.insert(0, "é")
    text.delete(1, 1)
    assert (str(text), len(text), text[0]) == ("é", 1, "é")


def _go_on(text: SharedText) -> None:
    text.append("token ")
    text.insert(2, "x")


def test_a_long_text_is_written_at_the_cost_of_what_is_written(
    place: Callable[[Device], SharedText],
) -> None:
    counts: list[int] = []
    for size in (50, 1_000):
        text = place(Device(2**40))
        text.append("😀")
        for _ in range(size):
            text.append("token ")
        counts.append(calls_of(_go_on, text))
        assert text.to_plain() == "😀tx" + ("oken t" * (size + 1))[:-1]
    assert counts[1] <= counts[0] + 40


def test_the_library_reads_the_same() -> None:
    device = Device(2**40)
    text = root(device)
    text.apply_delta([{"insert": "é😀", "attributes": BOLD}, {"insert": {"i": 1}}])
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in device.written():
        doc.apply_update(update)
    body = doc.get("body", type=pycrdt.Text)
    assert body.diff() == [("é😀", BOLD), ({"i": 1}, None)]
    before = doc.get_state()
    body.insert(0, "lib ")
    device.receive([doc.get_update(before)])
    assert text.delta()[0] == {"insert": "lib "}


def test_one_that_is_in_no_document_says_so() -> None:
    text = SharedText("x")
    uses: list[Callable[[SharedText], object]] = [
        str,
        len,
        SharedText.delta,
        lambda text: text.append("y"),
    ]
    for use in uses:
        with pytest.raises(Detached, match="This SharedText is in no document yet"):
            use(text)
    assert repr(text) == "<SharedText in no document>"
