"""Changes: what happened to the records of a collection, for whoever reads along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from syncline.engine.errors import SynclineError
from syncline.engine.names import Address
from syncline.engine.records.changes import ChangeFeed, DocumentChange, Kind, Origin
from syncline.records.record import Record

from .local.pace import Pace

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """What happened to one record since the reader last looked.

    ``fields`` are the names of the fields that changed; ``origin`` says whether the (last) change
    was made here or came from the relay. ``record`` of a deleted one still has its ``key``.
    """

    kind: Kind
    record: R
    fields: tuple[str, ...]
    origin: Origin


class ChangeStream(Generic[R]):
    """An async iterator of the changes of one collection since it was made."""

    def __init__(
        self,
        record_at: Callable[[Address], R],
        check_waiting: Callable[[], None],
        pace: Pace,
    ) -> None:
        self._record_at = record_at
        self._check_waiting = check_waiting
        self._pace = pace
        self._feed = ChangeFeed()
        self._arrived = asyncio.Event()
        self._ended = False
        self._reason: SynclineError | None = None

    def add(self, change: DocumentChange) -> None:
        """Take part in a change. Called by the workspace."""
        self._feed.add(change)
        self._arrived.set()

    def end(self, reason: SynclineError | None = None) -> None:
        """Let the reader take what waits, then stop, or raise ``reason``."""
        self._ended = True
        self._reason = self._reason or reason
        self._arrived.set()

    def __aiter__(self) -> ChangeStream[R]:
        return self

    async def __anext__(self) -> Change[R]:
        """Raises LimitExceeded when too many changes waited, and what has ended the writing of
        changes: none would come any more."""
        await self._pace.spend(1)  # many may wait, and a reader need not await anything itself
        while (change := self._feed.take()) is None:
            if self._reason is not None:
                raise self._reason
            if self._ended:
                raise StopAsyncIteration
            self._check_waiting()
            self._arrived.clear()
            await self._arrived.wait()
        record = self._record_at(change.address)
        return Change(change.kind, record, tuple(sorted(change.fields)), change.origin)
