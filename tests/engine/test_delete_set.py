"""Deletions compared and written as ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.updates.delete_set import Deletes, encode_deletes, unknown_deletes
from syncline.engine.updates.parse import parse_update

_PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), min_size=1, max_size=6)
_DELETES = st.dictionaries(st.integers(0, 3), _PAIRS, max_size=3)


def _clocks(deletes: Deletes) -> set[tuple[int, int]]:
    return {
        (client, clock + step)
        for client, pairs in deletes.items()
        for clock, length in pairs
        for step in range(length)
    }


@given(_DELETES)
def test_what_was_read_is_written_as_it_was(deletes: dict[int, list[tuple[int, int]]]) -> None:
    update = b"\0" + encode_deletes(deletes)
    assert encode_deletes(parse_update(update).deletes) == update[1:]


@given(_DELETES, _DELETES)
def test_unknown_is_what_nobody_knew(
    deletes: dict[int, list[tuple[int, int]]], known: dict[int, list[tuple[int, int]]]
) -> None:
    unknown = unknown_deletes(deletes, known)
    assert _clocks(unknown) == _clocks(deletes) - _clocks(known)
    for pairs in unknown.values():
        ends = [clock + length for clock, length in pairs]
        assert pairs == sorted(pairs)
        assert all(end < pairs[at + 1][0] for at, end in enumerate(ends[:-1]))


def test_many_ranges_take_no_time() -> None:
    many = {1: [(2 * clock, 1) for clock in range(100_000)]}
    assert unknown_deletes(many, many) == {}
    assert len(unknown_deletes({1: [(0, 1_000_000)]}, many)[1]) == 100_000
