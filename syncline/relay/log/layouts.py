"""Where the operations of a relay's documents lie, looked up where an update depends on it.

Blocking; in the thread that commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.updates.layout import Layout
from syncline.engine.updates.parse import UpdateInfo

from .place import Place

KEPT_RUNS = 4_000_000
"""In the layouts used last; 8 bytes each."""
_KEPT = 10_000  # such layouts
_MAX_WAITING = 256  # updates of one that are not looked at before it is used again


@dataclass(slots=True)
class _Known:
    """A document with all that was accepted, but for the updates in ``waiting``."""

    epoch: int
    layout: Layout = field(default_factory=Layout)
    waiting: list[bytes] = field(default_factory=list[bytes])

    def take_in(self, updates: Iterable[bytes] = ()) -> None:
        for update in (*self.waiting, *updates):
            self.layout.add(update)
        self.waiting.clear()


class DocumentLayouts:
    """The layouts of documents, kept for the next time, so that a large document is read once."""

    def __init__(self) -> None:
        self._kept = BoundedCache[Place, _Known](_KEPT, KEPT_RUNS)

    def check(
        self,
        place: Place,
        epoch: int,
        before: Callable[[], Iterable[bytes]],
        update: bytes,
        info: UpdateInfo,
        max_nesting: int,
    ) -> int:
        """The depth of a document with ``update``, which it covers. ``before`` gives what was
        accepted before it.

        Raises InvalidUpdate if no client makes such an update of this document, or it has a shared
        type deeper than ``max_nesting``. If it is then not committed, call ``forget``.
        """
        known = self._kept.get(place)
        if known is None or known.epoch != epoch:
            known = _Known(epoch)
            known.take_in(before())
        elif known.waiting:
            known.take_in()
        try:
            known.layout.check(update, info.deletes, max_nesting)
        finally:
            self._kept.put(place, known, known.layout.runs)
        return known.layout.depth

    def note(self, place: Place, epoch: int, update: bytes) -> None:
        """Hear of an update that was accepted without a check. If it is then not committed, call
        ``forget``."""
        known = self._kept.get(place)
        if known is None:
            return
        if known.epoch != epoch:
            self._kept.discard(place)
            return
        known.waiting.append(update)
        if len(known.waiting) > _MAX_WAITING:
            known.take_in()

    def forget(self, places: Iterable[Place]) -> None:
        """Forget these documents: some of what was accepted of them will not be stored."""
        for place in places:
            self._kept.discard(place)

    def clear(self) -> None:
        """Forget everything: some of it has not been stored."""
        self._kept.clear()
