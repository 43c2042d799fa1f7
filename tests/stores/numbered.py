"""Writes that tell their number in every part, so that what a store holds can be checked."""

from __future__ import annotations

from syncline.engine.names import Address
from syncline.stores import DocumentWrite, OutboxBatch, Receipt, Store, Write


def numbered(n: int, size: int = 1000) -> Write:
    """Write number ``n``, of two updates, the first of ``size`` times the number's digits."""
    data = b"%d" % n
    return Write(
        "w",
        (DocumentWrite(Address("pages", str(n % 10)), (data * size, data), data),),
        receipt=Receipt("r", n, data),
        outbox=(OutboxBatch(n, data),),
        meta={"last": str(n)},
    )


def assert_holds(store: Store, last: int) -> None:
    """The store holds the numbered writes 1 to ``last`` in full, and nothing else."""
    page = store.since("w", 0, max_bytes=2**40, max_updates=2**40)
    assert [update.seq for update in page.updates] == list(range(1, 2 * last + 1))
    assert [update.data for update in page.updates[1::2]] == [b"%d" % n for n in range(1, last + 1)]
    assert page.head == 2 * last
    assert store.last_batch("w", "r") == last
    assert store.outbox_count("w") == last
    assert store.meta("w") == ({"last": str(last)} if last else {})
    for info in store.documents("w"):
        document = store.load("w", info.address)
        assert document is not None
        assert document.updates[-1] == document.state_vector
