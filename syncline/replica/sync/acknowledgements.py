"""Acknowledgements: what the relay says to the batches that were pushed, taken in order.

Most are plain acknowledgements. What was refused is mended or set aside, with one exception: a
refusal because the document was rebuilt waits until its new history is here, because the edits are
to be made again on that, and until then the outbox is where they are.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping

from syncline.engine.document.document import EMPTY_UPDATE
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    EPOCH_CHANGED,
    FOREIGN_OPERATIONS,
    Entry,
    Refusal,
)
from syncline.engine.protocol.replica_session import Acknowledged
from syncline.engine.updates.parse import covers, decode_state_vector, parse_update
from syncline.replica.local.workspace import Workspace
from syncline.stores import RefusedUpdate

logger = logging.getLogger("syncline.replica")


class Acknowledgements:
    """The answers of one connection."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._journal = workspace.journal
        self._outbox = workspace.outbox
        self._waiting: deque[Acknowledged] = deque()

    def add(self, answer: Acknowledged) -> None:
        """Take the next answer; ``settle`` makes use of it."""
        self._waiting.append(answer)

    def outdated(self) -> Mapping[int, frozenset[Address]]:
        """The batches whose answers wait, each with the documents of which it was refused because
        they were rebuilt."""
        return {
            answer.batch: frozenset(
                refusal.address for refusal in answer.refusals if refusal.code == EPOCH_CHANGED
            )
            for answer in self._waiting
        }

    async def settle(self) -> Address | None:
        """Make use of the answers in order; returns the document whose new history the next one
        waits for, if one does. Raises StoreError."""
        while self._waiting:
            batch, refusals = self._waiting[0].batch, self._waiting[0].refusals
            pushed = await self._pushed(batch) if refusals else {}
            for refusal in refusals:
                entry = pushed.get(refusal.address)
                epoch = self._workspace.documents.get(refusal.address).epoch
                if refusal.code == EPOCH_CHANGED and entry and epoch <= entry.epoch:
                    return refusal.address
            self._waiting.popleft()
            refused = [
                one for each in refusals if (one := self._mend(batch, each, pushed)) is not None
            ]
            self._journal.acknowledge(batch, refused)
        return None

    async def _pushed(self, batch: int) -> dict[Address, Entry]:
        push = await self._outbox.find(batch)
        return {entry.address: entry for entry in push.entries} if push is not None else {}

    def _mend(
        self, batch: int, refusal: Refusal, pushed: Mapping[Address, Entry]
    ) -> RefusedUpdate | None:
        """Offer what the relay misses; what it will never take is to be set aside."""
        address = refusal.address
        if refusal.code == EPOCH_CHANGED:
            return None  # made again on the new history
        if refusal.code == FOREIGN_OPERATIONS:
            if self._offer_own_part(refusal, pushed.get(address)):
                return None
        elif refusal.state_vector is not None:
            document = self._workspace.documents.get(address)
            missing = document.diff(decode_state_vector(refusal.state_vector))
            self._journal.offer(address, document.epoch, missing)
            return None
        logger.error("the relay refused a change of %s: %s", address, refusal.message)
        update = pushed[address].update if address in pushed else b""
        return RefusedUpdate(batch, str(address), update, refusal.code, refusal.message)

    def _offer_own_part(self, refusal: Refusal, pushed: Entry | None) -> bool:
        """Offer an update again without what others wrote, who bring it themselves, if the relay
        lacks anything of it. False if that cannot be: nothing of it is others', or what is ours
        builds on it."""
        if pushed is None or refusal.state_vector is None:
            return False
        have = decode_state_vector(refusal.state_vector)
        others = {
            client: end
            for client, end in parse_update(pushed.update).ends().items()
            if client not in self._workspace.identity.authors and end > have.get(client, 0)
        }
        document = self._workspace.documents.get(refusal.address)
        own = document.diff({**have, **others})
        if not others or not covers(have, parse_update(own).needs):
            return False
        if own != EMPTY_UPDATE:
            self._journal.offer(refusal.address, document.epoch, own)
        return True
