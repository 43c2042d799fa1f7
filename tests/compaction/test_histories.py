"""Random histories by several writers, compacted at random moments."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.document.document import Document
from syncline.engine.history.snapshot import make_snapshot
from syncline.engine.names import Address
from syncline.engine.updates.parse import covers, encode_state_vector, parse_update
from syncline.stores import DocumentWrite, MemoryStore, SqlStore, Write
from tests.profiles import scaled
from tests.replay.recordings import load, turns_of

PAGE = Address("pages", "one")


class Reader:
    """A replica that follows the log; it may apply only what its state covers."""

    def __init__(self, client_id: int) -> None:
        self.document = Document(client_id)
        self.cursor = 0
        self.received: list[bytes] = []

    def step(self, store: MemoryStore, rows: int) -> None:
        page = store.since("w", self.cursor, max_bytes=1 << 30, max_updates=rows)
        for update in page.updates:
            assert covers(self.document.state_vector(), parse_update(update.data).needs)
            self.document.apply(update.data)
        self.cursor = page.cursor

    def read_on(self, store: MemoryStore) -> None:
        while self.cursor < store.head("w"):
            self.step(store, 4)

    def edit(self, rng: random.Random) -> list[bytes]:
        text, cells = self.document.text("body"), self.document.map("cells")
        with self.document.transaction():
            content = text.content()
            match rng.randrange(3):
                case 0:
                    text.insert(rng.randint(0, len(content)), rng.choice(["a", "é", "😀 b"]))
                case 1 if content:
                    at = rng.randrange(len(content))
                    text.delete(at, min(rng.randint(1, 3), len(content) - at))
                case _:
                    cells.set(rng.choice("klm"), float(rng.randrange(100)))
        return self.document.take_captured()


@settings(max_examples=scaled(60), deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(20, 80))
def test_all_readers_end_with_what_a_log_without_compaction_says(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    store = MemoryStore()
    store.open()
    relay = Document(1)
    everything: list[bytes] = []
    readers = [Reader(2**33 + number) for number in range(4)]
    compactions = 0
    for _ in range(steps):
        reader = rng.choice(readers)
        match rng.randrange(4):
            case 0:
                reader.step(store, rng.randint(1, 5))
            case 1:
                compactions += compact(store)
            case _:
                updates = reader.edit(rng)
                for update in updates:
                    relay.apply(update)
                everything += updates
                vector = encode_state_vector(relay.state_vector())
                store.write([Write("w", (DocumentWrite(PAGE, tuple(updates), vector),))])
        if rng.random() < 0.05:
            readers.append(Reader(2**34 + len(readers)))
    expected = Document(1, everything)
    for reader in [*readers, Reader(7)]:
        reader.read_on(store)
        assert reader.document.state_vector() == expected.state_vector()
        assert reader.document.to_formatted() == expected.to_formatted()


def compact(store: MemoryStore | SqlStore) -> bool:
    stored = store.load("w", PAGE)
    if stored is None:
        return False
    snapshot = make_snapshot(stored.updates, stored.state_vector)
    return snapshot is not None and store.compact("w", stored, snapshot)


@pytest.mark.slow
def test_a_recorded_session_ends_the_same_when_compacted() -> None:
    recording = load("friendsforever")
    store = MemoryStore()
    store.open()
    authors = [Reader(2**33 + number) for number in range(2)]
    made: list[list[list[bytes]]] = [[], []]
    relay = Document(1)
    full = compactions = 0
    for number, turn in enumerate(turns_of(recording), 1):
        author, other = authors[turn.author], 1 - turn.author
        while len(author.received) < turn.seen[other]:
            updates = made[other][len(author.received)]
            author.received.append(b"")
            for update in updates:
                author.document.apply(update)
        text = author.document.text("body")
        for position, deleted, inserted in turn.patches:
            with author.document.transaction():
                text.delete(position, deleted)
                text.insert(position, inserted)
        updates = author.document.take_captured()
        made[turn.author].append(updates)
        for update in updates:
            relay.apply(update)
        full += sum(map(len, updates))
        vector = encode_state_vector(relay.state_vector())
        store.write([Write("w", (DocumentWrite(PAGE, tuple(updates), vector),))])
        if number % 500 == 0:
            compactions += compact(store)
    compactions += compact(store)
    assert compactions == 8
    stored = store.load("w", PAGE)
    assert stored is not None
    (snapshot,) = stored.updates
    assert len(snapshot) < full / 5
    reader = Reader(9)
    reader.read_on(store)
    assert reader.document.text("body").content().encode() == recording["endContent"].encode()
