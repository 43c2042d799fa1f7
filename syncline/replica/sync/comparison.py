"""Comparing with a relay that was restored, or that the replica has moved to: finding out what
either side lacks.

The relay gives digests of ranges of its documents. Where ours differ it lists the range, and each
document that differs is exchanged: what we lack is fetched, what it lacks is offered, as a change
that goes through the outbox. So the cost is a digest for every document, and on the wire a few
bytes for every range that is equal.
"""

from __future__ import annotations

from syncline.engine.document.document import EMPTY_UPDATE
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Digests, DocumentSummary, States
from syncline.engine.protocol.replica_session import ReplicaSession
from syncline.engine.updates.parse import decode_state_vector
from syncline.replica.local.pace import Pace
from syncline.replica.local.workspace import Workspace
from syncline.stores.catalogue import Catalogue


class Comparison:
    """One comparison over one connection; ``relay`` is the identity of who it is with."""

    def __init__(self, workspace: Workspace, session: ReplicaSession, relay: str) -> None:
        self.relay = relay
        self._workspace = workspace
        self._catalogue = Catalogue(workspace.store)
        self._session = session
        self._pace = Pace(workspace.work_slice)
        self._reached_end = False
        self._after: Address | None = None  # where the digests begin that come next
        self._progress = self._seen = 0
        self._asked: dict[Address | None, Address | None] = {}  # ranges to be listed: after, until
        self._fetching: set[Address] = set()
        session.compare(None)

    @property
    def done(self) -> bool:
        """Whether everything was compared, and everything that we lacked has come."""
        return self._reached_end and not self._asked and not self._fetching

    async def compare(self, digests: Digests) -> None:
        """Take digests of ranges; have those listed that differ from ours."""
        after = digests.after
        if self._reached_end or after != self._after:
            return  # a repetition
        self._progress += 1
        # Our digests are of what the store holds.
        await self._workspace.journal.flushed()
        for until, digest in digests.ranges:
            if digest != await self._range_digest(after, until):
                self._enumerate(after, until)
            after = until
        if after is None:
            self._reached_end = True
        else:
            self._after = after
            self._session.compare(after)

    def stalled(self) -> bool:
        """Whether nothing has come since the last call: a request or its answer was lost."""
        stalled, self._seen = self._seen == self._progress, self._progress
        return stalled

    def _enumerate(self, after: Address | None, until: Address | None) -> None:
        self._asked[after] = until
        self._session.enumerate(after, until)

    async def exchange(self, states: States) -> None:
        """Take a list of documents; fetch and offer what differs."""
        after, reached = states.after, states.until
        if after not in self._asked:
            return
        self._progress += 1
        until = self._asked.pop(after)
        ours = {each.address: each for each in await self._summaries(after, reached)}
        theirs = {each.address: each for each in states.documents}
        for address in sorted(ours.keys() | theirs.keys()):
            self._exchange(address, ours.get(address), theirs.get(address))
            await self._pace.spend(1)
        if reached != until:
            self._enumerate(reached, until)

    def _exchange(
        self, address: Address, ours: DocumentSummary | None, theirs: DocumentSummary | None
    ) -> None:
        if ours and theirs and (ours.epoch, ours.digest) == (theirs.epoch, theirs.digest):
            return
        document = self._workspace.documents.get(address)
        # From a relay that we have moved to also what is of an earlier history than ours: it is
        # there alone, and ours is going to take its place.
        if theirs is not None and (theirs.epoch >= document.epoch or self._workspace.home.moved):
            self._fetching.add(address)
            self._session.fetch(address, document.epoch, document.state_vector())
        if ours is not None and (theirs is None or theirs.epoch <= document.epoch):
            same = theirs is not None and theirs.epoch == document.epoch
            have = decode_state_vector(theirs.state_vector) if theirs and same else {}
            missing = document.diff(have)
            if missing != EMPTY_UPDATE:
                self._workspace.journal.offer(address, document.epoch, missing)

    async def _range_digest(self, after: Address | None, until: Address | None) -> bytes:
        workspace = self._workspace
        return await workspace.store_thread(
            self._catalogue.range_digest, workspace.name, after, until
        )

    async def _summaries(
        self, after: Address | None, until: Address | None
    ) -> list[DocumentSummary]:
        workspace, found = self._workspace, list[DocumentSummary]()
        while True:
            reached, some = await workspace.store_thread(
                self._catalogue.summaries, workspace.name, after, until
            )
            found += some
            if reached == until:
                return found
            after = reached

    def received(self, address: Address) -> None:
        """A document was fetched."""
        self._progress += 1
        self._fetching.discard(address)
