"""How deep the documents of a relay are, measured where it is not plain that they are shallow.

Blocking; in the thread that commits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.lib0 import MAX_UINT
from syncline.engine.updates.nesting import Nesting
from syncline.stores import Store

from .place import Place

KEPT_RUNS = 4_000_000
"""In the documents measured last; 8 bytes each."""
_KEPT = 1_000  # such documents
_MAX_WAITING = 256  # updates of one that are not looked at before it is measured again


@dataclass(slots=True)
class _Measured:
    """A document as it is stored, but for the updates in ``waiting``."""

    epoch: int
    nesting: Nesting = field(default_factory=Nesting)
    waiting: list[bytes] = field(default_factory=list[bytes])

    def take_in(self, updates: Iterable[bytes] = ()) -> None:
        for update in (*self.waiting, *updates):
            self.nesting.add(update, MAX_UINT)
        self.waiting.clear()


class DocumentDepths:
    """Measures documents of ``store``. What was measured is kept for the next time, so that a large
    document is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = BoundedCache[Place, _Measured](_KEPT, KEPT_RUNS)

    def after(
        self, place: Place, epoch: int, uncommitted: Iterable[bytes], update: bytes, allowed: int
    ) -> int | None:
        """The depth of a document with ``update``, which it covers; None if that has a shared type
        deeper than ``allowed``. ``uncommitted`` are what comes between the store and it.

        If it is then not committed, call ``clear``. Raises StoreError.
        """
        measured = self._kept.get(place)
        if measured is None or measured.epoch != epoch:
            measured = self._read(place, epoch)
        measured.take_in(uncommitted)
        taken = measured.nesting.add(update, allowed)
        self._kept.put(place, measured, measured.nesting.runs)
        return measured.nesting.depth if taken else None

    def committed(self, place: Place, epoch: int, updates: Iterable[bytes]) -> None:
        """Hear of updates that are stored now. Those heard of before make no difference."""
        measured = self._kept.get(place)
        if measured is None:
            return
        if measured.epoch != epoch:
            self._kept.discard(place)
            return
        measured.waiting.extend(updates)
        if len(measured.waiting) > _MAX_WAITING:
            measured.take_in()

    def clear(self) -> None:
        """Forget everything: some of what was measured has not been stored."""
        self._kept.clear()

    def _read(self, place: Place, epoch: int) -> _Measured:
        measured = _Measured(epoch)
        stored = self._store.load(*place)
        if stored is not None and stored.epoch == epoch:
            measured.take_in(stored.updates)
        return measured
