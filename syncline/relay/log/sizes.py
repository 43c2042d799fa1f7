"""How large the documents of a relay are, counted closely where they come near a limit.

What is taken in parts is one update when somebody fetches it whole, and has to fit a frame and a
reader's memory. Blocking; in the thread that commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.errors import LimitExceeded
from syncline.engine.updates.parse import UpdateInfo, UpdateLimits, parse_update
from syncline.stores import Store

from .place import Place
from .transaction import DocumentState

_KEPT = 1_000  # documents of many parts that were counted
_ANY = UpdateLimits(1 << 53, 1 << 53, 1 << 20, 1 << 53, 1 << 53)
DELETIONS_BYTES = 512 << 10
"""By how much a document may be larger for updates that only delete: what is too much can go."""


class DocumentSizes:
    """Adds up documents of ``store``. Nothing is stored for it but the bytes of a log: as long as
    the sums of what came stay below the limits, they are enough. Compaction makes logs smaller, so
    a sum beyond is looked at again before anything is refused."""

    def __init__(self, store: Store, limits: UpdateLimits) -> None:
        self._store = store
        self._max_bytes = limits.max_document_bytes
        self._max_parts = limits.max_document_parts
        # Per document the bytes of its log, and the parts that were counted in it.
        self._counted = BoundedCache[Place, tuple[int, int]](_KEPT)

    def after(
        self,
        place: Place,
        state: DocumentState,
        uncommitted: Callable[[], Sequence[bytes]],
        update: bytes,
        info: UpdateInfo,
    ) -> tuple[int, int]:
        """Bytes and parts of a document at ``state`` with ``update``; ``uncommitted`` gives what
        was accepted before it and is not in the store. Raises LimitExceeded, StoreError."""
        size, parts = state.size + len(update), state.parts + info.parts
        if size <= self._max_bytes and parts <= self._max_parts:
            return size, parts
        before = uncommitted()
        stored = self._stored(place, state.epoch)
        size = stored + sum(map(len, before)) + len(update)
        if not info.ranges:
            if size > self._max_bytes + DELETIONS_BYTES:
                raise _full(f"have {size:,} bytes", "max_document_bytes", self._max_bytes)
            return size, parts
        if size > self._max_bytes:
            raise _full(f"have {size:,} bytes", "max_document_bytes", self._max_bytes)
        if parts > self._max_parts:
            counted = self._count(place, state.epoch, stored)
            parts = counted + sum(map(_parts, before)) + info.parts
            if parts > self._max_parts:
                raise _full(
                    f"have {parts:,} structs, values and deletes",
                    "max_document_parts",
                    self._max_parts,
                )
        return size, parts

    def _stored(self, place: Place, epoch: int) -> int:
        stored = self._store.state(*place)
        return stored.size if stored is not None and stored.epoch == epoch else 0

    def _count(self, place: Place, epoch: int, size: int) -> int:
        counted = self._counted.get(place)
        if counted is None or counted[0] != size:
            stored = self._store.load(*place)
            updates = stored.updates if stored is not None and stored.epoch == epoch else ()
            counted = size, sum(map(_parts, updates))
            self._counted.put(place, counted)
        return counted[1]


def _parts(update: bytes) -> int:
    return parse_update(update, _ANY).parts


def _full(what: str, limit: str, allowed: int) -> LimitExceeded:
    return LimitExceeded(
        f"With this update the document would {what}; {allowed:,} are allowed.",
        hint="It is not stored. Divide what it holds among several documents, delete some of it, "
        "or give it a shorter history with `syncline rebuild-document`; the operator may raise "
        f"UpdateLimits.{limit}.",
    )
