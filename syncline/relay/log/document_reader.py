"""What a relay's store holds of a document, beside what a client has of it.

Blocking, on whichever thread reads the store; always the same.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.document.document import EMPTY_UPDATE, Document
from syncline.engine.names import Address
from syncline.engine.updates.parse import (
    StateVector,
    UpdateLimits,
    covers,
    decode_state_vector,
    parse_update,
)
from syncline.stores import Store

from .ledger import INCOMING

MAX_DOCUMENTS = 64
"""Documents kept open for those who ask next: after a restart everybody asks for the same ones."""
MAX_BYTES = 64 << 20
"""Size of the updates that these were made of."""
_Place: TypeAlias = tuple[str, Address]  # workspace, address
_READER = 1  # the client id of documents that nobody writes here


class Difference(NamedTuple):
    """What the store has beyond a client: ``update``, which brings it to ``state_vector``."""

    epoch: int
    state_vector: StateVector
    update: bytes


class _Opened(NamedTuple):
    """A document as of ``last_seq``."""

    epoch: int
    last_seq: int
    document: Document


class DocumentReader:
    """Reads documents of ``store``; ``limits`` are those of an update that comes."""

    def __init__(self, store: Store, limits: UpdateLimits = INCOMING) -> None:
        self._store = store
        self._limits = limits
        self._opened = BoundedCache[_Place, _Opened](MAX_DOCUMENTS, MAX_BYTES, on_evict=_close)

    def epoch_of(self, workspace: str, address: Address) -> tuple[int, bool]:
        """The document's epoch, 0 if there is no such document; and whether it was rebuilt, so that
        whoever has something of this epoch has operations of the client of that number."""
        stored = self._store.state(workspace, address)
        if stored is None:
            return 0, False
        return stored.epoch, stored.epoch in decode_state_vector(stored.state_vector)

    def difference(
        self, workspace: str, address: Address, epoch: int, have: StateVector
    ) -> Difference:
        """What is there beyond ``have``, a state vector of the epoch ``epoch``; everything, if
        the document is of another. Raises DocumentBroken."""
        opened = self._open(workspace, address)
        if opened is None:
            return Difference(epoch, {}, EMPTY_UPDATE)
        document = opened.document
        update = document.diff(have if epoch == opened.epoch else {})
        return Difference(opened.epoch, dict(document.state_vector()), update)

    def unseen_part(self, workspace: str, address: Address, epoch: int, update: bytes) -> bytes:
        """The part of ``update`` that is not stored yet.

        A client that connects sends all deletions that it knows, each time; stored and sent on as
        they come, they would grow the log with every connection. Raises InvalidUpdate and
        DocumentBroken.
        """
        info = parse_update(update, self._limits)
        if not info.ranges and not info.deletes:
            return EMPTY_UPDATE
        state = self._store.state(workspace, address)
        if state is None or state.epoch != epoch:
            return update
        have = decode_state_vector(state.state_vector)
        if not covers(have, info.needs):
            return update  # whoever commits it says what is missing
        if not info.deletes:
            return EMPTY_UPDATE if covers(have, info.ends()) else update
        # Only the document shows what is deleted already.
        opened = self._open(workspace, address)
        if opened is None:
            return update
        unseen = opened.document.apply_unseen(update)
        if unseen != EMPTY_UPDATE:
            self._opened.discard((workspace, address))  # it is ahead of the store now
        return unseen

    def close(self) -> None:
        """Let go of every document."""
        self._opened.clear()

    def _open(self, workspace: str, address: Address) -> _Opened | None:
        place = (workspace, address)
        known = self._opened.get(place)
        state = self._store.state(workspace, address)
        if known is not None:
            current = state is not None and (known.epoch, known.last_seq) == (
                state.epoch,
                state.last_seq,
            )
            if current and not known.document.broken:
                return known
            self._opened.discard(place)
        stored = self._store.load(workspace, address)
        if stored is None:
            return None
        document = Document(_READER, stored.updates, stored.epoch)
        opened = _Opened(stored.epoch, stored.last_seq, document)
        self._opened.put(place, opened, sum(map(len, stored.updates)))
        return opened


def _close(_place: _Place, opened: _Opened) -> None:
    opened.document.close()
