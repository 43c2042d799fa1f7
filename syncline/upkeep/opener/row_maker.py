"""Documents that are kept open in an opener, to make the rows of a relay's tables.

A request says of each document what it holds (if it is not open here) or what came since, and at
last what to let go. For each document an answer goes out at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken
from syncline.engine.records.liveness import is_live
from syncline.engine.records.projection import ProjectedTable, Rows

from .row_values import decode_row, encode_row

_READER = 1  # the client id of documents that nobody writes here
_LIVES, _GONE, _BROKEN = b"+", b"-", b"!"


@dataclass(frozen=True, slots=True)
class RowWanted:
    """``updates`` are all of a document that is ``fresh``, or those since it was asked about."""

    key: str
    epoch: int
    table: ProjectedTable
    fresh: bool
    updates: tuple[bytes, ...]


def rows_request(wanted: Sequence[RowWanted], dropped: Sequence[str]) -> list[bytes]:
    """The parts of a request."""
    tables = {each.table.collection: each.table.signature() for each in wanted}
    documents = [
        (each.key, each.epoch, each.table.collection, each.fresh, len(each.updates))
        for each in wanted
    ]
    parts = [orjson.dumps([tables, dropped, documents])]
    for each in wanted:
        parts += each.updates
    return parts


def read_row(answer: bytes) -> dict[str, Any] | None:
    """The row in the answer for a document; None if the record does not live. Raises
    DocumentBroken."""
    if answer.startswith(_BROKEN):
        raise DocumentBroken(answer[1:].decode("utf-8", "replace"), hint="Look at its updates.")
    if answer == _GONE:
        return None
    return decode_row(answer[1:])


class RowMaker:
    """Makes rows; ``report`` sends the answer for a document."""

    def __init__(self, report: Callable[[bytes], None]) -> None:
        self._report = report
        self._rows: dict[str, tuple[str, Rows]] = {}
        self._open: dict[str, Document] = {}

    def rows(self, parts: Sequence[bytes]) -> list[bytes]:
        header, *blobs = parts
        tables, dropped, documents = orjson.loads(header)
        left = iter(blobs)
        for key, epoch, collection, fresh, count in documents:
            updates = list(islice(left, count))
            rows = self._of(collection, tables[collection])
            if fresh:
                self._close(key)
            try:
                document = self._followed(key, epoch, updates, fresh=fresh)
                row = rows.row(document) if is_live(document) else None
            except DocumentBroken as error:
                self._close(key)
                self._report(_BROKEN + error.message.encode())
            else:
                self._report(_GONE if row is None else _LIVES + encode_row(row))
        for key in dropped:
            self._close(key)
        return []

    def _of(self, collection: str, signature: str) -> Rows:
        known = self._rows.get(collection)
        if known is None or known[0] != signature:
            table = ProjectedTable.from_signature(collection, signature)
            if table is None:
                raise AssertionError("both are of one version")
            known = self._rows[collection] = (signature, Rows(table))
        return known[1]

    def _followed(self, key: str, epoch: int, updates: Sequence[bytes], *, fresh: bool) -> Document:
        if fresh:
            self._open[key] = Document(_READER, (), epoch)
        document = self._open[key]
        for update in updates:
            document.apply(update)
        return document

    def _close(self, key: str) -> None:
        document = self._open.pop(key, None)
        if document is not None:
            document.close()
