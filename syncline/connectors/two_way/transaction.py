"""A transaction in one system, as its two halves share it, and what is open in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from syncline.connectors.bookkeeping.notes import Notes
from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.rows import Key, Row, encode_key, show_key
from syncline.connectors.report import Change, ChangeKind, PassReport, RefusedRow, RowRefusal
from syncline.engine.clock import Milliseconds
from syncline.engine.identity import uuid7
from syncline.stores.databases.error_codes import is_transient

from .awaited import freed
from .mapping import Agreed, TableMapping
from .record_document import RecordDocument
from .record_table import RecordTable, StoredRecord
from .shadows import Shadow, Shadows

NEW = "$new"
"""Begins the key under which a record is in quarantine that has no row yet."""


@dataclass(slots=True)
class OpenRow:
    """A row that is locked and read. ``pending`` fields differ from what was agreed on and are
    not in the record: nothing is written over them. ``kept`` ones do, too, and what peers have is
    written over them. ``forced`` ones are to be written again, although their record did not
    change."""

    key: Key
    row: Row
    rid: str
    agreed: Agreed
    pending: set[str] = field(default_factory=set[str])
    kept: set[str] = field(default_factory=set[str])
    forced: set[str] = field(default_factory=set[str])
    moved: bool = False
    """Whether what was agreed on is another than is stored."""

    def agreed_columns(self, mapping: TableMapping) -> dict[str, Any]:
        """The columns as they are, and as they were agreed on where they are not in the record."""
        columns = mapping.columns_of(self.row)
        for name in self.pending | self.kept:
            for column in mapping.columns[name]:
                columns[column] = self.agreed.columns.get(column)
        return columns


class SystemTransaction:
    """A transaction in which the changes of one system go into its record documents, and those of
    its peers into its rows. To be closed; committing is for whoever began it."""

    def __init__(
        self,
        connection: sa.Connection,
        pipeline: str,
        system: str,
        mappings: Mapping[str, TableMapping],
        authors: Mapping[int, str],
        client_id: int,
        now: Milliseconds,
        rng: random.Random,
        report: PassReport,
    ) -> None:
        self.connection = connection
        self.system = system
        self.mappings = mappings
        self.authors = authors
        self.now = now()
        self.report = report
        self.state = State(connection, pipeline)
        self.notes = Notes(connection, pipeline)
        self.shadows = Shadows(connection, pipeline)
        self.records = RecordTable(self.state)
        self.quarantine = Quarantine(connection, pipeline)
        self.documents: dict[str, RecordDocument] = {}
        self._absent: set[str] = set()
        """Records that were asked for and are not stored: the end of the transaction stores."""
        self.rows: dict[tuple[str, str], OpenRow] = {}
        """Open rows by table and record."""
        self.refusals: dict[str, dict[Key, list[RowRefusal]]] = {}
        self._released: dict[str, set[Key]] = {}
        self.waiting_newly: set[tuple[str, Key]] = set()
        """Rows that wait for a parent since this transaction, by table and key."""
        self.matches: dict[str, list[str]] = {}
        """Records that rows of this transaction are, by match key."""
        self.joined: dict[tuple[str, Key], str] = {}
        """The records of rows that became one in this transaction, by table and key."""
        self.locked: set[tuple[str, Key]] = set()
        """Rows that somebody else has locked, by table and key."""
        self.complete = True
        """Whether no row that nobody knows yet may be a record that has none here."""
        self.look_again: list[tuple[str, Key]] = []
        """Rows that the next transaction is to look at."""
        self.changes: list[Change] = []
        self.captured: dict[str, set[str]] = {}
        """The fields that were taken from this system's rows, by record."""
        self._client_id = client_id
        self._clock = now
        self._rng = rng

    # Documents

    def open(self, rids: Iterable[str]) -> None:
        """Have these documents at hand, as far as they are stored."""
        missing = {rid for rid in rids if rid not in self.documents} - self._absent
        found = self.records.load(sorted(missing))
        for rid, stored in found.items():
            if stored.kind in self.mappings:
                self._add(stored.kind, rid, stored.document)
        self._absent |= missing - found.keys()

    def create(self, kind: str, rid: str | None = None) -> RecordDocument:
        """A new, empty document."""
        return self._add(kind, rid or uuid7(self._clock, self._rng), None)

    def receive(self, stored: StoredRecord) -> RecordDocument | None:
        """Merge a peer's copy of a document. Returns the document if that changed it."""
        document = self.documents.get(stored.rid)
        if document is None:
            document = self._add(stored.kind, stored.rid, None)
        return document if document.merge(stored.document) else None

    def _add(self, kind: str, rid: str, data: bytes | None) -> RecordDocument:
        record = self.mappings[kind].record
        document = RecordDocument(record, rid, self._client_id, data)
        self.documents[rid] = document
        return document

    def close(self) -> None:
        for document in self.documents.values():
            document.close()

    # Rows that do not go on

    def refuse(self, table: str, key: Key, refusals: Iterable[RowRefusal]) -> None:
        """Let a row go no further, for these reasons."""
        self.refusals.setdefault(table, {}).setdefault(key, []).extend(refusals)

    def release(self, table: str, keys: Iterable[Key]) -> None:
        """Let rows go that are as they should be, whatever was wrong with them, unless they are
        refused in this transaction."""
        self._released.setdefault(table, set()).update(keys)

    def quarantine_refused(self) -> list[RefusedRow]:
        """Write down what was refused, and let go what was released; return what is new."""
        for table, keys in self._released.items():
            refused = self.refusals.get(table, {})
            self.quarantine.release(self.system, table, keys - refused.keys())
        new: list[RefusedRow] = []
        for table, refused in self.refusals.items():
            for key, refusal in self.quarantine.put(self.system, table, refused, self.now):
                row = RefusedRow(self.system, table, show_key(key), refusal)
                if refusal.rule == "parent":
                    self.waiting_newly.add((table, key))
                    self.report.awaiting[row[:3]] = row
                else:
                    new.append(row)
                    self.report.refuse(row)
        return new

    def note_waiting(self) -> bool:
        """Let the next transaction look at the rows that waited for those that were joined in this
        one, and at what waits for these in turn; and at rows that wait for each other, together.
        Returns whether there are such."""
        self.notes.add((table, encode_key(key)) for table, key in self.look_again)
        if not self.joined and not self.waiting_newly:
            return bool(self.look_again)
        waits: dict[tuple[str, Key], set[tuple[str, str]]] = {}
        kinds = {mapping.table.name: kind for kind, mapping in self.mappings.items()}
        for table, key, field_name, named in self.quarantine.awaited(self.system):
            spec = self.mappings[kinds[table]].fields.get(field_name) if table in kinds else None
            if spec is not None and spec.ref is not None:
                waits.setdefault((table, key), set()).add((spec.ref, named))
        ready = freed(
            {(kinds[table], rid) for (table, _), rid in self.joined.items()}
            | {(kinds[table], str(key[0])) for table, key in self.joined},
            {row: named for row, named in waits.items() if row[0] in kinds},
            lambda row: (kinds[row[0]], str(row[1][-1])),
            self.waiting_newly,
        )
        for table, key in ready:
            pk = encode_key(key)
            self.notes.add([(table, pk)], of_records=key[0] == NEW)
        return bool(ready or self.look_again)

    def take_locked(self, mapping: TableMapping, keys: Collection[Key]) -> Collection[Key]:
        """Those of rows that could not be locked which are there all the same: somebody else is
        changing them, and they are looked at when he is done."""
        if not keys or self.connection.dialect.name == "sqlite":
            return ()
        table = mapping.table.name
        found = mapping.rows.by_keys(self.connection, keys)
        self.locked.update((table, key) for key in found)
        known = self.shadows.by_keys(table, found)
        self.complete = self.complete and len(known) == len(found)
        return found

    def attempt(self, change: Callable[[], Any]) -> DBAPIError | None:
        """Make a change by itself; returns the error with which the database refuses it, and then
        nothing of it is kept. Raises what has nothing to do with the change, and what ``change``
        raises."""
        try:
            with self.connection.begin_nested():
                change()
        except DBAPIError as error:
            if error.connection_invalidated or is_transient(error):
                raise
            return error
        return None

    # References

    def link(self, kind: str, key: Key) -> str | None:
        """The record of the row ``key`` of the table of ``kind``."""
        mapping = self.mappings.get(kind)
        if mapping is None:
            return None
        if rid := self.joined.get((mapping.table.name, key)):
            return rid
        found = self.shadows.by_keys(mapping.table.name, [key]).get(key)
        return found.rid if found and found.agreed is not None else None

    def linked_key(self, kind: str, rid: str) -> Key | None:
        """The row of the record ``rid`` in the table of ``kind``."""
        mapping = self.mappings.get(kind)
        if mapping is None:
            return None
        if opened := self.rows.get((mapping.table.name, rid)):
            return opened.key
        found = self.shadows.by_records(mapping.table.name, [rid]).get(rid)
        return found.key if found and found.agreed is not None else None

    # For people

    def label(self, document: RecordDocument) -> str:
        """What a record is called: by a field of it, or else by its id."""
        return document.label(self.authors) or document.rid

    def note_change(
        self,
        kind: str,
        shadow: Shadow | OpenRow,
        what: ChangeKind,
        fields: dict[str, Any],
        *,
        told: bool = True,
    ) -> None:
        """Remember what was captured; ``told`` lets others know once it is committed."""
        if told:
            key = show_key(shadow.key)
            self.changes.append(Change(self.system, kind, key, what, fields, self.now))
        self.captured.setdefault(shadow.rid, set()).update(fields)
