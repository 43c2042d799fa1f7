"""What ``compact`` must do in every store: subclass ``CompactionContract`` as ``StoreContract``.

A store does not look into updates, so here an update is a list of tokens, ``b"1 2"``, and a
document is the set of all tokens in its log: merging is union, which is idempotent as merging
updates is.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from syncline.engine.errors import StoreError
from syncline.engine.names import Address
from syncline.stores.base import (
    DocumentInfo,
    DocumentWrite,
    LogPage,
    LogSize,
    Store,
    StoredDocument,
    StoredUpdate,
    Write,
)

from .store_case import ALL, A, B, StoreCase


def add(store: Store, address: Address, *updates: bytes, workspace: str = "w") -> int:
    """Write updates to one document; returns the head."""
    return store.write([Write(workspace, (DocumentWrite(address, updates, b"vector"),))])[-1]


def loaded(store: Store, address: Address) -> StoredDocument:
    found = store.load("w", address)
    assert found is not None
    return found


def merged(document: StoredDocument) -> bytes:
    """The snapshot of a document of tokens."""
    return b" ".join(sorted({token for data in document.updates for token in data.split()}))


class Reader:
    """A replica of the workspace ``w`` that reads its log in pages."""

    def __init__(self, cursor: int = 0) -> None:
        self.cursor = cursor
        self.content: dict[Address, set[bytes]] = {}

    def step(self, store: Store, rows: int) -> bool:
        """Read one page of at most so many rows; returns whether there was anything left."""
        page = store.since("w", self.cursor, max_bytes=ALL, max_updates=rows)
        assert len(page.updates) <= rows
        assert page.cursor == page.head or len(page.updates) == rows
        for update in page.updates:
            assert self.cursor < update.seq <= page.cursor
            self.content.setdefault(update.address, set()).update(update.data.split())
        self.cursor = page.cursor
        return bool(page.updates)

    def read_on(self, store: Store, rows: int = 3) -> Reader:
        while self.step(store, rows):
            pass
        assert self.cursor == store.head("w")
        return self


class CompactionContract(StoreCase):
    """The contract of ``Store.compact`` and of reading a log that has holes, as tests."""

    def test_a_snapshot_takes_the_place_of_what_it_was_made_from(self, store: Store) -> None:
        add(store, A, b"1", b"2")
        add(store, B, b"x")
        add(store, A, b"33")
        assert store.log_size("w", A) == LogSize(3, 4, 1)
        assert store.compact("w", loaded(store, A), b"snapshot")
        assert loaded(store, A) == StoredDocument(A, (b"snapshot",), b"vector", None, 4)
        assert loaded(store, B) == StoredDocument(B, (b"x",), b"vector", None, 3)
        assert list(store.documents("w")) == [
            DocumentInfo(A, None, 4, 1, 8),
            DocumentInfo(B, None, 3, 1, 1),
        ]
        assert store.log_size("w", A) == LogSize(1, 8, 8)
        assert store.head("w") == 4
        assert store.since("w", 0, max_bytes=ALL, max_updates=9) == LogPage(
            (StoredUpdate(3, B, b"x"), StoredUpdate(4, A, b"snapshot")), 4, 4
        )
        assert add(store, A, b"4") == 5
        assert loaded(store, A).updates == (b"snapshot", b"4")
        assert store.log_size("w", A) == LogSize(2, 9, 8)

    def test_what_came_after_the_load_stays(self, store: Store) -> None:
        add(store, A, b"1", b"2")
        before = loaded(store, A)
        add(store, A, b"3")
        assert store.compact("w", before, b"1 2")
        assert loaded(store, A) == StoredDocument(A, (b"1 2", b"3"), b"vector", None, 3)
        assert store.log_size("w", A) == LogSize(2, 4, 3)

    def test_a_log_that_has_changed_is_left_alone(self, store: Store) -> None:
        add(store, A, b"1", b"2", b"3")
        add(store, B, b"1", b"2", b"3")
        before = loaded(store, A)
        assert store.compact("w", before, b"first")
        after = loaded(store, A)
        for outdated in (
            before,
            StoredDocument(A, (b"first", b"first"), b"", None, 3),
            StoredDocument(A, (b"first",), b"", None, 2),
            StoredDocument(A, (b"first",), b"", None, 4),
            StoredDocument(A, (), b"", None, 0),
            StoredDocument(Address("pages", "none"), (b"first",), b"", None, 3),
        ):
            assert not store.compact("w", outdated, b"second")
        assert not store.compact("v", after, b"second")
        assert loaded(store, A) == after
        assert loaded(store, B).updates == (b"1", b"2", b"3")

    def test_one_workspace_is_compacted(self, store: Store) -> None:
        for name in ("v", "w"):
            add(store, A, b"1", b"2", workspace=name)
        assert store.compact("w", loaded(store, A), b"1 2")
        other = store.load("v", A)
        assert other is not None
        assert other.updates == (b"1", b"2")

    def test_pages_of_a_log_with_holes(self, store: Store) -> None:
        for number in range(20):
            add(store, A, b"a%d" % number)
            add(store, B, b"b%d" % number)
        assert store.compact("w", loaded(store, A), b"A")
        pages: list[list[int]] = []
        reader = 0
        while (
            page := store.since("w", reader, max_bytes=ALL, max_updates=8)
        ).cursor < page.head or page.updates:
            pages.append([update.seq for update in page.updates])
            reader = page.cursor
        assert pages == [[*range(2, 17, 2)], [*range(18, 33, 2)], [34, 36, 38, 39, 40]]
        assert store.compact("w", loaded(store, B), b"B")
        assert store.since("w", 0, max_bytes=ALL, max_updates=1) == LogPage(
            (StoredUpdate(39, A, b"A"),), 39, 40
        )
        assert store.since("w", 39, max_bytes=ALL, max_updates=1) == LogPage(
            (StoredUpdate(40, B, b"B"),), 40, 40
        )

    @pytest.mark.parametrize("seed", range(20))
    def test_readers_at_every_cursor_end_with_the_same_content(
        self, store: Store, seed: int
    ) -> None:
        rng = random.Random(seed)
        addresses = [Address("c", str(number)) for number in range(4)]
        readers: list[Reader] = []
        for number in range(120):
            add(store, rng.choice(addresses), *(b"%d.%d" % (number, n) for n in range(2)))
            # One begins here; others go on a little, or rest where they are.
            readers.append(Reader())
            for reader in rng.sample(readers, min(5, len(readers))):
                reader.step(store, rng.randint(1, 9))
            if rng.random() < 0.2:
                self._compact(store, rng.choice(addresses), rng)
        expected = Reader().read_on(store).content
        assert sum(map(len, expected.values())) == 240
        for reader in readers:
            assert reader.read_on(store, rng.randint(1, 9)).content == expected
        for address in addresses:
            document = loaded(store, address)
            assert {token for data in document.updates for token in data.split()} == expected[
                address
            ]

    @staticmethod
    def _compact(store: Store, address: Address, rng: random.Random) -> None:
        document = store.load("w", address)
        if document is None:
            return
        for _ in range(rng.randrange(3)):  # while the snapshot is being made
            add(store, address)
        assert store.compact("w", document, merged(document))

    def test_it_is_there_after_opening_again(self, store: Store, place: Path) -> None:
        add(store, A, b"1", b"2")
        assert store.compact("w", loaded(store, A), b"1 2")
        store.close()
        again = self.make_store(place)
        again.open()
        try:
            assert loaded(again, A) == StoredDocument(A, (b"1 2",), b"vector", None, 2)
            assert add(again, A, b"3") == 3
            assert Reader().read_on(again).content == {A: {b"1", b"2", b"3"}}
        finally:
            again.close()

    def test_a_store_that_is_not_open_says_so(self, place: Path) -> None:
        store = self.make_store(place)
        with pytest.raises(StoreError, match="is not open"):
            store.compact("w", StoredDocument(A, (b"1",), b"", None, 1), b"1")
        with pytest.raises(StoreError, match="is not open"):
            store.log_size("w", A)
