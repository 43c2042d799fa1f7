"""Documents of a relay's store that cannot be opened, and how they can be again.

Which documents these are is found out each time, not remembered: opening them tells, and nothing
that is remembered can be wrong about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from syncline.engine.clock import Milliseconds
from syncline.engine.errors import DocumentBroken, InvalidUpdate
from syncline.engine.names import Address
from syncline.engine.updates.parse import StateVector, UpdateLimits, covers, parse_update
from syncline.stores import Store

from .rebuilding import load_document, replace_log

_STORED = UpdateLimits(1 << 30, max_structs=1 << 30, max_clients=1 << 20, max_nesting=1 << 53)
"""What is stored was within the limits that held then."""


class Unreadable(NamedTuple):
    """A document that cannot be opened, and why."""

    workspace: str
    address: Address
    why: str


class Opens(Protocol):
    """What opens documents, as ``OpenedElsewhere`` does."""

    def state_vector(self, updates: Sequence[bytes]) -> StateVector: ...

    def rebuilt(self, updates: Sequence[bytes], epoch: int) -> bytes: ...


class Cut(NamedTuple):
    """What is to go of a document's log for it to be read: the ``bad`` updates, and what builds on
    them (``lost``), as indices; ``kept`` is the rest."""

    bad: tuple[int, ...]
    lost: tuple[int, ...]
    kept: tuple[bytes, ...]


def unreadable_documents(store: Store, opens: Opens) -> Iterator[Unreadable]:
    """Every document that cannot be opened. Raises StoreError."""
    for workspace in store.workspaces():
        for info in store.documents(workspace):
            stored = store.load(workspace, info.address)
            why = _why_not(opens, stored.updates if stored else ())
            if why is not None:
                yield Unreadable(workspace, info.address, why)


def find_cut(store: Store, workspace: str, address: Address, opens: Opens) -> Cut:
    """What has to be cut out of a document. Nothing if it can be opened.

    Raises RecordNotFound and StoreError.
    """
    log = load_document(store, workspace, address).updates
    bad: list[int] = []
    while True:
        kept = _covered(log, bad)
        if _why_not(opens, [log[each] for each in kept]) is None:
            lost = sorted(set(range(len(log))) - set(kept) - set(bad))
            return Cut(tuple(bad), tuple(lost), tuple(log[each] for each in kept))
        bad.append(kept[_first_bad(opens, [log[each] for each in kept])])


def cut_out(
    store: Store, workspace: str, address: Address, cut: Cut, opens: Opens, now: Milliseconds
) -> int:
    """Give a document the history that is left without ``cut``, under a new epoch, as
    ``rebuild_document`` does; returns the epoch. Raises DocumentBroken and StoreError."""
    stored = load_document(store, workspace, address)
    return replace_log(store, workspace, stored, cut.kept, now, opens.rebuilt)


def _why_not(opens: Opens, updates: Sequence[bytes]) -> str | None:
    """Why the document that these updates make cannot be opened; None if it can."""
    try:
        for update in updates:
            parse_update(update, _STORED)  # before anything native sees it
        opens.state_vector(updates)
    except (DocumentBroken, InvalidUpdate) as error:
        return error.message
    return None


def _first_bad(opens: Opens, updates: Sequence[bytes]) -> int:
    """The index of the update with which the document cannot be opened any more."""
    good, bad = 0, len(updates)  # so many can be opened, and so many cannot
    while bad - good > 1:
        middle = (good + bad) // 2
        if _why_not(opens, updates[:middle]) is None:
            good = middle
        else:
            bad = middle
    return bad - 1


def _covered(log: Sequence[bytes], without: Sequence[int]) -> list[int]:
    """The indices of the updates that can be integrated when those are left out."""
    state: StateVector = {}
    kept: list[int] = []
    for number, update in enumerate(log):
        if number in without:
            continue
        try:
            info = parse_update(update, _STORED)
        except InvalidUpdate:
            kept.append(number)  # to be found
            continue
        if covers(state, info.needs):
            state = info.advance(state)
            kept.append(number)
    return kept
