"""Forks: edits of a document's former history, made again on its new one.

A rebuilt document has another history, and the two must never be merged: the same text would stand
in it twice. What this replica has written and the relay has not acknowledged is therefore taken as
a difference of content, and written anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from syncline.engine.document.document import Document
from syncline.engine.history.fork import reapply
from syncline.engine.names import Address
from syncline.engine.updates.parse import StateVector, covers, parse_update
from syncline.stores import Store
from syncline.stores.pending_pushes import pending_pushes

Outdated: TypeAlias = Mapping[int, Collection[Address]]
"""Batches that the relay has answered, each with the documents of which it refused the changes
because they had been rebuilt."""
NONE_OUTDATED: Outdated = {}


@dataclass(frozen=True, slots=True)
class Edits:
    """What ``edited`` has beyond ``base``, which is what the relay has acknowledged."""

    base: Document
    edited: Document

    def replay(self, onto: Document) -> None:
        """Write the difference into ``onto``, as its own changes."""
        reapply(self.base, self.edited, onto)


def unacknowledged(
    store: Store,
    workspace: str,
    address: Address,
    epoch: int,
    outdated: Outdated,
    authors: Collection[int],
) -> Edits | None:
    """The edits of a document that wait in the outbox, or None. The journal must be saved.

    ``authors`` are the client ids that this replica has written under. What others wrote and this
    replica only passes on, such as seeds, is theirs to make again.
    """
    pending = Counter(
        update
        for update in _pending(store, workspace, address, epoch, outdated)
        if parse_update(update).ranges.keys() <= set(authors)
    )
    stored = store.load(workspace, address)
    if not pending or stored is None:
        return None
    kept: list[bytes] = []
    state: StateVector = {}
    for update in stored.updates:
        info = parse_update(update)
        if pending[update]:
            pending[update] -= 1
        elif covers(state, info.needs):
            kept.append(update)
            state = info.advance(state)
    return Edits(Document(1, kept), Document(1, stored.updates))


def all_of(update: bytes, onto: bytes) -> Edits | None:
    """All content of a document, for one that shares no history with it; None if both hold the
    same. ``update`` and ``onto`` are the two, each whole.

    Fields compare by their stamps, so what both have stays once; of texts and lists that differ
    nobody can tell what is common, and both remain, one behind the other.
    """
    edited = Document(1, [update])
    if edited.to_dict() == Document(1, [onto]).to_dict():
        return None
    return Edits(Document(1), edited)


def _pending(
    store: Store, workspace: str, address: Address, epoch: int, outdated: Outdated
) -> list[bytes]:
    found: list[bytes] = []
    for push in pending_pushes(store, workspace):
        if address not in outdated.get(push.batch, (address,)):
            continue  # answered, and not refused: the new history has it
        found += [
            entry.update
            for entry in push.entries
            if entry.address == address and entry.epoch == epoch
        ]
    return found
