"""The catalogue as one principal sees it: what it may not read is not there.

No address of a document that it may not read leaves the relay, not even as the end of a range.
"""

from __future__ import annotations

from syncline.access.access import Permit
from syncline.engine.names import Address
from syncline.engine.protocol.messages import MAX_STATES, DocumentSummary, Range
from syncline.stores import DocumentState, StoreCalls
from syncline.stores.catalogue import Catalogue

RANGE_DOCUMENTS = 250
"""Documents in one range of a comparison."""
RANGES = 16
"""Ranges in one answer; the store is read for each of them anew."""


class ReadableCatalogue:
    """What ``permit`` lets through of ``catalogue``. The permit is asked in the event loop, the
    store is read with ``read``, a page at a time: however little of a workspace is readable, other
    readers get their turns."""

    def __init__(self, catalogue: Catalogue, read: StoreCalls, permit: Permit) -> None:
        self._catalogue = catalogue
        self._read = read
        self._permit = permit
        self._workspace = permit.workspace

    async def ranges(self, after: Address | None) -> list[Range]:
        """Digests of the next readable documents after ``after``, by ranges. The last range ends
        nowhere if it reaches the end."""
        ranges: list[Range] = []
        while len(ranges) < RANGES:
            states = await self._states(after, None, RANGE_DOCUMENTS)
            after = states[-1].address if len(states) == RANGE_DOCUMENTS else None
            digest = await self._read(self._catalogue.digest_of, self._workspace, states)
            ranges.append(Range(after, digest))
            if after is None:
                break
        return ranges

    async def summaries(
        self, after: Address | None, until: Address | None
    ) -> tuple[Address | None, list[DocumentSummary]]:
        """As ``Catalogue.summaries``."""
        if self._permit.unlimited:
            return await self._read(self._catalogue.summaries, self._workspace, after, until)
        states = await self._states(after, until, MAX_STATES)
        reached = states[-1].address if len(states) == MAX_STATES else until
        return await self._read(self._catalogue.summaries_of, self._workspace, states, reached)

    async def _states(
        self, after: Address | None, until: Address | None, limit: int
    ) -> list[DocumentState]:
        """The next readable documents; fewer than ``limit`` only if there are no more."""
        found: list[DocumentState] = []
        while True:
            page = await self._read(self._catalogue.states, self._workspace, after, until, limit)
            found += [state for state in page if self._permit.may_read(state.address)]
            if len(found) >= limit:
                return found[:limit]
            if len(page) < limit:
                return found
            after = page[-1].address
