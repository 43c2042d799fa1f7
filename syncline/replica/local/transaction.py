"""A transaction: local changes of which either all are kept or none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from syncline.engine.document.document import Document
from syncline.engine.errors import LimitExceeded, SynclineError, TransactionConflict
from syncline.engine.names import Address
from syncline.engine.protocol.messages import LIMITS


@dataclass(slots=True)
class Draft:
    """What a transaction has made of one document so far.

    ``existed`` says whether it was a record before; ``updates`` are in causal order.
    """

    document: Document
    existed: bool | None
    updates: list[bytes] = field(default_factory=list[bytes])


class Transaction:
    """The changes of one ``with replica.transaction()`` block, of the blocks inside it too.

    ``drafts`` are the documents that it has changed. ``failure`` is set when changes could not be
    taken back, so that nothing of the transaction may be kept.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._task = _current_task()
        self.drafts: dict[Address, Draft] = {}
        self.failure: SynclineError | None = None
        self._order: list[tuple[Address, int]] = []

    def add(self, address: Address, updates: list[bytes]) -> None:
        """Follow one change of a document that has a draft; a change that failed may have none."""
        self.drafts[address].updates.extend(updates)
        self._order.append((address, len(updates)))

    def mark(self) -> int:
        """Where the transaction is now, for ``take_back``."""
        return len(self._order)

    @property
    def changed(self) -> bool:
        """Whether it has changed any document."""
        return bool(self._order)

    def take_back(self, mark: int) -> list[Address]:
        """Forget every change since ``mark``; returns the documents that had one. Their drafts say
        what is to be restored in memory."""
        taken, self._order = self._order[mark:], self._order[:mark]
        for address, count in taken:
            updates = self.drafts[address].updates
            del updates[len(updates) - count :]
        return list(dict.fromkeys(address for address, _ in taken))

    def check_task(self) -> None:
        """Raise TransactionConflict in another task than the one that has opened it."""
        if self._task is not _current_task():
            raise TransactionConflict(
                f"The transaction {self._label!r} of another task is open.",
                hint="Do not await inside `with replica.transaction()`.",
            )

    def check(self) -> None:
        """Raise what keeps it from being kept: ``failure``, or LimitExceeded for a change that no
        relay would take."""
        if self.failure is not None:
            raise self.failure
        for address, draft in self.drafts.items():
            largest = max(map(len, draft.updates), default=0)
            if largest > LIMITS.max_update:
                raise LimitExceeded(
                    f"One change of {address} makes {largest:,} bytes, and a relay takes at most "
                    f"{LIMITS.max_update:,} in one.",
                    hint="Make it in several smaller steps; nothing of it was kept.",
                )


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs: a plain program between two asyncio.run()
        return None
