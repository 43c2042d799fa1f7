"""A snapshot holds all that the log holds, or it is not made."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest

from syncline.engine.document.document import Document
from syncline.engine.errors import SnapshotRefused
from syncline.engine.history.snapshot import make_snapshot
from syncline.engine.updates.parse import encode_state_vector, parse_update
from syncline.upkeep.snapshots import SnapshotProcess


def typed(count: int, client_id: int = 2**33) -> Document:
    document = Document(client_id)
    for number in range(count):
        with document.transaction():
            document.text("body").insert(number, "x")
    return document


def state_of(document: Document) -> bytes:
    return encode_state_vector(document.state_vector())


def test_it_needs_nothing_and_brings_everything() -> None:
    document = typed(50)
    with document.transaction():
        document.text("body").delete(10, 20)
        document.map("cells").set("a", 1.0)
    updates = document.take_captured()
    snapshot = make_snapshot(updates, state_of(document))
    assert snapshot is not None
    assert len(snapshot) < sum(map(len, updates)) / 5
    assert parse_update(snapshot).needs == {}
    assert Document(1, [snapshot]).to_dict() == {"body": "x" * 30, "cells": {"a": 1.0}}


def test_formats_embeds_and_nested_types_stay() -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=5)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    text = doc.get("body", type=pycrdt.Text)
    for number in range(20):
        text.insert(number, "y", {"bold": True} if number % 3 else {"color": "red"})
    text.insert_embed(3, {"image": "a.png"})
    doc.get("tree", type=pycrdt.Map)["child"] = pycrdt.Map({"list": pycrdt.Array([1, "two"])})
    xml = doc.get("page", type=pycrdt.XmlFragment)
    xml.children.append(pycrdt.XmlElement("p", {"class": "lead"}, [pycrdt.XmlText("words")]))
    doc.unobserve(subscription)
    snapshot = make_snapshot(updates, doc.get_state())
    assert snapshot is not None
    copy = Document(1, [snapshot])
    assert copy.to_formatted() == Document(1, updates).to_formatted()
    body = copy.to_formatted()["body"]
    assert {"image": "a.png"} in [chunk for chunk, _ in body]
    assert copy.to_dict()["tree"] == {"child": {"list": [1.0, "two"]}}
    assert copy.to_dict()["page"] == ['<p class="lead">words</p>']


def test_formats_are_compared() -> None:
    """The comparison of a document with its copy sees more than the characters."""
    plain, bold = typed(3), typed(3)
    doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc(client_id=9)
    doc.apply_update(bold.diff({}))
    doc.get("body", type=pycrdt.Text).format(0, 2, {"bold": True})
    formatted = Document(1, [doc.get_update()])
    assert formatted.to_dict() == plain.to_dict()
    assert formatted.to_formatted() != plain.to_formatted()


@pytest.mark.parametrize("lost", [0, 1, 25, 49])
def test_a_gap_stops_it(lost: int) -> None:
    document = typed(50)
    updates = document.take_captured()
    del updates[lost]
    with pytest.raises(SnapshotRefused, match="some are missing"):
        make_snapshot(updates, state_of(document))


def test_what_is_not_smaller_is_not_made() -> None:
    document = typed(50)
    snapshot = make_snapshot(document.take_captured(), state_of(document))
    assert snapshot is not None
    assert make_snapshot([snapshot], state_of(document)) is None


def test_what_no_replica_would_take_is_not_made() -> None:
    document = Document(3)
    for number in range(20):
        with document.transaction():
            document.map("blobs").set(str(number), "z" * 900_000)
    with pytest.raises(SnapshotRefused, match="replicas would not take"):
        make_snapshot(document.take_captured(), state_of(document))


async def test_a_process_makes_the_same() -> None:
    document = typed(300)
    updates = tuple(document.take_captured())
    snapshots = SnapshotProcess()
    try:
        expected = make_snapshot(updates, state_of(document))
        assert expected is not None
        for _ in range(3):
            assert await snapshots.make(updates, state_of(document)) == expected
        assert await snapshots.make((expected,), state_of(document)) is None
        with pytest.raises(SnapshotRefused, match="some are missing"):
            await snapshots.make(updates[1:], state_of(document))
    finally:
        await snapshots.close()


# A list in a list in a list …: reading it overflows the stack, which ends the process.
DEADLY = bytes.fromhex("010107002801016d016b01") + b"\x75\x01" * 200_000 + b"\x7e\x00"


@pytest.mark.slow
async def test_a_document_that_kills_its_reader_kills_nobody_else() -> None:
    document = typed(300)
    updates = tuple(document.take_captured())
    snapshots = SnapshotProcess()
    try:
        with pytest.raises(SnapshotRefused, match="ended on it"):
            await snapshots.make((DEADLY,) * 3, encode_state_vector({7: 1}))
        assert await snapshots.make(updates, state_of(document))
    finally:
        await snapshots.close()


async def test_a_document_that_takes_for_ever_is_given_up() -> None:
    document = typed(300)
    snapshots = SnapshotProcess(patience=1e-6)
    with pytest.raises(SnapshotRefused, match="takes more than 1e-06 seconds"):
        await snapshots.make(tuple(document.take_captured()), state_of(document))
