"""The stamps in a record's document, and how one from the future is taken out of it.

A writer whose clock was wrong leaves cells that win against every concurrent write until their
time has come, or until somebody who has seen them writes over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.document import Document

from .schema import CELL_ROOTS, REGISTERS


def latest_stamp(document: Document) -> int:
    """The highest stamp that was read from the record's registers, 0 if there is none."""
    return cells_of(document, REGISTERS).latest


def restamp(document: Document, after: int, tick: Callable[[], int]) -> bool:
    """Write every value whose stamp is above ``after`` again, as it is, with a stamp of ``tick``.
    Returns whether there was one. Call inside the document's transaction.

    What was written at the same time as such a value is removed: the record reads as before. Costs
    a sorting of the names of the cells.
    """
    found = False
    for cells in _cells(document):
        # In their order, which a set shows its values in.
        for name in sorted(cells.names(), key=cells.stamp):
            if cells.stamp(name) > after:
                cells.restamp(name, tick())
                found = True
    return found


def _cells(document: Document) -> Iterator[Cells]:
    yield cells_of(document, REGISTERS)
    for name in document.root_names():
        kind, colon, _ = name.partition(":")
        if colon and kind in CELL_ROOTS:
            yield cells_of(document, name)
