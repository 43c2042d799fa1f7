"""Emptying: what a record held goes when its key is used again after a deletion, or is purged.

Only what this replica has seen is removed. An edit of the deleted record that comes later is in the
document, as any concurrent edit would be.
"""

from __future__ import annotations

from collections.abc import Collection

from syncline.engine.document.cells import cells_of, clear_cells
from syncline.engine.document.document import Document
from syncline.engine.fields import Counter, Text
from syncline.engine.fields.counter import reset_counter
from syncline.engine.fields.list_edit import is_cleared, remove_all
from syncline.engine.fields.list_layout import ARRAY

from .schema import CELL_ROOTS, LIVE, REGISTERS


def begin_empty(document: Document, writing: Collection[str]) -> None:
    """Remove all content of the record layout, whatever schema it was of. Call inside the
    document's transaction.

    The registers called ``writing`` stay: the caller writes them in the same transaction, and a
    write removes what it replaces.
    """
    _clear(document, {LIVE, *writing})
    for name in document.root_names():
        if name.startswith(f"{Counter.kind}:"):
            reset_counter(document, name)


def purge(document: Document) -> None:
    """Remove all content of the record layout, so that a snapshot of the document holds none of it.
    Call inside the document's transaction.

    Sums of counters are deleted, not taken back: they would still tell how much was counted.
    """
    _clear(document, {LIVE})
    for name in document.root_names():
        if name.startswith(f"{Counter.kind}:"):
            sums = document.map(name)
            for key in list(sums.items()):
                sums.delete(key)


def is_purged(document: Document) -> bool:
    """Whether the document holds nothing of the record layout but whether the record exists."""
    if any(name != LIVE for name in cells_of(document, REGISTERS).names()):
        return False
    for name in document.root_names():
        kind, colon, _ = name.partition(":")
        if not colon:
            continue
        if kind in (*CELL_ROOTS, Counter.kind):
            if document.map(name).items():
                return False
        elif kind == ARRAY:
            if not is_cleared(document.array(name)):
                return False
        elif kind == Text.kind and document.text(name).content():
            return False
    return True


def _clear(document: Document, keep: Collection[str]) -> None:
    """Remove everything but counters."""
    clear_cells(document.map(REGISTERS), keep=keep)
    for name in document.root_names():
        kind, colon, _ = name.partition(":")
        if not colon:
            continue
        if kind in CELL_ROOTS:
            clear_cells(document.map(name))
        elif kind == ARRAY:
            remove_all(document.array(name))
        elif kind == Text.kind:
            text = document.text(name)
            if length := len(text.content()):
                text.delete(0, length)
