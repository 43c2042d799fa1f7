"""Rebuilding: a fresh history that reads as the old one did."""

from __future__ import annotations

from random import Random
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.document.document import EMPTY_UPDATE, Document, merge_updates
from syncline.engine.errors import DocumentBroken
from syncline.engine.history.history import History
from syncline.engine.history.rebuild import begins, rebuild
from syncline.engine.records.liveness import is_live
from syncline.engine.records.schema import LIVE, REGISTERS
from syncline.engine.updates.parse import parse_update
from tests.engine.devices import Device, exchange
from tests.engine.records import delete_record, seen_by_deletions, set_live
from tests.engine.test_convergence import STEPS, Operation
from tests.engine.writers import Writer, history
from tests.profiles import scaled

FRESH = 2**40 + 7


def _rebuilt(document: Document) -> Document:
    update = rebuild(document, FRESH)
    info = parse_update(update)
    assert not info.needs
    assert not info.deletes
    assert set(info.ranges) <= {FRESH}
    return Document(1, [update])


@settings(max_examples=scaled(100), deadline=None)
@given(steps=STEPS)
def test_a_rebuilt_record_has_the_same_cells_and_content(
    steps: list[tuple[int, Operation | None, int, int]],
) -> None:
    devices = [Device(2**40 + number) for number in range(3)]
    set_live(devices[0], True, "delete-wins")
    for who, operation, place, what in steps:
        devices[who].now += what
        if operation is None:
            exchange(*devices)
        else:
            operation(devices[who], place, what)
    exchange(*devices)
    device = devices[0]
    before = device.document().diff({})

    rebuilt = _rebuilt(device.document())
    assert rebuilt.to_dict() == device.document().to_dict()
    reader = Device(5)
    reader.receive([rebuilt.diff({})])
    assert reader.content() == device.content()
    assert is_live(rebuilt)
    assert device.document().diff({}) == before


@settings(max_examples=scaled(100), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_rebuilt_document_shows_the_same_in_an_editor(seed: int) -> None:
    group = history(Random(seed), writers=4, edits=60)
    for writer in group[1:]:
        group[0].learn_from(writer)
    rebuilt = Writer(9)
    rebuilt.apply(rebuild(Document(1, [group[0].update_since()]), FRESH))
    assert rebuilt.content() == group[0].content()  # formatting, embeds, nested types and XML too


def test_an_empty_document_stays_empty_and_has_a_beginning() -> None:
    empty = rebuild(Document(1), FRESH)
    assert Document(1, [empty]).to_dict() == {}
    assert begins(parse_update(empty), FRESH)
    device = Device(2)
    device.text.append("gone")
    device.set.add("gone")
    device.text.delete(0, 4)
    device.set.discard("gone")
    assert rebuild(device.document(), FRESH) == empty
    assert rebuild(Document(1, [empty]), FRESH) == empty


def test_churn_is_gone() -> None:
    devices = [Device(2**40 + number) for number in range(4)]
    for turn in range(200):
        device = devices[turn % 4]
        device.map[f"key {turn % 8}"] = turn
        device.text.insert(len(device.text) // 2, "é😀"[turn % 2])
        if turn % 3 == 0:
            device.text.delete(0, 1)
        exchange(*devices)
    before = devices[0].document().diff({})
    update = rebuild(devices[0].document(), FRESH)
    assert parse_update(update).structs == 9  # the text and eight keys
    assert len(update) < len(before) / 4
    assert Document(1, [update]).to_dict() == devices[0].document().to_dict()


def test_types_in_types_and_subdocuments_are_kept() -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=3)
    array: pycrdt.Array[Any] = doc.get("array", type=pycrdt.Array)
    array.append(pycrdt.Map({"deep": pycrdt.Array([pycrdt.Text("x"), {"k": [1, None, b"b"]}])}))
    array.append(pycrdt.Doc())
    array.append(2.5)
    root: pycrdt.Map[Any] = doc.get("", type=pycrdt.Map)
    root["😀"] = -(2**52)
    document = Document(1, [doc.get_update()])
    assert _rebuilt(document).to_dict() == document.to_dict()
    kinds = [item.kind for item in History(rebuild(document, FRESH)).roots["array"].items()]
    assert kinds == [7, 9, 8]


def test_the_rebuilt_document_goes_on() -> None:
    device = Device(2**40)
    device.text.append("one ")
    device.list.append(1)
    rebuilt = Device(2**40, now=2_000)  # the same client id in another history
    rebuilt.receive([rebuild(device.document(), FRESH)])
    rebuilt.text.append("two")
    rebuilt.list.append(2)
    other = Device(6)
    other.receive([rebuild(device.document(), FRESH), *rebuilt.written()])
    assert other.content() == rebuilt.content()
    assert other.text == "one two"
    assert other.list == [1, 2]


@pytest.mark.parametrize("edited", [False, True], ids=["deleted", "kept by an edit"])
def test_a_deletion_under_keep_edit_is_translated(edited: bool) -> None:
    ada, bob = Device(2**40 + 1), Device(2**40 + 2)
    set_live(ada, True, "keep-edit")
    exchange(ada, bob)
    delete_record(ada)
    if edited:
        bob.text.append("kept")
    exchange(ada, bob)
    rebuilt = Device(2**40 + 2)
    rebuilt.receive([rebuild(ada.document(), FRESH)])
    assert is_live(ada.document()) is is_live(rebuilt.document()) is edited
    # Client ids may go on in the new history: what an old deletion saw of them says nothing there.
    assert seen_by_deletions(rebuilt) == ([] if edited else [[FRESH, 1]])
    rebuilt.counter += 1
    assert is_live(rebuilt.document())


def test_concurrent_deletions_are_translated_together() -> None:
    ada, bob = Device(2**40 + 1), Device(2**40 + 2)
    set_live(ada, True, "keep-edit")
    exchange(ada, bob)
    ada.text.append("a")
    bob.text.append("b")
    delete_record(ada)
    delete_record(bob)
    exchange(ada, bob)
    assert not is_live(ada.document())
    assert not is_live(_rebuilt(ada.document()))


def test_a_root_named_like_the_registers_may_be_a_text() -> None:
    text = Document(1)
    text.text(REGISTERS).insert(0, LIVE)
    assert _rebuilt(text).to_dict() == text.to_dict() == {REGISTERS: LIVE}


SMILE = bytes.fromhex("01010100040104746578 7404f09f988000")  # by client 1, two UTF-16 units
CUTS = {
    "an insertion": bytes.fromhex("01010200c40100010101 7800"),
    "a deletion": bytes.fromhex("000101010001"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_character_cut_in_two_is_refused(cut: bytes) -> None:
    document = Document(9, [SMILE])
    parse_update(cut)
    document.apply(cut)
    before = document.to_dict()
    with pytest.raises(DocumentBroken) as refused:
        rebuild(document, FRESH)
    assert refused.value.message == (
        "The history of this document cannot be read: operations are missing, or a character was "
        "cut in two."
    )
    assert refused.value.hint == (
        "It stays as it is, and can be used. Please report it with the document's updates."
    )
    assert document.to_dict() == before


@pytest.mark.slow
def test_a_long_text_is_rebuilt_as_one_piece() -> None:
    device, other = Device(2), Device(3)
    device.text.append("héllo 😀 " * 25_000)
    exchange(device, other)
    for place in range(0, 200_000, 1000):
        other.text.insert(place, "x")
        device.text.delete(place, 1)
    exchange(device, other)
    update = rebuild(device.document(), FRESH)
    assert parse_update(update).structs == 1
    assert Document(1, [update]).text("text:text").content() == device.text.to_plain()


def test_an_incomplete_document_has_no_history() -> None:
    device = Device(2)
    device.text.append("a")
    device.text.insert(0, "b")
    with pytest.raises(DocumentBroken, match="cannot be read"):
        History(device.written()[1])
    assert History(merge_updates(device.written())).roots == {}


def test_only_the_rebuilt_document_begins_its_epoch() -> None:
    document = Document(2**40)
    document.text("body").insert(0, "abc")
    beginning = rebuild(document, FRESH)
    follower = Document(2**41, [beginning])
    follower.text("other").insert(0, "x")  # needs nothing of what was there
    (part,) = follower.take_captured()
    assert begins(parse_update(beginning), FRESH)
    assert begins(parse_update(follower.diff({})), FRESH)
    assert not parse_update(part).needs
    assert not begins(parse_update(part), FRESH)
    assert not begins(parse_update(beginning), FRESH + 1)
    assert not begins(parse_update(EMPTY_UPDATE), FRESH)
