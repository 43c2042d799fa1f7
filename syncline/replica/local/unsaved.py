"""What no committed transaction of the store holds yet, by document."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.engine.errors import LimitExceeded
from syncline.engine.names import Address
from syncline.engine.updates.by_document import EpochUpdates

MAX_UNSAVED_BYTES = 256 << 20
"""Local changes that may wait for the disk; a program that writes without ever awaiting meets
it."""


class Unsaved:
    """Updates in causal order. With the store's log they make a document, so any document in
    memory may be let go at any time.

    The journal adds to it and takes away what it has committed. ``size`` is that of the updates, in
    bytes.
    """

    def __init__(self) -> None:
        self._documents: dict[Address, EpochUpdates] = {}
        self.size = 0

    def get(self, address: Address) -> EpochUpdates | None:
        """The unsaved updates of a document. Do not change them."""
        return self._documents.get(address)

    def addresses(self) -> set[Address]:
        """The documents that have any."""
        return set(self._documents)

    def __len__(self) -> int:
        """How many documents have any."""
        return len(self._documents)

    def check_space(self) -> None:
        """Raise LimitExceeded, before anything is changed, when too much waits for the disk."""
        if self.size > MAX_UNSAVED_BYTES:
            raise LimitExceeded(
                f"{self.size >> 20} MiB of local changes wait to be written to the store.",
                hint="Await replica.flushed() now and then in a loop that writes this much.",
            )

    def add(self, address: Address, epoch: int, updates: Sequence[bytes]) -> None:
        """Keep further updates of a document. The first of a later epoch ends what was before."""
        known = self._documents.get(address)
        if known is None or known.epoch < epoch:
            if known is not None:
                self.size -= _size(known.updates)
            known = self._documents[address] = EpochUpdates(epoch)
        known.updates.extend(updates)
        self.size += _size(updates)

    def remove(self, address: Address, epoch: int, count: int) -> None:
        """The first ``count`` updates of that epoch are in the store."""
        known = self._documents[address]
        if known.epoch != epoch:
            return  # begun anew meanwhile
        self.size -= _size(known.updates[:count])
        rest = known.updates[count:]
        if rest:
            self._documents[address] = EpochUpdates(epoch, rest)
        else:
            del self._documents[address]


def _size(updates: Sequence[bytes]) -> int:
    return sum(map(len, updates))
