"""Writing an update that inserts many texts into an array at once.

The CRDT library inserts them one by one, and looks for the place of each among all that the same
transaction inserted before: 10,000 take a second. As few structs they take milliseconds (Yjs,
src/structs/ContentAny.js).

The library keeps elements that continue each other as one run, and copies all of a run to part it,
as an insertion or deletion inside does. So runs are kept short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from syncline.engine.lib0 import write_string, write_uint

Id: TypeAlias = tuple[int, int]
"""(client, clock) of an operation."""

RUN = 256
"""Most elements in a run."""
_ANY = 8
_TEXT = 119  # the tag of a text in lib0's Any encoding
_HAS_ORIGIN = 0x80
_HAS_RIGHT_ORIGIN = 0x40


def insertion(
    first: Id, root: str, texts: Sequence[str], left: Id | None, right: Id | None
) -> bytes:
    """The update by which ``first`` and the operations after it insert ``texts``, at least one,
    into the array ``root``, between the operations ``left`` and ``right`` (None at an end)."""
    client, clock = first
    out = bytearray()
    starts = range(0, len(texts), RUN)
    for number in (1, len(starts), client, clock):
        write_uint(out, number)
    # From the last run to the first: runs that do not continue each other stay apart in memory.
    for start in reversed(starts):
        run = texts[start : start + RUN]
        _write_struct(out, root, run, left, right)
        right = client, clock
        clock += len(run)
    write_uint(out, 0)  # and deletes nothing
    return bytes(out)


def _write_struct(
    out: bytearray, root: str, texts: Sequence[str], left: Id | None, right: Id | None
) -> None:
    out.append(
        _ANY
        | (_HAS_ORIGIN if left is not None else 0)
        | (_HAS_RIGHT_ORIGIN if right is not None else 0)
    )
    for number in (*(left or ()), *(right or ())):
        write_uint(out, number)
    if left is None and right is None:
        write_uint(out, 1)
        write_string(out, root)
    write_uint(out, len(texts))
    for text in texts:
        out.append(_TEXT)
        write_string(out, text)
