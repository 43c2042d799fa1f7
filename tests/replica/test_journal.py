"""What waits for the disk, and what a commit makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncline import Replica
from syncline.engine.document.document import Document
from syncline.engine.errors import LimitExceeded
from syncline.engine.names import Address
from syncline.engine.protocol.messages import LIMITS
from syncline.engine.records.projection import Rows
from syncline.replica.local import unsaved as unsaved_module
from syncline.replica.local.unsaved import Unsaved
from syncline.stores import MemoryStore

from .models import Contact

PAGE, OTHER = Address("pages", "a"), Address("pages", "b")


async def test_the_row_of_a_record_is_made_once_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    row = Rows.row

    def counted(self: Rows, document: Document) -> object:
        made.append("row")
        return row(self, document)

    monkeypatch.setattr(Rows, "row", counted)
    async with Replica.open(MemoryStore(), models=[Contact]) as replica:
        contacts = replica.collection(Contact)
        ada, bob = contacts.create(name="Ada"), contacts.create(name="Bob")
        for number in range(100):
            ada.phone = str(number)
        await replica.flushed()
        assert len(made) == 2
        bob.phone = "1"
        await replica.flushed()
        assert len(made) == 3


async def test_nothing_is_unsaved_after_a_commit() -> None:
    async with Replica.open(MemoryStore(), models=[Contact]) as replica:
        unsaved = replica._workspace.unsaved  # pyright: ignore[reportPrivateUsage]
        contacts = replica.collection(Contact)
        ada = contacts.create(name="Ada")
        ada.phone = "1"
        assert unsaved.size > 0
        assert unsaved.addresses() == {Address("contacts", ada.key)}
        await replica.flushed()
        assert (unsaved.size, unsaved.addresses()) == (0, set())


def test_what_a_commit_holds_leaves_and_the_rest_stays() -> None:
    unsaved = Unsaved()
    unsaved.add(PAGE, 0, [b"1", b"22"])
    unsaved.add(PAGE, 0, [b"333"])
    unsaved.add(OTHER, 0, [b"4444"])
    assert unsaved.size == 10
    unsaved.remove(PAGE, 0, 2)
    rest = unsaved.get(PAGE)
    assert rest is not None
    assert (rest.epoch, rest.updates, unsaved.size) == (0, [b"333"], 7)
    unsaved.remove(PAGE, 0, 1)
    assert (unsaved.get(PAGE), unsaved.size, unsaved.addresses()) == (None, 4, {OTHER})


def test_a_later_epoch_ends_what_was_unsaved() -> None:
    unsaved = Unsaved()
    unsaved.add(PAGE, 0, [b"old", b"older"])
    unsaved.add(PAGE, 1, [b"new"])
    assert unsaved.size == 3
    unsaved.remove(PAGE, 0, 2)  # the commit of the former epoch, under way meanwhile
    rest = unsaved.get(PAGE)
    assert rest is not None
    assert (rest.epoch, rest.updates, unsaved.size) == (1, [b"new"], 3)


async def test_more_than_may_be_unsaved_is_refused_before_anything_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unsaved_module, "MAX_UNSAVED_BYTES", 1 << 20)
    async with Replica.open(MemoryStore()) as replica:
        text = replica.document("pages/a").text("body")
        text.append("x" * (1 << 20))
        with pytest.raises(LimitExceeded, match=r"^1 MiB of local changes wait to be written"):
            text.append("y")
        assert str(text) == "x" * (1 << 20)
        await replica.flushed()
        text.append("y")
        await replica.flushed()


async def test_a_change_that_no_relay_would_take_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    smaller = replace(LIMITS, max_update=1000)
    monkeypatch.setattr("syncline.replica.local.transaction.LIMITS", smaller)
    async with Replica.open(MemoryStore()) as replica:
        text = replica.document(str(PAGE)).text("body")
        text.append("kept")
        with pytest.raises(
            LimitExceeded,
            match=r"^One change of pages/a makes 1,0\d\d bytes, and a relay takes at most 1,000",
        ):
            text.append("x" * 1000)
        assert str(text) == "kept"
