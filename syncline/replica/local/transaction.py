"""A transaction: local changes of which either all are kept or none."""

from __future__ import annotations

import asyncio
from typing import Any

from syncline.engine.document.document import Document
from syncline.engine.errors import LimitExceeded, TransactionConflict
from syncline.engine.names import Address
from syncline.engine.protocol.messages import LIMITS


class Transaction:
    """The changes of one ``with replica.transaction()`` block, by document.

    ``documents`` are those that it has changed, ``existed`` whether each was a record before, and
    ``changes`` their updates.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._task = _current_task()
        self.changes: dict[Address, list[bytes]] = {}
        self.documents: dict[Address, Document] = {}
        self.existed: dict[Address, bool | None] = {}

    def check_task(self) -> None:
        """Raise TransactionConflict in another task than the one that has opened it."""
        if self._task is not _current_task():
            raise TransactionConflict(
                f"The transaction {self._label!r} of another task is open.",
                hint="Do not await inside `with replica.transaction()`.",
            )

    def check_sizes(self) -> None:
        """Raise LimitExceeded if it has a change that no relay would take."""
        for address, updates in self.changes.items():
            largest = max(map(len, updates), default=0)
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
