"""Roots of documents: how their content reads, what they tell of changes, and what editors nest."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest

from syncline.engine.document.document import Document, merge_updates


@pytest.fixture
def document() -> Document:
    return Document(5)


class Editor:
    """A browser editor, which uses all that Yjs has."""

    def __init__(self, client_id: int = 9) -> None:
        self.doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client_id)
        self.map: pycrdt.Map[Any] = self.doc.get("map", type=pycrdt.Map)
        self.array: pycrdt.Array[Any] = self.doc.get("array", type=pycrdt.Array)
        self.text = self.doc.get("text", type=pycrdt.Text)
        self._state = self.doc.get_state()

    def written(self) -> bytes:
        """What it wrote since the last call."""
        update = self.doc.get_update(self._state)
        self._state = self.doc.get_state()
        return update


def _fill(document: Document) -> None:
    with document.transaction():
        document.map("map").set("k", "v")
        document.array("array").insert(0, "a")
        document.text("text").insert(0, "é")


FILLED = {"array": ["a"], "map": {"k": "v"}, "text": "é"}


# Reading


def test_to_dict_shows_every_root_by_name(document: Document) -> None:
    assert document.to_dict() == {}
    _fill(document)
    document.map("empty")
    document.map("numbers").set("n", 1)
    assert list(document.to_dict()) == ["array", "map", "numbers", "text"]
    assert document.to_dict() == {**FILLED, "numbers": {"n": 1.0}}
    loaded = Document(6, document.take_captured())
    assert loaded.to_dict() == document.to_dict()
    # Reading has declared no type, which would be that of the events that observers get.
    native = loaded._doc  # pyright: ignore[reportPrivateUsage]
    assert set(native.values()) == {None}
    assert loaded.text("text").content() == "é"
    assert loaded.map("map").items() == {"k": "v"}
    assert loaded.array("array").items() == ["a"]


def test_to_dict_shows_what_only_editors_write(document: Document) -> None:
    editor = Editor()
    editor.map["shape"] = pycrdt.Map({"at": pycrdt.Array([1, 2]), "label": pycrdt.Text("a")})
    editor.array.append(pycrdt.Map({"k": None}))
    page = editor.doc.get("page", type=pycrdt.XmlFragment)
    paragraph = page.children.append(pycrdt.XmlElement("p", {"class": "c"}))
    paragraph.children.append(pycrdt.XmlText("leaf"))
    document.apply(editor.written())
    assert document.to_dict() == {
        "array": [{"k": None}],
        "map": {"shape": {"at": [1, 2], "label": "a"}},
        "page": ['<p class="c">leaf</p>'],
    }
    assert not document.broken


# A Y.XmlElement `p` under the key `x` of the root `map`: pycrdt reads it, but cannot write it.
XML_IN_MAP = bytes.fromhex("01010900 2701 036d6170 0178 03 0170 00".replace(" ", ""))


@pytest.mark.parametrize("observed", [False, True])
def test_xml_in_a_map_reads_as_text(document: Document, *, observed: bool) -> None:
    if observed:
        document.map("map").items()
    document.apply(XML_IN_MAP)
    assert document.map("map").items() == {"x": "<p></p>"}
    assert document.to_dict() == {"map": {"x": "<p></p>"}}


def test_a_subdocument_reads_as_none(document: Document) -> None:
    editor = Editor()
    editor.map["sub"] = pycrdt.Doc()
    editor.map["k"] = "v"
    document.apply(editor.written())
    assert document.map("map").items() == {"sub": None, "k": "v"}
    assert document.to_dict() == {"map": {"sub": None, "k": "v"}}


def test_types_nested_too_deep_read_as_none(document: Document) -> None:
    editor = Editor()
    inner = editor.map
    for _ in range(1_000):  # enough for a RecursionError
        inner["k"] = pycrdt.Map()
        inner = inner["k"]
    document.apply(editor.written())
    found: Any = document.map("map").items()
    depth = 0
    while found is not None:
        found = found.get("k")
        depth += 1
    assert depth == 101
    assert document.to_dict()["map"]["k"]["k"]
    assert not document.broken


# What is touched


def test_roots_report_what_was_touched(document: Document) -> None:
    items = document.map("map")
    _fill(document)
    assert document.touched == {("map", "k"), ("array", None), ("text", None)}
    assert items.changed == {"k"}
    document.touched.clear()
    items.changed.clear()
    other = Document(6)
    other.map("map").set("a", 1)
    other.map("map").set("b", 1)
    document.apply(merge_updates(other.take_captured()))
    items.delete("k")
    assert document.touched == {("map", "a"), ("map", "b"), ("map", "k")}
    assert items.changed == {"a", "b", "k"}


def test_changes_inside_nested_types_are_seen(document: Document) -> None:
    editor = Editor()
    editor.map["shape"] = pycrdt.Map({"x": 1, "label": pycrdt.Text("a")})
    editor.map["other"] = 1
    editor.array.append(pycrdt.Map({"x": 1}))
    document.apply(editor.written())
    items, array = document.map("map"), document.array("array")
    assert items.items()["shape"] == {"x": 1, "label": "a"}
    assert array.items() == [{"x": 1}]
    document.touched.clear()
    items.changed.clear()
    editor.map["shape"]["x"] = 2
    label = editor.map["shape"]["label"]
    label += "b"
    editor.array[0]["x"] = 2
    document.apply(editor.written())
    assert items.items() == {"shape": {"x": 2, "label": "ab"}, "other": 1}
    assert array.items() == [{"x": 2}]
    assert document.touched == {("map", "shape"), ("array", None)}
    assert items.changed == {"shape"}


def test_a_map_follows_changes_of_every_kind(document: Document) -> None:
    items, other = document.map("map"), Document(6)
    other.map("map").set("gone", 1)
    other.map("map").set("kept", 1)
    document.apply(merge_updates(other.take_captured()))
    assert items.items() == {"gone": 1, "kept": 1}
    other.map("map").delete("gone")
    other.map("map").set("kept", "new")
    other.map("map").set("added", None)
    document.apply(merge_updates(other.take_captured()))
    assert (
        items.items()
        == {"kept": "new", "added": None}
        == Document(7, [document.diff({})]).map("map").items()
    )


# Texts


def test_a_text_shows_each_change_inside_a_transaction(document: Document) -> None:
    text = document.text("text")
    with document.transaction():
        text.insert(0, "héllo")
        text.insert(2, "😀")
        text.delete(0, 1)
        assert text.content() == "é😀llo"
    assert (
        text.content() == "é😀llo" == Document(6, document.take_captured()).text("text").content()
    )


def test_so_does_one_with_an_embedded_object(document: Document) -> None:
    editor = Editor()
    editor.text += "ab"
    editor.text.insert_embed(1, {"image": 1})
    document.apply(editor.written())
    text = document.text("text")
    assert text.content() == "a\ufffcb"
    with document.transaction():
        text.insert(0, "é")
        text.insert(3, "ü")
        text.delete(1, 1)
        assert text.content() == "é\ufffcüb"
    editor.doc.apply_update(document.take_captured()[0])
    assert [chunk for chunk, _ in editor.text.diff()] == ["é", {"image": 1.0}, "üb"]
    text.delete(1, 1)
    assert text.content() == "éüb"


def test_typing_neither_reads_the_text_back_nor_asks_what_changed(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = document.text("text")
    text.insert(0, "é")

    def read(_: object) -> str:
        raise AssertionError("each of these costs the length of the text")

    monkeypatch.setattr(pycrdt.Text, "__str__", read)
    monkeypatch.setattr(pycrdt.TextEvent, "__init__", read)
    for _ in range(2):
        with document.transaction():
            text.insert(1, "x")
            text.delete(0, 1)
        text.insert(0, "é")
    assert text.content() == "éxx"
    assert document.touched == {("text", None)}
