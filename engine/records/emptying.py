"""Emptying: what a record that was deleted held goes when its key is used again.

Only what this replica has seen is removed. An edit of the deleted record that comes later is in the
new one, as any concurrent edit would be.
"""

from __future__ import annotations

from collections.abc import Collection

from syncline.engine.document.cells import clear_cells
from syncline.engine.document.document import Document
from syncline.engine.fields import Counter, ListOf, MapOf, SetOf, Text
from syncline.engine.fields.counter import reset_counter
from syncline.engine.fields.list_edit import remove_all
from syncline.engine.fields.list_layout import ARRAY

from .schema import LIVE, REGISTERS

_CELL_ROOTS = (SetOf.kind, ListOf.kind, MapOf.kind)


def begin_empty(document: Document, writing: Collection[str]) -> None:
    """Remove all content of the record layout, whatever schema it was of. Call inside the
    document's transaction.

    The registers called ``writing`` stay: the caller writes them in the same transaction, and a
    write removes what it replaces.
    """
    clear_cells(document.map(REGISTERS), keep={LIVE, *writing})
    for name in document.root_names():
        kind, colon, _ = name.partition(":")
        if not colon:
            continue
        if kind in _CELL_ROOTS:
            clear_cells(document.map(name))
        elif kind == ARRAY:
            remove_all(document.array(name))
        elif kind == Counter.kind:
            reset_counter(document, name)
        elif kind == Text.kind:
            text = document.text(name)
            if length := len(text.content()):
                text.delete(0, length)
