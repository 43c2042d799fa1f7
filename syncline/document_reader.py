"""What a relay's store holds of a document, beside what a client has of it.

Blocking, on whichever thread reads the store.
"""

from __future__ import annotations

from typing import NamedTuple

from syncline.engine.document import EMPTY_UPDATE, Document
from syncline.engine.messages import LIMITS
from syncline.engine.names import Address
from syncline.engine.updates import (
    StateVector,
    UpdateLimits,
    covers,
    decode_state_vector,
    parse_update,
)
from syncline.stores import Store

_READER = 1  # the client id of documents that nobody writes here
_LIMITS = UpdateLimits(max_bytes=LIMITS.max_update)


class Difference(NamedTuple):
    """What the store has beyond a client: ``update``, which brings it to ``state_vector``."""

    epoch: int
    state_vector: StateVector
    update: bytes


class DocumentReader:
    """Reads documents of ``store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def epoch(self, workspace: str, address: Address) -> int:
        """The document's generation, 0 if there is no such document."""
        stored = self._store.state(workspace, address)
        return stored.epoch if stored is not None else 0

    def difference(
        self, workspace: str, address: Address, epoch: int, have: StateVector
    ) -> Difference:
        """What is there beyond ``have``, a state vector of the generation ``epoch``; everything, if
        the document is of another. Raises DocumentBroken."""
        stored = self._store.load(workspace, address)
        if stored is None:
            return Difference(epoch, {}, EMPTY_UPDATE)
        document = Document(_READER, stored.updates, stored.epoch)
        try:
            update = document.diff(have if epoch == stored.epoch else {})
            return Difference(stored.epoch, dict(document.state_vector()), update)
        finally:
            document.close()

    def news(self, workspace: str, address: Address, epoch: int, update: bytes) -> bytes:
        """The part of ``update`` that is not stored yet.

        A client that connects sends all deletions that it knows, each time; stored and sent on as
        they come, they would grow the log with every connection. Raises InvalidUpdate and
        DocumentBroken.
        """
        info = parse_update(update, _LIMITS)
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
        stored = self._store.load(workspace, address)
        document = Document(_READER, stored.updates if stored else (), epoch)
        try:
            return document.news(update)
        finally:
            document.close()
