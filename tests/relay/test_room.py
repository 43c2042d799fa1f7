"""What a room remembers for readers and for editors, and for how long."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.relay.log import room as room_module
from syncline.relay.log.committed import Committed, updates_frame
from syncline.relay.log.room import Room
from tests.relay.clients import Author

A, B = Address("pages", "a"), Address("pages", "b")


class Follower:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.changes = 0

    principal = "ada"

    def check_rights(self) -> None: ...

    def changed(self) -> None:
        self.changes += 1

    def presence_changed(self, ids: Iterable[int]) -> None: ...

    def recall(self, id_: int) -> None: ...

    def send_stateless(self, payload: str) -> None: ...


def commit(seq: int, *addresses: Address) -> Committed:
    update = Author(2**40 + seq).type("x" * 100)
    entries = tuple(Entry(address, update) for address in addresses)
    return Committed("crm", seq - 1, seq, entries, updates_frame(seq - 1, seq, entries), None)


def test_an_editor_hears_of_its_own_document_only() -> None:
    room, follower = Room("crm"), Follower()
    document = room.open(A, follower)
    room.publish(commit(1, B))
    room.publish(commit(2, A, B))
    assert (follower.changes, document.head) == (1, 1)
    change = document.after(0)
    assert change is not None
    assert change.entry.address == A


def test_what_is_too_old_for_the_room_is_too_old_for_its_documents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, follower = Room("crm"), Follower()
    room.publish(commit(1, A))  # before anybody had the document open
    document = room.open(A, follower)
    monkeypatch.setattr(room_module, "RECENT_BYTES", 2 * commit(2, A).memory)
    for seq in range(2, 7):
        room.publish(commit(seq, A))
    assert document.head == 5
    assert [document.after(position) is None for position in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert room.after(3) is None
    assert room.after(4) is not None


def test_a_commit_larger_than_the_memory_is_forgotten_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, follower = Room("crm"), Follower()
    document = room.open(A, follower)
    monkeypatch.setattr(room_module, "RECENT_BYTES", 0)
    for seq in range(1, 4):
        room.publish(commit(seq, A))
        assert document.after(seq - 1) is None
    assert (follower.changes, document.head) == (3, 3)


def test_a_document_is_open_while_somebody_has_it_open() -> None:
    room, one, two = Room("crm"), Follower(), Follower()
    document = room.open(A, one)
    assert room.open(A, two) is document
    room.close(document, one)
    assert room.open(A, one) is document
    room.close(document, one)
    room.close(document, two)
    assert room.empty
    assert room.open(A, one) is not document
