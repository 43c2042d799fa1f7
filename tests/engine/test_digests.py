"""Digests: equal for what is equal, whatever the order in which it came."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.document.digests import Digested, document_digest, range_digest
from syncline.engine.document.document import Document, merge_updates
from syncline.engine.names import Address

A = Address("pages", "a")
B = Address("pages", "é")


def written(client_id: int, *steps: tuple[str, int]) -> list[bytes]:
    """Updates of one writer: ("text", where to insert it), or ("", which character to delete)."""
    document = Document(client_id)
    for text, index in steps:
        root = document.text("body")
        if text:
            root.insert(min(index, len(root.content())), text)
        elif root.content():
            root.delete(index % len(root.content()), 1)
    return document.take_captured()


def digest(*updates: bytes) -> bytes:
    return document_digest(Document(1, updates))


def test_the_digest_is_the_one_that_the_protocol_describes() -> None:
    # Client 7 writes "abc" and deletes "b": it knows clocks 0 to 3, and 1 to 2 is deleted.
    updates = written(7, ("abc", 0), ("", 1))
    assert digest(*updates) == hashlib.sha256(bytes.fromhex("03 010703 07 01 02")).digest()
    assert digest() == hashlib.sha256(bytes.fromhex("01 00")).digest()


steps = st.lists(
    st.tuples(st.text("abcé😀", max_size=4), st.integers(0, 9)), min_size=1, max_size=8
)


@given(ours=steps, theirs=steps, swapped=st.booleans())
def test_order_and_merging_make_no_difference(
    ours: list[tuple[str, int]], theirs: list[tuple[str, int]], *, swapped: bool
) -> None:
    one, two = written(2**40, *ours), written(2**41, *theirs)
    parts = [*two, *one] if swapped else [*one, *two]
    plain = digest(*one, *two)
    assert digest(*parts) == plain
    assert digest(merge_updates(parts)) == plain
    assert digest(Document(1, parts).diff({})) == plain


@given(ours=steps)
def test_every_change_shows_a_deletion_too(ours: list[tuple[str, int]]) -> None:
    updates = written(2**40, *ours, ("x", 0))
    document = Document(2**41, updates)
    document.text("body").delete(0, 1)
    (deletion,) = document.take_captured()
    assert document.state_vector() == Document(1, updates).state_vector()
    assert digest(*updates, deletion) != digest(*updates)
    assert digest(*updates) != digest(*updates[:-1])


def test_a_range_tells_addresses_epochs_and_digests_apart() -> None:
    one, two = digest(*written(7, ("a", 0))), digest(*written(7, ("b", 0), ("c", 0)))
    ranges = [
        range_digest([]),
        range_digest([Digested(A, 0, one)]),
        range_digest([Digested(A, 1, one)]),
        range_digest([Digested(B, 0, one)]),
        range_digest([Digested(A, 0, two)]),
        range_digest([Digested(A, 0, one), Digested(B, 0, one)]),
        range_digest([Digested(B, 0, one), Digested(A, 0, one)]),
    ]
    assert len(set(ranges)) == len(ranges)
    # The address as a string, the epoch, the digest after its length.
    encoded = b"\x07pages/a" + b"\x00" + b"\x20" + one
    assert range_digest([Digested(A, 0, one)]) == hashlib.sha256(encoded).digest()
