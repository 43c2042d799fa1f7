"""The part of the store contract about epochs of documents, and logs with holes."""

from __future__ import annotations

import pytest

from syncline.engine.errors import StoreError
from syncline.engine.names import Address
from syncline.stores.base import (
    DocumentInfo,
    DocumentState,
    DocumentWrite,
    LogPage,
    Store,
    StoredDocument,
    StoredUpdate,
    Write,
)

from .store_case import ALL, A, B, C, StoreCase, change, log


class GenerationsContract(StoreCase):
    """Epochs, what a document has seen, and reading on where rows left the log."""

    def test_a_state_is_the_document_without_its_log(self, store: Store) -> None:
        assert store.state("w", A) is None
        store.write([Write("w", (change(A, b"1", b"2", live=False), change(B)))])
        assert store.state("w", A) == DocumentState(A, 0, b"after 1|2", False, 2, 2)
        assert store.state("w", B) == DocumentState(B, 0, b"after ", None, 0, 0)
        store.write([Write("w", (change(A, b"3", epoch=7),))])
        assert store.state("w", A) == DocumentState(A, 7, b"after 3", False, 3, 1)
        assert store.state("v", A) is None

    def test_states_come_by_address_between_two_of_them(self, store: Store) -> None:
        addresses = sorted(Address(name, key) for name in "abcd" for key in ("1", "2", "ä", "😀"))
        store.write([Write("w", tuple(change(address) for address in addresses))])
        bounds = [Address("", ""), *addresses, Address("b", "zzz"), Address("bb", ""), C]
        for after in bounds:
            for until in (None, *bounds):
                expected = [a for a in addresses if after < a and (until is None or a <= until)]
                for limit in (1, 5, 99):
                    found = store.states("w", after, until, limit)
                    assert [state.address for state in found] == expected[:limit], (after, until)
        assert store.states("w", addresses[0], addresses[1], 9) == [
            DocumentState(addresses[1], 0, b"after ", None, 0, 0)
        ]
        assert store.states("v", A, None, 9) == []

    def test_a_higher_epoch_begins_the_document_anew(self, store: Store) -> None:
        store.write([Write("w", (change(A, b"1", b"22", live=True), change(B, b"3")))])
        assert store.write([Write("w", (change(A, b"4", b"55", epoch=2),))]) == [5]
        assert store.load("w", A) == StoredDocument(A, (b"4", b"55"), b"after 4|55", True, 5, 2)
        assert list(store.documents("w")) == [
            DocumentInfo(A, True, 5, 2, 3, 2),
            DocumentInfo(B, None, 3, 1, 1, 0),
        ]
        assert log(store, "w") == [(3, B, b"3"), (4, A, b"4"), (5, A, b"55")]
        store.write([Write("w", (change(A, b"6", epoch=2),))])
        assert store.load("w", A) == StoredDocument(A, (b"4", b"55", b"6"), b"after 6", True, 6, 2)
        page = store.since("w", 2, max_bytes=ALL, max_updates=2)
        assert page == LogPage((StoredUpdate(3, B, b"3", 0), StoredUpdate(4, A, b"4", 2)), 4, 6)

    def test_a_new_epoch_needs_no_update(self, store: Store) -> None:
        store.write([Write("w", (change(A, b"1"),))])
        assert store.write([Write("w", (DocumentWrite(A, (), b"", epoch=1),))]) == [1]
        assert store.load("w", A) == StoredDocument(A, (), b"", None, 0, 1)
        assert store.since("w", 0, max_bytes=ALL, max_updates=9) == LogPage((), 1, 1)
        store.write([Write("w", (change(B, b"2", epoch=9),))])
        assert store.load("w", B) == StoredDocument(B, (b"2",), b"after 2", None, 2, 9)

    def test_epochs_may_change_within_one_call(self, store: Store) -> None:
        store.write([Write("w", (change(A, b"0"),))])
        writes = [Write("w", (change(A, b"%d" % n, epoch=n // 2),)) for n in range(1, 6)]
        writes.append(Write("w", (change(B, b"b"), change(B, b"c", epoch=1))))
        assert store.write(writes) == [2, 3, 4, 5, 6, 8]
        assert store.load("w", A) == StoredDocument(A, (b"4", b"5"), b"after 5", None, 6, 2)
        assert store.load("w", B) == StoredDocument(B, (b"c",), b"after c", None, 8, 1)
        assert log(store, "w") == [(5, A, b"4"), (6, A, b"5"), (8, B, b"c")]

    @pytest.mark.parametrize("fresh", [False, True], ids=["in another call", "in the same call"])
    def test_an_earlier_epoch_is_refused(self, store: Store, fresh: bool) -> None:
        store.write([Write("w", (change(A, b"1", epoch=2),))])
        late = Write("w", (change(B, b"3"), change(A, b"2", epoch=1)))
        renewed = [Write("w", (change(B, b"4", epoch=1),)), Write("w", (change(B, b"5"),))]
        with pytest.raises(StoreError, match=r"of epoch [01]; ") as caught:
            store.write(renewed if fresh else [late])
        assert "nothing of it was stored" in caught.value.message
        assert log(store, "w") == [(1, A, b"1")]
        assert store.state("w", B) is None
        assert store.write([Write("w", (change(A, b"2", epoch=2),))]) == [2]

    @pytest.mark.parametrize("limit", [1, 2, 3, 99])
    def test_since_reads_over_holes(self, store: Store, limit: int) -> None:
        for n in range(1, 13):
            store.write([Write("w", (change((A, B, C)[n % 3], b"%d" % n),))])
        store.write([Write("w", (change(A, b"13", epoch=1), change(B, b"14", epoch=1)))])
        store.write([Write("w", (DocumentWrite(B, (), b"", epoch=2),))])
        kept = [2, 5, 8, 11, 13]
        for start in range(16):
            seen: list[int] = []
            page = store.since("w", start, max_bytes=ALL, max_updates=limit)
            while page.updates:
                assert len(page.updates) <= limit
                assert page.head == 14
                seen += [update.seq for update in page.updates]
                last = seen[-1] == 13
                assert page.cursor == (14 if last else seen[-1])
                page = store.since("w", page.cursor, max_bytes=ALL, max_updates=limit)
            assert seen == [seq for seq in kept if seq > start]
            assert page == LogPage((), 14, 14)
