"""The rows of a relay's tables: it opens documents of declared collections, and no others."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

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


class RelayRows:
    """Gives writes the rows of their documents. One thread at a time, always the same."""

    def __init__(self, store: Store, tables: Iterable[ProjectedTable]) -> None:
        self._store = store
        self._rows = {table.collection: Rows(table) for table in tables}
        self._open: OrderedDict[_Place, tuple[Document, int]] = OrderedDict()
        self._bytes = 0

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
        ends = {(place, number): updates[place] for place, number in last.items()}
        return [
            replace(
                write,
                documents=tuple(
                    self._with_row(write.workspace, change, ends[here, number])
                    if (here := (write.workspace, change.address), number) in ends
                    else change
                    for change in write.documents
                ),
            )
            for number, write in enumerate(writes)
        ]

    def _with_row(
        self, workspace: str, change: DocumentWrite, updates: EpochUpdates
    ) -> DocumentWrite:
        place = (workspace, change.address)
        try:
            document = self._document(place, updates)
            live = is_live(document)
            row = self._rows[change.address.collection].row(document) if live else None
        except DocumentBroken as error:
            # What is durable does not depend on it: the table keeps the row that it has.
            logger.error("the table of %s does not follow it: %s", change.address, error)
            self._let_go(place)
            return change
        self._evict()
        return replace(change, live=live, row=row)

    def _document(self, place: _Place, latest: EpochUpdates) -> Document:
        """The document with the updates of ``latest`` applied."""
        document, size = self._open.get(place, (None, 0))
        if document is not None and document.epoch != latest.epoch:
            self._let_go(place)
            document = None
        if document is None:
            stored = self._store.load(*place)
            log = list(stored.updates) if stored and stored.epoch == latest.epoch else []
            document = Document(_READER, log, latest.epoch)
            size = sum(map(len, log))
            self._bytes += size
        added = sum(map(len, latest.updates))
        self._open[place] = (document, size + added)
        self._open.move_to_end(place)
        self._bytes += added
        for update in latest.updates:
            document.apply(update)
        return document

    def _evict(self) -> None:
        while len(self._open) > MAX_DOCUMENTS or self._bytes > MAX_BYTES:
            self._let_go(next(iter(self._open)))

    def _let_go(self, place: _Place) -> None:
        document, size = self._open.pop(place, (None, 0))
        self._bytes -= size
        if document is not None:
            document.close()

    def close(self) -> None:
        """Let go of every document."""
        for place in list(self._open):
            self._let_go(place)
