"""Batches: which changes travel together, in which order, within which bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.protocol import batches as packing
from syncline.engine.protocol.batches import (
    MAX_BATCH_BYTES,
    MAX_BATCH_ENTRIES,
    Batch,
    merge_runs,
    pack,
)
from syncline.engine.protocol.codec import decode
from syncline.engine.protocol.messages import MAX_PUSH_ENTRIES, Entry, Push

FIRST = Address("notes", "first")
SECOND = Address("notes", "second")


def _updates(*lengths: int) -> list[bytes]:
    """Updates of one document that each append a text of that length, in causal order."""
    document = Document(2**40)
    for length in lengths:
        document.text("text").insert(len(document.text("text").content()), "x" * length)
    return document.take_captured()


def _packed(changes: list[tuple[Address, list[bytes]]], first: int) -> list[Batch]:
    entries = [
        Entry(address, update, 7) for address, updates in changes for update in merge_runs(updates)
    ]
    return pack(entries, first)


def _pushed(batches: list[Batch]) -> list[Push]:
    pushes: list[Push] = []
    for batch in batches:
        push = decode(batch.payload)
        assert isinstance(push, Push)
        assert push.batch == batch.number
        pushes.append(push)
    return pushes


def _text(entries: list[Entry], address: Address) -> str:
    document = Document(1, [entry.update for entry in entries if entry.address == address])
    return document.text("text").content()


def test_nothing_makes_no_batch() -> None:
    assert pack([], 1) == []


def test_documents_travel_together_each_merged_into_one_update() -> None:
    (batch,) = _packed([(FIRST, _updates(3, 4)), (SECOND, _updates(5))], 7)
    assert batch.number == 7
    (push,) = _pushed([batch])
    assert [entry.address for entry in push.entries] == [FIRST, SECOND]
    assert _text(list(push.entries), FIRST) == "x" * 7
    assert push.entries[1] == (SECOND, _updates(5)[0], 7)


def test_one_packing_is_always_the_same_bytes() -> None:
    # A batch is sent again as it is, and the relay compares a digest.
    assert _packed([(FIRST, _updates(3, 4))], 1) == _packed([(FIRST, _updates(3, 4))], 1)


def test_a_batch_holds_500_documents() -> None:
    (update,) = _updates(1)
    changes = [(Address("notes", str(number)), [update]) for number in range(1001)]
    pushes = _pushed(_packed(changes, 3))
    assert [push.batch for push in pushes] == [3, 4, 5]
    assert [len(push.entries) for push in pushes] == [500, 500, 1]
    assert MAX_BATCH_ENTRIES == 500 <= MAX_PUSH_ENTRIES
    assert [entry.address for push in pushes for entry in push.entries] == [
        address for address, _ in changes
    ]


def test_a_batch_holds_one_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_BATCH_BYTES == 1 << 20
    (update,) = _updates(100)
    changes = [(Address("notes", str(number)), [update]) for number in range(5)]
    monkeypatch.setattr(packing, "MAX_BATCH_BYTES", 2 * len(update))
    assert [len(push.entries) for push in _pushed(_packed(changes, 1))] == [2, 2, 1]
    monkeypatch.setattr(packing, "MAX_BATCH_BYTES", 2 * len(update) - 1)
    assert [len(push.entries) for push in _pushed(_packed(changes, 1))] == [1, 1, 1, 1, 1]


def test_one_larger_update_stands_alone() -> None:
    large = MAX_BATCH_BYTES + 1
    pushes = _pushed(_packed([(FIRST, _updates(1)), (SECOND, _updates(5, large, 6))], 1))
    assert [[entry.address for entry in push.entries] for push in pushes] == [
        [FIRST, SECOND],
        [SECOND],
        [SECOND],
    ]
    sizes = [sum(len(entry.update) for entry in push.entries) for push in pushes]
    assert sizes[0] < 200
    assert MAX_BATCH_BYTES < sizes[1] < MAX_BATCH_BYTES + 200
    assert sizes[2] < 100
    entries = [entry for push in pushes for entry in push.entries]
    assert _text(entries, SECOND) == "x" * (large + 11)


@pytest.mark.slow
def test_updates_of_one_document_are_merged_up_to_a_batch() -> None:
    # 40 x 64 kB of one document: not one update of 2.5 MB, and not 40 entries.
    pushes = _pushed(_packed([(FIRST, _updates(*[1 << 16] * 40))], 1))
    assert len(pushes) == 3
    for push in pushes:
        assert [entry.address for entry in push.entries] == [FIRST]
        assert sum(len(entry.update) for entry in push.entries) <= MAX_BATCH_BYTES
    entries = [entry for push in pushes for entry in push.entries]
    assert _text(entries, FIRST) == "x" * (40 << 16)


def test_a_document_without_updates_stays_at_home() -> None:
    (push,) = _pushed(_packed([(FIRST, []), (SECOND, _updates(1))], 1))
    assert [entry.address for entry in push.entries] == [SECOND]
    assert _packed([(FIRST, [])], 1) == []


@given(
    lengths=st.lists(st.lists(st.integers(1, 200), min_size=1, max_size=6), max_size=8),
    first=st.integers(1, 2**40),
    max_bytes=st.integers(50, 600),
    max_entries=st.integers(1, 4),
)
def test_any_packing_keeps_every_change_in_order_and_the_bounds(
    lengths: list[list[int]], first: int, max_bytes: int, max_entries: int
) -> None:
    changes = [
        (Address("notes", str(number)), _updates(*each)) for number, each in enumerate(lengths)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "MAX_BATCH_BYTES", max_bytes)
        patch.setattr(packing, "MAX_BATCH_ENTRIES", max_entries)
        batches = _packed(changes, first)
    assert [batch.number for batch in batches] == list(range(first, first + len(batches)))
    pushes = _pushed(batches)
    for push in pushes:
        assert 1 <= len(push.entries) <= max_entries
        size = sum(len(entry.update) for entry in push.entries)
        assert size <= max_bytes or len(push.entries) == 1
    entries = [entry for push in pushes for entry in push.entries]
    for number, each in enumerate(lengths):
        assert _text(entries, Address("notes", str(number))) == "x" * sum(each)
