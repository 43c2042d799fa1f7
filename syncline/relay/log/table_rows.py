"""The rows of a relay's tables, made of the documents of declared collections, and no others.

An opener makes them: a document that hangs or kills its reader ends that process, and its table
keeps the row that it has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.errors import DocumentBroken
from syncline.engine.records.projection import ProjectedTable
from syncline.engine.updates.by_document import EpochUpdates
from syncline.stores import DocumentWrite, Store, Write
from syncline.upkeep.opener.inline import DocumentOpener
from syncline.upkeep.opener.outcomes import ROWS
from syncline.upkeep.opener.process import OpenerEnded, OpenerRefused, OpenerUnavailable
from syncline.upkeep.opener.row_maker import RowWanted, read_row, rows_request

from .place import Place

logger = logging.getLogger("syncline.relay")

MAX_DOCUMENTS = 1000
MAX_BYTES = 8 << 20
"""Documents kept open, and the size of the updates that they were made of."""
PATIENCE_SECONDS = 2.0
"""How long the rows of one transaction may take; commits wait meanwhile."""
_KEPT_BROKEN = 10_000


class _Opened(NamedTuple):
    """A document that the opener has, since its process number ``start``."""

    epoch: int
    start: int
    size: int


class _Row(NamedTuple):
    """Whether a record lives, and its row if it does."""

    live: bool
    row: dict[str, Any] | None


class RelayRows:
    """Gives writes the rows of their documents. One thread at a time, always the same."""

    def __init__(
        self, store: Store, tables: Iterable[ProjectedTable], opener: DocumentOpener
    ) -> None:
        self._store = store
        self._tables = {table.collection: table for table in tables}
        self._opener = opener
        self._dropped: list[str] = []
        self._open = BoundedCache[Place, _Opened](
            MAX_DOCUMENTS, MAX_BYTES, on_evict=lambda place, _: self._dropped.append(_key(place))
        )
        self._broken = BoundedCache[Place, int](_KEPT_BROKEN)  # and the epoch

    def add_to(self, writes: Sequence[Write]) -> list[Write]:
        """``writes``, with a row and whether the record lives in the last change of each document.

        The documents open for that are then ahead of the store: ``forget`` if it takes none.
        """
        if not self._tables:
            return list(writes)
        updates: dict[Place, EpochUpdates] = {}
        last: dict[Place, int] = {}
        for number, write in enumerate(writes):
            for change in write.documents:
                if change.address.collection in self._tables:
                    place = (write.workspace, change.address)
                    known = updates.get(place)
                    if known is None or known.epoch < change.epoch:
                        known = updates[place] = EpochUpdates(change.epoch)
                    known.updates.extend(change.updates)
                    last[place] = number
        rows = self._rows(updates)
        return [
            replace(
                write,
                documents=tuple(
                    _with_row(change, rows.get(place))
                    if last.get(place := (write.workspace, change.address)) == number
                    else change
                    for change in write.documents
                ),
            )
            for number, write in enumerate(writes)
        ]

    def _rows(self, updates: dict[Place, EpochUpdates]) -> dict[Place, _Row]:
        """The rows of these documents, but for those that cannot be read."""
        left = [
            place for place, latest in updates.items() if self._broken.get(place) != latest.epoch
        ]
        rows: dict[Place, _Row] = {}
        while left:
            place, why = left[0], ""
            try:
                answers = self._ask(left, updates)
            except OpenerEnded as error:
                answers, why = error.parts, str(error)
            except (OpenerUnavailable, OpenerRefused) as error:
                logger.error("the tables do not follow their records: %s", error)
                self.forget()
                return rows
            for place, answer in zip(left, answers, strict=False):
                try:
                    row = read_row(answer)
                    rows[place] = _Row(row is not None, row)
                except DocumentBroken as error:
                    self._report(place, error.message)
            left = left[len(answers) :]
            if left:
                self.forget()
                self._report(left[0], why)
                self._broken.put(left[0], updates[left[0]].epoch)  # others have waited for it
                left = left[1:]
        return rows

    def _report(self, place: Place, why: str) -> None:
        # What is durable does not depend on it: the table keeps the row that it has.
        logger.error("the table of %s does not follow it: %s", place[1], why)
        self._open.discard(place)

    def _ask(self, places: Sequence[Place], updates: dict[Place, EpochUpdates]) -> list[bytes]:
        self._opener.start()
        wanted = [self._wanted(place, updates[place]) for place in places]
        here = {each.key for each in wanted}
        dropped = [key for key in self._dropped if key not in here]
        self._dropped.clear()
        return self._opener.ask(ROWS, *rows_request(wanted, dropped))

    def _wanted(self, place: Place, latest: EpochUpdates) -> RowWanted:
        opened = self._open.get(place)
        log: tuple[bytes, ...] = ()
        start = self._opener.starts
        fresh = opened is None or opened[:2] != (latest.epoch, start)
        size = 0 if opened is None or fresh else opened.size
        if fresh:
            stored = self._store.load(*place)
            log = stored.updates if stored and stored.epoch == latest.epoch else ()
        came = (*log, *latest.updates)
        size += sum(map(len, came))
        self._open.put(place, _Opened(latest.epoch, start, size), size)
        table = self._tables[place[1].collection]
        return RowWanted(_key(place), latest.epoch, table, fresh, came)

    def forget(self) -> None:
        """Let go of every document."""
        self._open.clear()

    def close(self) -> None:
        """End the opener."""
        self._opener.kill()


def _with_row(change: DocumentWrite, row: _Row | None) -> DocumentWrite:
    return change if row is None else replace(change, live=row.live, row=row.row)


def _key(place: Place) -> str:
    workspace, address = place
    return f"{workspace}/{address}"
