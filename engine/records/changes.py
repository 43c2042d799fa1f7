"""The change feed: what happened to records since a reader last looked.

A feed keeps one entry per record that changed, so a slow reader costs at most one entry per record
and sees the sum of what happened, in the order of the first change it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.errors import LimitExceeded
from syncline.engine.names import Address

from .schema import LIVE, REGISTERS

Kind: TypeAlias = Literal["created", "updated", "deleted"]
Origin: TypeAlias = Literal["local", "remote"]

MAX_WAITING = 100_000
"""Records that may wait in one feed."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A change of one record: its kind, the fields whose content changed, and where it was made."""

    address: Address
    kind: Kind
    fields: frozenset[str]
    origin: Origin


def fields_of(touched: set[tuple[str, str | None]]) -> frozenset[str]:
    """The names of the fields that live in the touched (root, key) pairs of a record's document."""
    names: set[str] = set()
    for root, key in touched:
        if root == REGISTERS and key is not None:
            name = key.rpartition("/")[0]
            if name != LIVE:
                names.add(name)
        else:
            names.add(root.rpartition(":")[2])
    return frozenset(names)


def defaults_of(document: Document) -> frozenset[str]:
    """The names of the registers that hold the default they were created with: the creator gave no
    value."""
    cells = cells_of(document, REGISTERS)
    return frozenset(name for name in cells.names() if not cells.stamp(name))


class ChangeFeed:
    """The changes that one reader has not taken yet."""

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._waiting: dict[Address, DocumentChange] = {}
        self._max_waiting = max_waiting
        self._overflowed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, change: DocumentChange) -> None:
        before = self._waiting.get(change.address)
        if before is not None:
            self._combine(before, change)
        elif len(self._waiting) >= self._max_waiting:
            self._overflowed = True
        else:
            self._waiting[change.address] = change

    def _combine(self, before: DocumentChange, change: DocumentChange) -> None:
        if before.kind == "created" and change.kind == "deleted":
            del self._waiting[change.address]  # it came and went unseen
            return
        kind: Kind = change.kind
        if before.kind == "created":
            kind = "created"
        elif before.kind == "deleted" and change.kind == "created":
            kind = "updated"  # the reader has seen the one before it
        self._waiting[change.address] = DocumentChange(
            change.address, kind, before.fields | change.fields, change.origin
        )

    def take(self) -> DocumentChange | None:
        """The next change, or None. Raises LimitExceeded once when changes had to be left out."""
        if self._waiting:
            return self._waiting.pop(next(iter(self._waiting)))
        if self._overflowed:
            self._overflowed = False
            raise LimitExceeded(
                f"More than {self._max_waiting:,} changed records waited for this reader.",
                hint="Read the collection again, then go on reading changes.",
            )
        return None
