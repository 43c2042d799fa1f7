"""Rebuilding a document from its values: a new history with the same content.

Churn over keys and writers costs about five bytes a write for ever: a Y.Map keeps an entry of every
write, a delete set a range of every deletion, a state vector every writer. A rebuilt document has
one writer and no tombstones. It is another document: updates of the old history mean nothing to it
(fork.py takes over edits that were not in the old history when it was rebuilt).

Cells keep their keys, stamps and values, so what was written before and after compares by time,
with one exception: a deletion under ``keep-edit`` says what it has seen as a state vector, which
means nothing in another history. It is written anew, so that the record still exists or still does
not, and an edit from now on brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import orjson

from syncline.engine.document.cells import Cell, cells_of
from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken
from syncline.engine.lib0 import write_uint
from syncline.engine.records.liveness import is_live
from syncline.engine.records.schema import LIVE, REGISTERS
from syncline.engine.updates.parse import UpdateInfo, parse_update
from syncline.engine.updates.struct_format import GC

from .history import History
from .history_writer import HistoryWriter
from .structs import text_value


def rebuild(document: Document, client_id: int) -> bytes:
    """The content of ``document`` as one update by ``client_id``, the start of a new history.

    Raises DocumentBroken if the copy would not read as the original does, InvalidUpdate if it were
    more than one update may hold. ``document`` is not changed.
    """
    source = document.diff({})
    history = History(source)
    update = _copy(history, client_id)
    original = Document(client_id, [source])
    deletions = [
        cell
        for cell in cells_of(original, REGISTERS).siblings(LIVE)
        if isinstance(cell.value, list)
    ]
    if deletions:
        # What they have seen is as long as before, in operations: the first copy tells its end.
        end = parse_update(update).ends()[client_id]
        _translate(history, deletions, [] if is_live(original) else [[client_id, end]])
        update = _copy(history, client_id)
    parse_update(update)
    rebuilt = Document(client_id, [update])
    try:
        if _content(rebuilt) != _content(original) or is_live(rebuilt) != is_live(original):
            raise DocumentBroken(
                "This document cannot be rebuilt: the copy does not read as the original.",
                hint="It stays as it is, and can be used. Please report it with its updates.",
            )
    finally:
        rebuilt.close()
        original.close()
    return update


def rebuild_log(updates: Iterable[bytes], client_id: int) -> bytes:
    """As ``rebuild``, of the document that these updates make."""
    document = Document(1, updates)
    try:
        return rebuild(document, client_id)
    finally:
        document.close()


def begins(info: UpdateInfo, epoch: int) -> bool:
    """Whether an update of ``epoch`` holds that epoch's beginning, and so can stand alone.

    A rebuilt document is written by the client whose id is the number of its epoch. Without that
    client's operations an update is a later change, which may need nothing and yet is not all.
    """
    return not info.needs and info.ranges.get(epoch, ((1, 1),))[0][0] == 0


def _copy(history: History, client_id: int) -> bytes:
    writer = HistoryWriter(client_id)
    for name in sorted(history.roots):
        writer.copy(history.roots[name], name)
    return writer.update() or _nothing(client_id)


def _nothing(client_id: int) -> bytes:
    """The history of a document without content: one operation that was collected, since a history
    is known by the client that begins it."""
    out = bytearray()
    for number in (1, 1, client_id, 0, GC, 1, 0):
        write_uint(out, number)
    return bytes(out)


def _translate(history: History, deletions: list[Cell], seen: list[list[int]]) -> None:
    """Let the newest of ``deletions`` have seen ``seen``, the others nothing.

    Readers take the maximum over all of them, so one cell is enough.
    """
    for cell in deletions:
        item = history.root(REGISTERS).entry(f"{LIVE}/{cell.writer}")
        if item is not None:
            item.content = [text_value(orjson.dumps([cell.stamp, seen]).decode())]
        seen = []


def _content(document: Document) -> dict[str, Any]:
    """All content but whether the record exists, which a rebuilt document may say otherwise."""
    content = document.to_dict()
    fields = content.get(REGISTERS)
    if isinstance(fields, dict):
        cells = cast("dict[str, Any]", fields)
        content[REGISTERS] = {
            key: value for key, value in cells.items() if not key.startswith(f"{LIVE}/")
        }
    return content
