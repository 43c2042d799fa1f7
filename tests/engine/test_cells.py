"""Cells: one per writer, the newest first, whatever else strangers have put into the root."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.engine.clock import MAX_STAMP
from syncline.engine.document.cells import Cell, cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.values import encode_value

ROOT = "fields"


def _write(document: Document, name: str, value: object, stamp: int) -> None:
    with document.transaction():
        cells_of(document, ROOT).write(name, encode_value(value, where="test"), stamp)


def _exchange(*documents: Document) -> None:
    written = [(document, document.take_captured()) for document in documents]
    for document in documents:
        for author, updates in written:
            if author is not document:
                for update in updates:
                    document.apply(update)


def _concurrent(*stamps: int) -> list[Document]:
    """Documents of writers 1, 2, … that wrote ``name`` at these stamps, and then exchanged."""
    documents = [Document(number) for number in range(1, len(stamps) + 1)]
    for document, stamp in zip(documents, stamps, strict=True):
        _write(document, "name", f"by {document.client_id}", stamp)
    _exchange(*documents)
    return documents


def test_the_layout_is_one_entry_per_name_and_writer() -> None:
    document = Document(7)
    _write(document, "name", {"k": b"\xff"}, 12)
    _write(document, "a/b", None, 13)
    assert document.map(ROOT).items() == {
        "name/7": '[12,{"k":{"$bytes":"/w=="}}]',
        "a/b/7": "[13,null]",
    }


def test_concurrent_cells_all_stay_the_newest_first() -> None:
    for document in _concurrent(20, 30, 10, 30):
        cells = cells_of(document, ROOT)
        assert cells.siblings("name") == [
            Cell(30, 4, "by 4"),  # of one time, the higher writer
            Cell(30, 2, "by 2"),
            Cell(20, 1, "by 1"),
            Cell(10, 3, "by 3"),
        ]
        assert cells.newest("name") == Cell(30, 4, "by 4")
        assert cells.stamp("name") == 30
        assert len(cells) == 1
        assert list(cells.names()) == ["name"]
        assert "name" in cells


def test_a_write_removes_what_it_has_seen() -> None:
    documents = _concurrent(20, 30, 10)
    _write(documents[2], "name", "all", 40)
    _exchange(*documents)
    for document in documents:
        assert cells_of(document, ROOT).siblings("name") == [Cell(40, 3, "all")]
        assert list(document.map(ROOT).items()) == ["name/3"]


def test_a_name_that_nobody_wrote() -> None:
    cells = cells_of(Document(1), ROOT)
    assert cells.siblings("name") == []
    assert cells.newest("name") is None
    assert cells.stamp("name") == 0
    assert "name" not in cells
    assert len(cells) == 0


def test_removing_takes_every_cell_that_was_seen_and_no_other() -> None:
    first, second = _concurrent(10, 20)
    _write(second, "name", "unseen", 30)
    with first.transaction():
        cells_of(first, ROOT).remove("name")
        cells_of(first, ROOT).remove("nothing")
    assert "name" not in cells_of(first, ROOT)
    _exchange(first, second)
    for document in (first, second):
        assert cells_of(document, ROOT).siblings("name") == [Cell(30, 2, "unseen")]


def test_a_document_has_one_object_for_the_cells_of_a_root() -> None:
    document = Document(1)
    assert cells_of(document, ROOT) is cells_of(document, ROOT)
    assert cells_of(document, ROOT) is not cells_of(document, "other")


def test_what_is_derived_is_made_again_only_after_a_change() -> None:
    document = Document(1)
    cells = cells_of(document, ROOT)
    made: list[list[str]] = []

    def build() -> list[str]:
        made.append(sorted(cells.names()))
        return made[-1]

    _write(document, "a", 1, 1)
    assert cells.derive(build) is cells.derive(build)
    document.map("other").set("k", 1)
    assert cells.derive(build) == ["a"]
    other = Document(2)
    _write(other, "b", 1, 1)
    document.apply(other.take_captured()[0])
    assert cells.derive(build) == ["a", "b"]
    with document.transaction():
        cells.remove("a")
    assert cells.derive(build) == ["b"]
    assert made == [["a"], ["a", "b"], ["b"]]


LONG = "9" * 5000  # more digits than int() reads


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "name/",
        "name/x",
        "name/-1",
        "name/ 1",
        "name/1.0",
        "name/٣",
        "name/²",
        "name/01",
        "name/00",
        f"name/{LONG}",
        f"name/{2**63}",
        "/",
        "",
    ],
    ids=lambda key: f"{key[:12]!a} {len(key)}",
)
def test_a_key_of_another_program_is_ignored(key: str) -> None:
    document = Document(1)
    document.map(ROOT).set(key, "[5,1]")
    assert len(cells_of(document, ROOT)) == 0
    _write(document, "name", "ours", 1)
    document.map(ROOT).set(key, "[6,1]")
    assert cells_of(document, ROOT).siblings("name") == [Cell(1, 1, "ours")]


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        True,
        b"[5,1]",
        ["x"],
        {"k": 1},
        "",
        "not json",
        "5",
        "{}",
        '{"a":1,"b":2}',
        "[]",
        "[5]",
        "[5,1,2]",
        "[5.0,1]",
        "[true,1]",
        "[null,1]",
        '["5",1]',
        "[-1,1]",
        f"[{MAX_STAMP + 1},1]",
        f"[{LONG},1]",
        '[5,{"$new":1}]',
        '[5,{"$decimal":"NaN"}]',
        f"[5,{'[' * 1000}{']' * 1000}]",
        f"[5,{'[' * 100_000}]",
    ],
    ids=lambda value: f"{value!r:.12} {len(repr(value))}",
)
def test_an_entry_of_another_program_is_ignored_and_may_be_written_over(value: Any) -> None:
    document = Document(1)
    document.map(ROOT).set("name/1", value)
    cells = cells_of(document, ROOT)
    assert len(cells) == 0
    _write(document, "name", "ours", 1)
    assert cells.siblings("name") == [Cell(1, 1, "ours")]
    # What was a cell is none any more.
    document.map(ROOT).set("name/1", value)
    assert "name" not in cells
    assert cells.newest("name") is None


def test_the_ends_of_the_layout_are_cells() -> None:
    document = Document(1)
    entries = {"a/0": "[0,1]", "b/9007199254740991": f"[{MAX_STAMP},2]", "/5": "[1,3]"}
    for key, value in entries.items():
        document.map(ROOT).set(key, value)
    cells = cells_of(document, ROOT)
    assert cells.siblings("a") == [Cell(0, 0, 1)]
    assert cells.siblings("b") == [Cell(MAX_STAMP, 2**53 - 1, 2)]
    assert cells.siblings("") == [Cell(1, 5, 3)]
