"""Whether something lies inside a character, and a snapshot that keeps it there."""

from __future__ import annotations

import pytest

from syncline.engine.history.cut_characters import cuts_a_character
from syncline.engine.history.snapshot import make_snapshot
from syncline.engine.updates.parse import encode_state_vector
from tests.engine.update_bytes import deletes, item, section, skip, text, uint, update

WHOLE = update(section(5, 0, item(4, text("aé😀b"))))  # clocks 0, 1, 2 and 3, 4


def between(left: int, right: int) -> bytes:
    """An item between two operations of client 5."""
    place = uint(5) + uint(left) + uint(5) + uint(right)
    return update(section(6, 0, b"\xc4" + place + text("X")))


@pytest.mark.parametrize(
    ("change", "cuts"),
    [
        (between(2, 3), True),
        (between(1, 2), False),
        (between(3, 4), False),
        (update(deletes=deletes((5, [(0, 3)]))), True),
        (update(deletes=deletes((5, [(3, 1)]))), True),
        (update(deletes=deletes((5, [(2, 2)]))), False),
        (update(deletes=deletes((7, [(0, 3)]))), False),
        (update(section(6, 0, item(4, text("😀")), skip(3), item(4, text("x")))), False),
    ],
)
def test_it_sees_what_lies_inside_a_character(change: bytes, cuts: bool) -> None:
    assert cuts_a_character([WHOLE, change]) is cuts
    assert cuts_a_character([change, WHOLE]) is cuts
    assert not cuts_a_character([change])


def test_a_snapshot_keeps_what_editors_wrote() -> None:
    log = [WHOLE, between(2, 3)]
    log += [
        update(section(6, each, b"\x84\x06" + uint(each - 1) + text("y"))) for each in range(1, 9)
    ]
    made = make_snapshot(log, encode_state_vector({5: 5, 6: 9}))
    assert made is not None
    assert text("aé😀b") in made
    assert cuts_a_character([made])
