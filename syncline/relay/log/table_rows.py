"""The rows of a relay's tables: it opens documents of declared collections, and no others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken
from syncline.engine.names import Address
from syncline.engine.records.liveness import is_live
from syncline.engine.records.projection import ProjectedTable, Rows
from syncline.engine.updates.by_document import EpochUpdates
from syncline.stores import DocumentWrite, Store, Write

logger = logging.getLogger("syncline.relay")

MAX_DOCUMENTS = 1000
MAX_BYTES = 64 << 20
"""Documents kept open, and the size of the updates that they were made of."""

_Place: TypeAlias = tuple[str, Address]  # workspace, address
_READER = 1  # the client id of documents that nobody writes here


class _Opened(NamedTuple):
    """A document, and the size of the updates that it was made of."""

    document: Document
    size: int


class RelayRows:
    """Gives writes the rows of their documents. One thread at a time, always the same."""

    def __init__(self, store: Store, tables: Iterable[ProjectedTable]) -> None:
        self._store = store
        self._rows = {table.collection: Rows(table) for table in tables}
        self._open = BoundedCache[_Place, _Opened](MAX_DOCUMENTS, MAX_BYTES, on_evict=_close)

    def add_to(self, writes: Sequence[Write]) -> list[Write]:
        """``writes``, with a row and whether the record lives in the last change of each document.

        The documents kept here are then ahead of the store: ``close`` if it does not take them.
        """
        if not self._rows:
            return list(writes)
        updates: dict[_Place, EpochUpdates] = {}
        last: dict[_Place, int] = {}
        for number, write in enumerate(writes):
            for change in write.documents:
                if change.address.collection in self._rows:
                    place = (write.workspace, change.address)
                    known = updates.get(place)
                    if known is None or known.epoch < change.epoch:
                        known = updates[place] = EpochUpdates(change.epoch)
                    known.updates.extend(change.updates)
                    last[place] = number
        return [
            replace(
                write,
                documents=tuple(
                    self._with_row(place, change, updates[place])
                    if last.get(place := (write.workspace, change.address)) == number
                    else change
                    for change in write.documents
                ),
            )
            for number, write in enumerate(writes)
        ]

    def _with_row(
        self, place: _Place, change: DocumentWrite, updates: EpochUpdates
    ) -> DocumentWrite:
        try:
            document = self._document(place, updates)
            live = is_live(document)
            row = self._rows[change.address.collection].row(document) if live else None
        except DocumentBroken as error:
            # What is durable does not depend on it: the table keeps the row that it has.
            logger.error("the table of %s does not follow it: %s", change.address, error)
            self._open.discard(place)
            return change
        return replace(change, live=live, row=row)

    def _document(self, place: _Place, latest: EpochUpdates) -> Document:
        """The document with the updates of ``latest`` applied."""
        opened = self._open.get(place)
        if opened is not None and opened.document.epoch != latest.epoch:
            self._open.discard(place)
            opened = None
        if opened is None:
            stored = self._store.load(*place)
            log = stored.updates if stored and stored.epoch == latest.epoch else ()
            opened = _Opened(Document(_READER, log, latest.epoch), sum(map(len, log)))
        document = opened.document
        size = opened.size + sum(map(len, latest.updates))
        self._open.put(place, _Opened(document, size), size)
        for update in latest.updates:
            document.apply(update)
        return document

    def close(self) -> None:
        """Let go of every document."""
        self._open.clear()


def _close(_place: _Place, opened: _Opened) -> None:
    opened.document.close()
