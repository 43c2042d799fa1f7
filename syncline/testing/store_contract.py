"""What every store must do: subclass ``StoreContract`` in a test module and pytest runs it:

    class TestMyStore(StoreContract):
        def make_store(self, place: Path) -> Store:
            return MyStore(place)

``pytest.register_assert_rewrite("syncline.testing")`` in a ``conftest.py`` makes
failures show their values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import ANY

import pytest

from syncline.engine.errors import StoreError
from syncline.engine.names import Address
from syncline.stores.base import (
    RECEIPTS_KEPT,
    DocumentInfo,
    DocumentWrite,
    LogPage,
    OutboxBatch,
    Receipt,
    RefusedUpdate,
    Store,
    StoredDocument,
    StoredUpdate,
    Write,
)

from .epoch_contract import GenerationsContract
from .store_case import ALL, A, B, C, change, log


class StoreContract(GenerationsContract):
    """The contract of syncline.stores.Store, as tests."""

    # Documents and the log

    def test_nothing_is_known_at_first(self, store: Store) -> None:
        assert store.load("w", A) is None
        assert list(store.documents("w")) == []
        assert store.since("w", 0, max_bytes=ALL, max_updates=9) == LogPage((), 0, 0)
        assert store.workspaces() == []
        assert store.head("w") == store.last_batch("w", "r") == store.outbox_count("w") == 0
        assert store.receipt("w", "r", 1) is None
        assert store.outbox("w", limit=9) == []
        assert store.refused("w") == []
        assert store.meta("w") == {}

    def test_a_document_is_what_was_written_to_it(self, store: Store) -> None:
        store.write([Write("w", (change(A, b"1", b"2"), change(B, b"3")))])
        store.write([Write("w", (change(A, b"4"),))])
        assert store.load("w", A) == StoredDocument(A, (b"1", b"2", b"4"), b"after 4", None, 4, 0)
        assert store.load("w", B) == StoredDocument(B, (b"3",), b"after 3", None, 3, 0)
        assert store.load("w", C) is None
        assert store.load("v", A) is None

    def test_one_call_may_touch_a_document_many_times(self, store: Store) -> None:
        writes = [Write("w", (change(A, b"%d" % n), change(B, b"x"))) for n in range(5)]
        assert store.write(writes) == [2, 4, 6, 8, 10]
        expected = StoredDocument(A, (b"0", b"1", b"2", b"3", b"4"), b"after 4", None, 9, 0)
        assert store.load("w", A) == expected

    def test_seqs_have_no_holes_in_any_workspace(self, store: Store) -> None:
        expected: dict[str, list[tuple[int, Address, bytes]]] = {"v": [], "w": [], "x": []}
        for turn in range(20):
            writes: list[Write] = []
            heads: list[int] = []
            for number, name in enumerate(("w", "v", "w", "x")):
                data = [b"%d.%d.%d" % (turn, number, n) for n in range((turn + number) % 4)]
                writes.append(Write(name, (change(A, *data), change(C, b"last"))))
                for address, item in [*((A, item) for item in data), (C, b"last")]:
                    expected[name].append((len(expected[name]) + 1, address, item))
                heads.append(len(expected[name]))
            assert store.write(writes) == heads
        for name, rows in expected.items():
            assert log(store, name) == rows

    def test_many_documents_are_read_in_one_call(self, store: Store) -> None:
        store.write([Write("w", (change(A, b"1"), change(B, b"2", live=True), change(C)))])
        store.write([Write("w", (change(A, b"3"),)), Write("v", (change(A, b"other"),))])
        missing = Address("pages", "missing")
        found = store.load_many("w", [missing, C, B, A])
        assert sorted(found, key=lambda each: each.address) == [
            store.load("w", address) for address in sorted([A, B, C])
        ]
        assert store.load_many("w", []) == store.load_many("nowhere", [A]) == []
        many = [Address("many", f"{number:03}") for number in range(300)]
        store.write([Write("w", tuple(change(each, each.key.encode(), b"!") for each in many))])
        logs = {each.address: each.updates for each in store.load_many("w", [*many, A])}
        assert logs == {A: (b"1", b"3"), **{each: (each.key.encode(), b"!") for each in many}}

    def test_a_write_without_updates_takes_no_seq(self, store: Store) -> None:
        assert store.write([]) == []
        assert store.write([Write("w")]) == [0]
        assert store.workspaces() == ["w"]
        assert store.write([Write("w", (change(A),))]) == [0]
        assert store.load("w", A) == StoredDocument(A, (), b"after ", None, 0, 0)
        store.write([Write("w", (change(A, b"1"),))])
        assert store.write([Write("w", (DocumentWrite(A, (), b"vector", live=True),))]) == [1]
        assert store.load("w", A) == StoredDocument(A, (b"1",), b"vector", True, 1, 0)

    def test_live_stays_until_it_is_said_anew(self, store: Store) -> None:
        seen: list[bool | None] = []
        for live in (None, True, None, False, None, True):
            store.write([Write("w", (change(A, b"1", live=live),))])
            seen.append(next(store.documents("w")).live)
        assert seen == [None, True, True, False, False, True]
        store.write([Write("w", (change(A, live=False), change(A, live=None)))])
        assert store.load("w", A) == StoredDocument(A, (b"1",) * 6, b"after ", False, 6, 0)

    def test_documents_come_in_the_order_of_their_addresses(self, store: Store) -> None:
        keys = ["b", "B", "a", "Z", "é", "ä", "名前", "😀", "\uff5e", "10", "9", "a b", "k" * 512]
        addresses = [Address(name, key) for name in ("pages", "notes", "a.b") for key in keys]
        for address in addresses:
            store.write([Write("w", (change(address, address.key.encode(), b"!"),))])
        found = list(store.documents("w"))
        assert [info.address for info in found] == sorted(addresses)
        assert {info.updates for info in found} == {2}
        assert all(info.size == len(info.address.key.encode()) + 1 for info in found)
        for address in addresses:
            assert store.load("w", address) == StoredDocument(
                address, (address.key.encode(), b"!"), ANY, None, ANY, 0
            )
        notes = [info.address for info in store.documents("w", "notes")]
        assert notes == sorted(address for address in addresses if address.collection == "notes")
        assert list(store.documents("w", "other")) == []

    def test_thousands_of_documents(self, store: Store) -> None:
        addresses = [Address(f"c{n % 3}", f"{n:05}") for n in range(3_000)]
        store.write([Write("w", tuple(change(address, b"1") for address in addresses))])
        store.write([Write("w", (change(address, b"22"),)) for address in addresses])
        found = list(store.documents("w"))
        assert [info.address for info in found] == sorted(addresses)
        assert found[0] == DocumentInfo(Address("c0", "00000"), None, 3_001, 2, 3, 0)
        assert len(list(store.documents("w", "c1"))) == 1_000

    def test_documents_may_be_written_while_they_are_listed(self, store: Store) -> None:
        store.write([Write("w", tuple(change(Address("c", str(n)), b"1") for n in range(9)))])
        for info in store.documents("w"):
            store.write([Write("w", (change(info.address, b"2"),))])
        assert [info.updates for info in store.documents("w")] == [2] * 9

    def test_any_bytes_come_back_as_they_were(self, store: Store) -> None:
        updates = (b"", bytes(range(256)), b"\x00", bytes(5 * 2**20))
        store.write([Write("w", (DocumentWrite(A, updates, bytes(70_000)),))])
        assert store.load("w", A) == StoredDocument(A, updates, bytes(70_000), None, 4, 0)
        assert [data for _, _, data in log(store, "w")] == list(updates)

    # Reading the log

    def test_since_stops_at_the_number_of_updates(self, store: Store) -> None:
        store.write([Write("w", (change(A, *(b"%d" % n for n in range(7))),))])
        seen: list[int] = []
        cursors: list[int] = []
        page = store.since("w", 0, max_bytes=ALL, max_updates=3)
        while page.updates:
            seen += [update.seq for update in page.updates]
            cursors.append(page.cursor)
            assert page.head == 7
            page = store.since("w", page.cursor, max_bytes=ALL, max_updates=3)
        assert seen == [1, 2, 3, 4, 5, 6, 7]
        assert cursors == [3, 6, 7]
        exact = store.since("w", 4, max_bytes=ALL, max_updates=3)
        assert (len(exact.updates), exact.cursor) == (3, 7)

    def test_since_stops_at_the_number_of_bytes(self, store: Store) -> None:
        store.write([Write("w", (change(A, b"12345", b"12345", b"1" * 99, b"1"),))])
        sizes: list[list[int]] = []
        page = store.since("w", 0, max_bytes=10, max_updates=9)
        while page.updates:
            sizes.append([len(update.data) for update in page.updates])
            page = store.since("w", page.cursor, max_bytes=10, max_updates=9)
        assert sizes == [[5, 5], [99], [1]]

    def test_since_names_the_document_and_reads_one_workspace(self, store: Store) -> None:
        store.write(
            [Write("w", (change(A, b"1"), change(C, b"2"))), Write("v", (change(B, b"3"),))]
        )
        rest = (StoredUpdate(2, C, b"2", 0),)
        for cursor, updates in ((1, rest), (2, ()), (99, ())):
            page = store.since("w", cursor, max_bytes=ALL, max_updates=9)
            assert page == LogPage(updates, 2, 2)

    # All or nothing

    @pytest.mark.parametrize(
        "bad",
        [
            [Write("v", receipt=Receipt("r", 1, b"other"))],
            [Write("v", receipt=Receipt("s", 1, b"")), Write("v", receipt=Receipt("s", 1, b""))],
            [Write("v", outbox=(OutboxBatch(1, b"other"),))],
            [Write("v", outbox=(OutboxBatch(2, b"same"), OutboxBatch(2, b"same")))],
        ],
        ids=["receipt", "receipt twice", "outbox", "outbox twice"],
    )
    def test_a_write_that_fails_leaves_no_trace(self, store: Store, bad: list[Write]) -> None:
        change_a = change(A, b"1", live=True)
        store.write([Write("v", (change_a,), Receipt("r", 1, b"d"), (OutboxBatch(1, b"o"),))])
        before = _everything(store)
        good = _full("w")
        again = Write("v", (change(A, b"4"), change(C, b"5")), acknowledged=1, meta={"a": "b"})
        renewed = Write("v", outbox=(OutboxBatch(1, b"o"),))  # acknowledged just before
        with pytest.raises(StoreError, match="nothing of it was stored"):
            store.write([good, again, renewed, *bad])
        assert _everything(store) == before
        # Row ids and seqs that were given out in vain are given out again.
        assert store.write([good, again]) == [2, 3]
        assert log(store, "v") == [(1, A, b"1"), (2, A, b"4"), (3, C, b"5")]

    # Receipts, outbox, refused, meta

    def test_a_receipt_tells_the_seq_of_its_batch(self, store: Store) -> None:
        store.write([Write("w", (change(A, b"1"),))])
        one, two = Receipt("r", 1, b"\x00one", refused=b'[{"code":1}]'), Receipt("r", 2, b"two")
        three = Receipt("r", 2**53 - 1, b"three")
        store.write([Write("w", (change(A, b"2", b"3"),), receipt=one), Write("w", receipt=two)])
        store.write([Write("v", (change(A, b"1"),), receipt=three)])
        assert store.receipt("w", "r", 1) == Receipt("r", 1, b"\x00one", 3, b'[{"code":1}]')
        assert store.receipt("w", "r", 2) == Receipt("r", 2, b"two", 3, b"[]")
        assert store.receipt("w", "s", 1) is None
        assert store.last_batch("w", "r") == 2
        assert store.last_batch("v", "r") == 2**53 - 1
        assert store.last_batch("w", "s") == 0

    def test_the_newest_receipts_are_kept(self, store: Store) -> None:
        last = RECEIPTS_KEPT + 10
        for start in range(0, last, 100):
            batches = range(start + 1, min(start + 100, last) + 1)
            store.write([Write("w", receipt=Receipt("r", n, b"%d" % n)) for n in batches])
        store.write(
            [Write("w", receipt=Receipt("s", 1, b"")), Write("v", receipt=Receipt("r", 1, b""))]
        )
        kept = [n for n in range(1, last + 1) if store.receipt("w", "r", n) is not None]
        assert kept == list(range(11, last + 1))
        assert store.last_batch("w", "r") == last
        assert None not in (store.receipt("w", "s", 1), store.receipt("v", "r", 1))

    def test_the_outbox_keeps_batches_until_each_is_acknowledged(self, store: Store) -> None:
        numbers = (3, 1, 10, 2)
        store.write([Write("w", outbox=tuple(OutboxBatch(n, b"%d" % n) for n in numbers))])
        store.write([Write("v", outbox=(OutboxBatch(1, b"v"),))])
        assert [batch.number for batch in store.outbox("w", limit=9)] == [1, 2, 3, 10]
        assert store.outbox("w", after=1, limit=2) == [OutboxBatch(2, b"2"), OutboxBatch(3, b"3")]
        store.write([Write("w", acknowledged=2), Write("w", acknowledged=99)])
        assert [batch.number for batch in store.outbox("w", limit=9)] == [1, 3, 10]
        assert (store.outbox_count("w"), store.outbox_count("v")) == (3, 1)

    def test_the_outbox_follows_the_order_of_the_writes(self, store: Store) -> None:
        store.write([Write("w", outbox=(OutboxBatch(1, b"old"), OutboxBatch(2, b"kept")))])
        store.write(
            [
                Write("w", acknowledged=1),
                Write("w", outbox=(OutboxBatch(1, b"new"), OutboxBatch(5, b"short-lived"))),
                Write("w", acknowledged=5),
                Write("v", acknowledged=1),
            ]
        )
        assert store.outbox("w", limit=9) == [OutboxBatch(1, b"new"), OutboxBatch(2, b"kept")]

    def test_refused_updates_are_kept_in_order(self, store: Store) -> None:
        refused = [RefusedUpdate(n % 3, "pages/ä", b"%d" % n, "code", "Grund ✗") for n in range(5)]
        store.write([Write("w", refused=tuple(refused[:2])), Write("w", refused=(refused[2],))])
        store.write([Write("w", refused=tuple(refused[3:])), Write("v", refused=(refused[0],))])
        assert (store.refused("w"), store.refused("v")) == (refused, refused[:1])

    def test_owners_are_kept_by_workspace_and_replaced(self, store: Store) -> None:
        store.write([Write("w", owners={"5": "ada", "6": "bob"}), Write("v", owners={"5": "eve"})])
        store.write([Write("w", owners={"5": "ада"}, meta={"a": "1"})])
        assert store.owners("w", ["5", "7", "6"]) == {"5": "ада", "6": "bob"}
        assert store.owners("w", [str(number) for number in range(1, 200)]) == {
            "5": "ада",
            "6": "bob",
        }
        assert store.owners("v", ["5"]) == {"5": "eve"}
        assert store.owners("u", ["5"]) == store.owners("w", []) == {}

    def test_meta_is_set_key_by_key(self, store: Store) -> None:
        store.write(
            [Write("w", meta={"a": "1", "ключ": "✓"}), Write("w", meta={"a": "2", "A": ""})]
        )
        before = store.meta("")
        store.write([Write("", meta={"relay": "id"}), Write("v")])
        assert store.meta("w") == {"a": "2", "A": "", "ключ": "✓"}
        assert store.meta("") == before | {"relay": "id"}
        assert store.meta("v") == {}
        assert store.workspaces() == ["v", "w"]

    # Opening and closing

    def test_everything_is_there_after_opening_again(self, store: Store, place: Path) -> None:
        store.write([_full("w"), _full("v")])
        before, fingerprint = _everything(store), store.fingerprint()
        store.close()
        again = self.make_store(place)
        again.open()
        try:
            assert _everything(again) == before
            assert again.fingerprint() == fingerprint
            assert again.write([Write("w", (change(A, b"9"), change(C, b"9")))]) == [4]
            assert log(again, "w")[2:] == [(3, A, b"9"), (4, C, b"9")]
        finally:
            again.close()

    @pytest.mark.parametrize("opened", [False, True], ids=["never opened", "closed"])
    def test_a_store_that_is_not_open_says_so(self, place: Path, opened: bool) -> None:
        store = self.make_store(place)
        if opened:
            store.open()
            store.close()
            store.close()
        calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
            (store.write, ([Write("w")],)),
            (store.load, ("w", A)),
            (store.state, ("w", A)),
            (store.states, ("w", A, None, 1)),
            (partial(store.since, max_bytes=1, max_updates=1), ("w", 0)),
            (store.workspaces, ()),
            (store.last_batch, ("w", "r")),
            (store.receipt, ("w", "r", 1)),
            (partial(store.outbox, limit=1), ("w",)),
            *((call, ("w",)) for call in (store.documents, store.head, store.meta)),
            *((call, ("w",)) for call in (store.outbox_count, store.refused)),
        ]
        for call, arguments in calls:
            with pytest.raises(StoreError, match="is not open"):
                call(*arguments)

    def test_readers_in_other_threads_see_whole_writes(self, store: Store) -> None:
        problems: list[str] = []
        reads = [0, 0, 0]
        done = threading.Event()
        began = threading.Barrier(len(reads) + 1)

        def read(number: int) -> None:
            began.wait()
            while not done.is_set():
                document = store.load("w", A)
                page = store.since("w", 0, max_bytes=ALL, max_updates=ALL)
                seqs = [update.seq for update in page.updates]
                if document and document.state_vector != b"%d" % len(document.updates):
                    problems.append(f"{document.state_vector!r} of {len(document.updates)}")
                if seqs != list(range(1, page.head + 1)) or page.head % 2:
                    problems.append(f"seqs {seqs[-3:]} of {page.head}")
                reads[number] += 1

        threads = [threading.Thread(target=read, args=(n,)) for n in range(len(reads))]
        for thread in threads:
            thread.start()
        began.wait()
        try:
            written = 0
            while written < 200 or (min(reads) < 3 and all(t.is_alive() for t in threads)):
                written += 2
                store.write([Write("w", (DocumentWrite(A, (b"1", b"2"), b"%d" % written),))])
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert problems == []
        assert min(reads) >= 3


def _full(workspace: str) -> Write:
    """A Write with everything in it."""
    return Write(
        workspace,
        (change(A, b"1", live=True), change(B, b"2", live=False)),
        receipt=Receipt("r", 1, b"digest", refused=b"[1]"),
        outbox=(OutboxBatch(1, b"one"), OutboxBatch(2, b"two")),
        refused=(RefusedUpdate(1, "pages/a", b"u", "code", "why"),),
        meta={"cursor": "12"},
    )


def _everything(store: Store) -> dict[str, object]:
    names = ["v", "w"]
    return {
        "workspaces": store.workspaces(),
        "meta": [store.meta(name) for name in ["", *names]],
        "log": [log(store, name) for name in names],
        "documents": [list(store.documents(name)) for name in names],
        "content": [store.load(name, address) for name in names for address in (A, B, C)],
        "receipts": [store.receipt(name, "r", n) for name in names for n in (1, 2)],
        "outbox": [store.outbox(name, limit=99) for name in names],
        "refused": [store.refused(name) for name in names],
    }
