"""The catalogue: what a store holds, as digests, for comparing it with another store.

Blocking, on whichever thread reads the store. A digest costs loading a document, about 60 us for a
small one, so the digests of documents that have not changed since are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.document.digests import Digested, log_digest, range_digest
from syncline.engine.errors import DocumentBroken
from syncline.engine.names import Address
from syncline.engine.protocol.messages import DIGEST_BYTES, MAX_STATES, DocumentSummary

from .base import DocumentState, Store

DIGESTS_KEPT = 100_000
"""Digests remembered, about 300 bytes each."""
_ANSWER_BYTES = 4 << 20  # of state vectors in one answer
_BROKEN = bytes(DIGEST_BYTES)

_START = Address("", "")


class Catalogue:
    """The documents of a store in the order of their addresses, with their digests.

    ``digest`` makes that of a log; it may raise DocumentBroken."""

    def __init__(
        self, store: Store, digest: Callable[[Sequence[bytes]], bytes] = log_digest
    ) -> None:
        self._store = store
        self._digest_of_log = digest
        # By workspace and address: the epoch and the last seq of which it is, and the digest.
        self._digests = BoundedCache[tuple[str, Address], tuple[int, int, bytes]](DIGESTS_KEPT)

    def range_digest(self, workspace: str, after: Address | None, until: Address | None) -> bytes:
        """The digest of all documents with after < address <= until."""
        return self.digest_of(workspace, self._between(workspace, after, until))

    def _between(
        self, workspace: str, after: Address | None, until: Address | None
    ) -> Iterator[DocumentState]:
        while page := self.states(workspace, after, until, MAX_STATES):
            yield from page
            after = page[-1].address

    def summaries(
        self, workspace: str, after: Address | None, until: Address | None
    ) -> tuple[Address | None, list[DocumentSummary]]:
        """The documents with after < address <= until, as many as one answer holds, and up to
        where they reach."""
        states = self.states(workspace, after, until, MAX_STATES)
        reached = states[-1].address if len(states) == MAX_STATES else until
        return self.summaries_of(workspace, states, reached)

    def summaries_of(
        self, workspace: str, states: Iterable[DocumentState], reached: Address | None
    ) -> tuple[Address | None, list[DocumentSummary]]:
        """As many of the documents as one answer holds, and up to where that is: ``reached`` if it
        holds all of them."""
        found: list[DocumentSummary] = []
        size = 0
        for state in states:
            digest = self._digest(workspace, state)
            found.append(DocumentSummary(state.address, state.epoch, state.state_vector, digest))
            size += len(state.state_vector)
            if size > _ANSWER_BYTES:
                return state.address, found
        return reached, found

    def states(
        self, workspace: str, after: Address | None, until: Address | None, limit: int
    ) -> list[DocumentState]:
        """At most ``limit`` documents with after < address <= until."""
        return self._store.states(workspace, after or _START, until, limit)

    def digest_of(self, workspace: str, states: Iterable[DocumentState]) -> bytes:
        """The digest of a range that holds just these documents."""
        return range_digest(
            Digested(state.address, state.epoch, self._digest(workspace, state)) for state in states
        )

    def _digest(self, workspace: str, state: DocumentState) -> bytes:
        key = (workspace, state.address)
        known = self._digests.get(key)
        if known is not None and known[:2] == (state.epoch, state.last_seq):
            return known[2]
        digest = self._compute(workspace, state.address)
        self._digests.put(key, (state.epoch, state.last_seq, digest))
        return digest

    def _compute(self, workspace: str, address: Address) -> bytes:
        stored = self._store.load(workspace, address)
        try:
            return self._digest_of_log(stored.updates if stored else ())
        except DocumentBroken:
            return _BROKEN  # no other document has it: the two sides exchange what they have
