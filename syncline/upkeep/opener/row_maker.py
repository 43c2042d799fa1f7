"""Documents that are kept open in an opener, to make the rows of a relay's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from syncline.engine.document.document import Document
from syncline.engine.document.values import decode_value, encode_value
from syncline.engine.records.liveness import is_live
from syncline.engine.records.projection import ProjectedTable, Rows

_READER = 1  # the client id of documents that nobody writes here


def row_request(
    key: str,
    epoch: int,
    table: ProjectedTable,
    updates: Sequence[bytes],
    *,
    fresh: bool,
    dropped: Sequence[str],
) -> list[bytes]:
    """The parts of a request: ``updates`` are all of a document, or those since the last one."""
    header = (key, epoch, table.collection, table.signature(), fresh, dropped)
    return [orjson.dumps(header), *updates]


def read_row(answer: Sequence[bytes]) -> dict[str, Any] | None:
    """The row in an answer; None if the record does not live."""
    if not answer:
        return None
    values: dict[str, str] = orjson.loads(answer[0])
    return {name: decode_value(value) for name, value in values.items()}


class RowMaker:
    """Makes rows."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Rows] = {}
        self._open: dict[str, Document] = {}

    def row(self, parts: Sequence[bytes]) -> list[bytes]:
        """Raises DocumentBroken; the document is then not open any more."""
        header, *updates = parts
        key, epoch, collection, signature, fresh, dropped = orjson.loads(header)
        for each in (*dropped, *((key,) if fresh else ())):
            self._close(each)
        try:
            document = self._open.get(key)
            if document is None:
                document = self._open[key] = Document(_READER, (), epoch)
            for update in updates:
                document.apply(update)
            if not is_live(document):
                return []
            row = self._table(collection, signature).row(document)
        except BaseException:
            self._close(key)
            raise
        return [
            orjson.dumps({name: encode_value(value, where=name) for name, value in row.items()})
        ]

    def _table(self, collection: str, signature: str) -> Rows:
        rows = self._rows.get((collection, signature))
        if rows is None:
            table = ProjectedTable.from_signature(collection, signature)
            if table is None:
                raise AssertionError("both are of one version")
            rows = self._rows[collection, signature] = Rows(table)
        return rows

    def _close(self, key: str) -> None:
        document = self._open.pop(key, None)
        if document is not None:
            document.close()
