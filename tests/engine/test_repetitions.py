"""Operations that come again are told from others under their names."""

from __future__ import annotations

import pytest

from syncline.engine.history.repetitions import contradicts
from tests.engine.update_bytes import after, gc, item, section, skip, text, typed, update, values

ONE, TWO = b"\x7d\x01", b"\x77\x01x"
LOG = [
    update(section(1, 0, typed("ab😀c"), values(ONE, TWO)), section(2, 0, item(7, b"\x01"))),
    update(section(1, 7, gc(3), item(1, b"\x02"), typed("\ufffd"))),
]
KNOWN = {1: 13, 2: 1}


@pytest.mark.parametrize(
    ("came", "other"),
    [
        (section(1, 0, typed("ab😀c")), False),
        (section(1, 1, typed("b😀c"), values(ONE)), False),
        (section(1, 0, typed("a"), skip(1), typed("😀")), False),
        (section(1, 5, values(b"\x7c\x3f\x80\0\0", TWO)), False),  # one, written in another way
        (section(1, 7, typed("whatever")), False),  # it was collected, or deleted
        (section(2, 0, item(7, b"\x01"), typed("new")), False),
        (section(3, 0, typed("new")), False),
        (section(1, 0, typed("aX")), True),
        (section(1, 4, typed("d")), True),
        (section(1, 5, values(ONE, b"\x77\x01y")), True),
        (section(1, 5, typed("x")), True),
        (section(2, 0, item(3, text("x"))), True),
        (section(2, 0, after(1, 0, 4, text("x"))), True),
    ],
)
def test_only_what_differs_contradicts(came: bytes, other: bool) -> None:
    assert contradicts(LOG, update(came), KNOWN) == other
