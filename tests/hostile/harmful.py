"""Updates that pass the parser and harm whoever opens the document."""

from __future__ import annotations

from pathlib import Path

from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector
from syncline.stores import DocumentWrite, SqlStore, Write
from tests.engine.update_bytes import inside, item, section, text, uint, update, values

EVIL = Address("pages", "evil")

# Integration never returns: origins that lie in two shared types.
HANGS = [
    bytes.fromhex(
        "020401002801016105246c69766503797d057b7ff80000000000004401020568656c6c6f6301070261"
        "62e4010501000568656c6c6f01070049010304677569647e00"
    ),
    bytes.fromhex("01010900450700046e756c6c00"),
    bytes.fromhex("02020701250001090001310100010a03020901c409000900026162c7070309010100"),
]
# Reading ends the process: a value under a key is split, and its second half is no number.
KILLS = [bytes.fromhex("010202002801066669656c6473016b027e7b7ff800000000000043020102616200")]
# The CRDT library refuses it, when it is opened and for ever: the parent is a character.
REFUSED = [
    update(section(5, 0, item(4, text("hello")))),
    update(section(9, 0, item(4, text("x"), inside(5, 1)))),
]


HARMFUL = {"hangs": HANGS, "kills": KILLS, "is refused": REFUSED}
STATES = {"hangs": {1: 14, 7: 5, 9: 4}, "kills": {2: 3}, "is refused": {5: 5, 9: 1}}


def quadratic(length: int) -> list[bytes]:
    """Integration takes the square of the length: seconds for 5,000."""
    tail = update(section(5, 0, item(4, text("b" * length))))
    before = [b"\x44\x05" + uint(clock) + b"\x01a" for clock in range(length)]
    return [tail, update(section(5, length, *before))]


def large(count: int) -> bytes:
    """So many small values take a hundred times their bytes in memory."""
    return update(section(100, 0, values(*[b"\x76\1\0\x7e"] * count)))


def plant(path: Path, kind: str) -> None:
    """A relay's store with what was never tasted, as an older relay may have it."""
    store = SqlStore(path)
    store.open()
    try:
        document = DocumentWrite(EVIL, tuple(HARMFUL[kind]), encode_state_vector(STATES[kind]))
        store.write([Write("", meta={"role": "relay", "relay": "0" * 32})])
        store.write([Write("crm", (document,))])
    finally:
        store.close()
