"""What a relay's store holds of a document, beside what a client has of it.

No document is opened for that: a document that was made to hang or crash its reader would do so
here, for everybody. It is computed on the bytes of updates. Blocking, on whichever thread reads the
store; always the same.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.document.document import EMPTY_UPDATE, difference, merge_updates
from syncline.engine.errors import InvalidUpdate
from syncline.engine.names import Address
from syncline.engine.updates.delete_set import encode_deletes, unknown_deletes
from syncline.engine.updates.parse import (
    StateVector,
    UpdateInfo,
    UpdateLimits,
    covers,
    decode_state_vector,
    parse_update,
)
from syncline.stores import Store

from .ledger import INCOMING

MAX_DOCUMENTS = 1000
"""Documents kept for those who ask next: after a restart everybody asks for the same ones."""
MAX_BYTES = 64 << 20
"""Their size."""
_Place: TypeAlias = tuple[str, Address]  # workspace, address
_OWN = UpdateLimits(1 << 30, max_structs=1 << 30, max_clients=1 << 20, max_nesting=1 << 53)
"""What is stored has been checked."""
_PAIR = re.compile(rb"[\xf0-\xf4]")
"""What begins a character of two UTF-16 units."""


class Difference(NamedTuple):
    """What the store has beyond a client: ``update``, which brings it to ``state_vector``."""

    epoch: int
    state_vector: StateVector
    update: bytes


class _Merged(NamedTuple):
    """A document as of ``last_seq``: all its updates as one."""

    epoch: int
    last_seq: int
    state_vector: StateVector
    update: bytes


class DocumentReader:
    """Reads documents of ``store``; ``limits`` are those of an update that comes."""

    def __init__(self, store: Store, limits: UpdateLimits = INCOMING) -> None:
        self._store = store
        self._limits = limits
        self._merged = BoundedCache[_Place, _Merged](MAX_DOCUMENTS, MAX_BYTES)

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
        merged = self._read(workspace, address)
        if merged is None:
            return Difference(epoch, {}, EMPTY_UPDATE)
        update = merged.update
        if have and epoch == merged.epoch:
            part = difference(update, have)
            # Cut inside a character, the rest of it would be lost with its clock.
            if not _PAIR.search(update) or _brings(part, merged.state_vector, have):
                update = part
        return Difference(merged.epoch, merged.state_vector, update)

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
        seen = covers(have, info.ends())
        if not info.deletes:
            return EMPTY_UPDATE if seen else update
        merged = self._read(workspace, address)
        if merged is None:
            return update
        # Of all that is known nothing is left but the deletions.
        known = parse_update(difference(merged.update, merged.state_vector), _OWN).deletes
        deletes = encode_deletes(unknown_deletes(info.deletes, known))
        return _structs(update, info, have, seen=seen) + deletes

    def close(self) -> None:
        """Let go of every document."""
        self._merged.clear()

    def _read(self, workspace: str, address: Address) -> _Merged | None:
        place = (workspace, address)
        state = self._store.state(workspace, address)
        known = self._merged.get(place)
        if known is not None and state is not None:
            if (known.epoch, known.last_seq) == (state.epoch, state.last_seq):
                return known
            self._merged.discard(place)
        stored = self._store.load(workspace, address)
        if stored is None:
            return None
        state_vector = decode_state_vector(stored.state_vector)
        update = merge_updates(stored.updates)
        merged = _Merged(stored.epoch, stored.last_seq, state_vector, update)
        self._merged.put(place, merged, len(update))
        return merged


def _brings(part: bytes, to: StateVector, have: StateVector) -> bool:
    """Whether ``part`` brings a client from ``have`` to ``to``."""
    try:
        return covers(parse_update(part, _OWN).advance(have), to)
    except InvalidUpdate:
        return False


def _structs(update: bytes, info: UpdateInfo, have: StateVector, *, seen: bool) -> bytes:
    """``update`` up to what it deletes, without what ``have`` has of it; ``seen``: all of it."""
    if seen:
        return b"\0"
    part = difference(update, have)
    if _brings(part, info.ends(), have):
        update, info = part, parse_update(part, _OWN)
    return update.removesuffix(encode_deletes(info.deletes))
