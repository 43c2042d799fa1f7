"""A record between databases: the CRDT document in which changes of several systems meet.

Its layout is that of every record (docs/record-layout.md): a register per field, a cell per writer,
and ``$live``. So a program that declares the record as a class reads and writes the same documents.
Two registers are of pipelines only: ``$merged`` names the record that took this one over, and
``$distinct`` says that a person keeps two rows with equal match fields apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from syncline.connectors.file.spec import MappedField, MappedRecord, Prefer
from syncline.engine.clock import COUNTER_BITS
from syncline.engine.document.cells import Cell, cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.values import encode_value
from syncline.engine.records.liveness import is_live, write_live
from syncline.engine.records.schema import LIVE, REGISTERS

MERGED = "$merged"
DISTINCT = "$distinct"


class RecordDocument:
    """The document of the record ``rid``, opened by the writer ``client_id``. To be closed."""

    def __init__(self, record: MappedRecord, rid: str, client_id: int, data: bytes | None) -> None:
        self.record = record
        self.rid = rid
        self._document = Document(client_id, [data] if data else [])
        self._cells = cells_of(self._document, REGISTERS)
        self.changed = data is None

    def close(self) -> None:
        self._document.close()

    def dump(self) -> bytes:
        """The whole document as one update."""
        return self._document.diff({})

    def merge(self, data: bytes) -> bool:
        """Integrate another copy of the document. Returns whether that changed anything."""
        changed = self._document.apply(data)
        self.changed = self.changed or changed
        return changed

    # Values

    def cell(self, field: MappedField, authors: Mapping[int, str]) -> Cell | None:
        """The cell that ``field`` shows by its policy; ``authors`` are the systems by client id."""
        siblings = self._cells.siblings(field.name)
        if len(siblings) > 1 and isinstance(field.conflict, Prefer):
            for system in field.conflict.systems:
                for cell in siblings:
                    if authors.get(cell.writer) == system:
                        return cell
        return siblings[0] if siblings else None

    def value(self, field: MappedField, authors: Mapping[int, str]) -> Any:
        """What ``field`` shows, None while nobody has written it."""
        cell = self.cell(field, authors)
        return cell.value if cell else None

    def values(self, authors: Mapping[int, str]) -> dict[str, Any]:
        """All fields that have been written."""
        cells = self._cells
        return {
            name: self.value(field, authors)
            for name, field in self.record.fields.items()
            if name in cells
        }

    def label(self, authors: Mapping[int, str]) -> str:
        """What people call the record: the value of its first field that has one, at most 40
        characters; "" if none has."""
        values = self.values(authors)
        named = (str(values[name]) for name in self.record.fields if values.get(name))
        return next(named, "")[:40]

    def conflicting(self, field: str) -> list[Cell]:
        """The concurrent values of ``field``, newest first, if they differ."""
        siblings = self._cells.siblings(field)
        return siblings if any(cell.value != siblings[0].value for cell in siblings[1:]) else []

    @property
    def conflicts(self) -> list[str]:
        """The fields with conflicting values."""
        contested = self._cells.contested()
        if not contested:
            return []
        return [name for name in self.record.fields if name in contested and self.conflicting(name)]

    def newest_writer(self, names: Iterable[str]) -> int | None:
        """Who wrote the newest of these registers; None if nobody wrote any."""
        newest = [cell for name in names if (cell := self._cells.newest(name))]
        return max(newest, key=lambda cell: cell.stamp).writer if newest else None

    def match_key(self, authors: Mapping[int, str]) -> str | None:
        return match_key(self.record, self.values(authors))

    @property
    def live(self) -> bool:
        return is_live(self._document)

    @property
    def deleted(self) -> bool:
        """Whether it is known to be deleted: of a record whose own document is yet to come from the
        system that made it, nothing is known."""
        return LIVE in self._cells and not self.live

    @property
    def merged_into(self) -> str | None:
        cell = self._cells.newest(MERGED)
        return cell.value if cell and isinstance(cell.value, str) else None

    @property
    def distinct(self) -> bool:
        return DISTINCT in self._cells

    @property
    def joinable(self) -> bool:
        """Whether a row with equal match fields may become this record."""
        return not self.distinct and self.merged_into is None

    # Changes

    def put(self, name: str, value: Any, stamp: int) -> None:
        """Write a register as of ``stamp``, or just after what it replaces, if that is later.

        Raises ValueRefused.
        """
        encoded = encode_value(value, where=f"{self.record.name}.{name}")
        cells = self._cells
        with self._document.transaction():
            cells.write(name, encoded, max(stamp, cells.stamp(name) + 1))
        self.changed = True

    def set_live(self, live: bool, stamp: int) -> None:
        """Create or delete the record."""
        cells = self._cells
        with self._document.transaction():
            stamp = max(stamp, cells.stamp(LIVE) + 1)
            write_live(self._document, live, self.record.delete_vs_edit, stamp)
        self.changed = True

    def take_over(self, other: RecordDocument, stamp: int) -> None:
        """Become the one record of both: with the newest value of each field. ``other`` ends.

        Done again, with what is known already, it changes nothing: systems that tell each other of
        it come to an end. Whether the record lives is for its own cells to say: it may have been
        deleted since.
        """
        for name in self.record.fields:
            theirs = other._cells.newest(name)
            if theirs and theirs.stamp > self._cells.stamp(name):
                self.put(name, theirs.value, theirs.stamp)
        if other.merged_into != self.rid:
            other.put(MERGED, self.rid, stamp)
        if other.live:
            other.set_live(False, stamp)


def match_key(record: MappedRecord, values: Mapping[str, Any]) -> str | None:
    """What is equal for rows that are one record by the match rule: a digest of the match fields
    without differences of case; None if one of them has no value, or there is no rule."""
    parts: list[Any] = []
    for name in record.match:
        value = values.get(name)
        if value is None or value == "":
            return None
        parts.append(value.casefold() if isinstance(value, str) else value)
    if not parts:
        return None
    encoded = encode_value([record.name, *parts], where="the match fields")
    return hashlib.sha256(encoded).hexdigest()


def stamp_at(milliseconds: int) -> int:
    """The stamp of a hybrid logical clock for a moment."""
    return milliseconds << COUNTER_BITS


def time_of(stamp: int) -> int:
    """The moment of such a stamp."""
    return stamp >> COUNTER_BITS
