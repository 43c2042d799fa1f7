"""Updates on their way, by document: those of a document's latest epoch only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from syncline.engine.names import Address


@dataclass(slots=True)
class EpochUpdates:
    """Updates of one document in causal order, all of the same epoch."""

    epoch: int
    updates: list[bytes] = field(default_factory=list[bytes])


class UpdatesByDocument:
    """Updates by document. One of a later epoch drops the document's earlier ones."""

    def __init__(self) -> None:
        self._documents: dict[Address, EpochUpdates] = {}

    def add(self, address: Address, epoch: int, *updates: bytes) -> None:
        known = self._documents.get(address)
        if known is None or known.epoch < epoch:
            known = self._documents[address] = EpochUpdates(epoch)
        if known.epoch == epoch:
            known.updates.extend(updates)

    def of(self, address: Address, epoch: int) -> list[bytes]:
        """The updates of a document that are of this epoch."""
        known = self._documents.get(address)
        return known.updates if known is not None and known.epoch == epoch else []

    def __iter__(self) -> Iterator[tuple[Address, EpochUpdates]]:
        return iter(self._documents.items())

    def __bool__(self) -> bool:
        return bool(self._documents)
