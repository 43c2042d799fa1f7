"""What a replica has of a document that its relay may not have."""

from __future__ import annotations

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.protocol.batches import pack
from syncline.engine.protocol.messages import Entry
from syncline.engine.updates.parse import encode_state_vector
from syncline.replica.local.forks import Edits, Outdated, unacknowledged
from syncline.stores import DocumentWrite, MemoryStore, OutboxBatch, Write

PAGE = Address("pages", "a")
OURS, THEIRS = 2**40, 2**41


class Device:
    """A store whose log and outbox are written by hand, batch by batch."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.open()
        self.ours, self.theirs = Document(OURS), Document(THEIRS)
        self.batches = 0

    def they_type(self, text: str) -> bytes:
        self.theirs.text("body").insert(0, text)
        (update,) = self.theirs.take_captured()
        self.ours.apply(update)
        self.log(update)
        return update

    def we_type(self, text: str) -> None:
        self.ours.text("body").insert(0, text)
        self.keep(*self.ours.take_captured())

    def we_delete(self) -> None:
        self.ours.text("body").delete(0, 1)
        self.keep(*self.ours.take_captured())

    def keep(self, update: bytes) -> None:
        """Log our own change, and put it into the outbox."""
        self.log(update)
        self.offer(update)

    def offer(self, update: bytes) -> None:
        self.batches += 1
        (batch,) = pack([Entry(PAGE, update)], self.batches)
        self.store.write([Write("w", outbox=(OutboxBatch(batch.number, batch.payload),))])

    def log(self, update: bytes) -> None:
        state = encode_state_vector(self.ours.state_vector())
        self.store.write([Write("w", (DocumentWrite(PAGE, (update,), state),))])

    def edits(self, outdated: Outdated | None = None, authors: tuple[int, ...] = (OURS,)) -> Edits:
        found = unacknowledged(self.store, "w", PAGE, 0, outdated or {}, authors)
        assert found is not None
        return found


def body(document: Document) -> str:
    return document.text("body").content()


def test_without_a_batch_that_waits_there_is_none() -> None:
    device = Device()
    assert unacknowledged(device.store, "w", PAGE, 0, {}, (OURS,)) is None
    device.they_type("theirs")
    assert unacknowledged(device.store, "w", PAGE, 0, {}, (OURS,)) is None


def test_the_base_is_the_log_without_what_waits() -> None:
    device = Device()
    device.they_type("one ")
    device.we_type("ours ")
    device.we_delete()  # a deletion alone, which has no clock
    device.they_type("two ")
    edits = device.edits()
    assert body(edits.base) == body(device.theirs) == "two one "
    assert body(edits.edited) == body(device.ours)


def test_what_was_answered_and_not_refused_is_in_the_new_history() -> None:
    device = Device()
    device.we_type("first ")
    device.we_type("second ")
    assert body(device.edits().base) == ""
    assert body(device.edits({1: frozenset()}).base) == "first "
    # Refused because the document was rebuilt: to be made again. So is what depends on it.
    refused = device.edits({1: frozenset({PAGE}), 2: frozenset()})
    assert body(refused.base) == ""


def test_what_others_wrote_is_theirs_to_make_again() -> None:
    device = Device()
    device.offer(device.they_type("a seed"))  # which this replica passes on too
    assert unacknowledged(device.store, "w", PAGE, 0, {}, (OURS,)) is None
    device.we_type("ours ")
    assert body(device.edits().base) == "a seed"
    # Of the store that this one was copied from, it is ours.
    assert body(device.edits(authors=(OURS, THEIRS)).base) == ""
