"""A system as a replica: what it knows of its records, and its transactions."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from syncline.connectors.bookkeeping.notes import Note, Notes
from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.schema import create_state, create_temporary_state, has_state
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.bookkeeping.webhook_queue import WebhookQueue
from syncline.connectors.database.rows import Key, encode_key
from syncline.connectors.database.system import System
from syncline.connectors.database.triggers import TriggerSet
from syncline.connectors.file.spec import Compare, Cursor, TwoWay
from syncline.connectors.report import Change, MergedField, PassReport, RefusedRow
from syncline.engine.clock import Milliseconds
from syncline.engine.errors import PipelineStopped
from syncline.engine.identity import Identity

from .apply import Apply
from .capture import Capture
from .conflicts import describe_conflict
from .mapping import TableMapping
from .record_document import RecordDocument
from .record_table import RecordTable, StoredRecord
from .shadows import Shadow, Shadows
from .transaction import NEW, SystemTransaction
from .work_list import WorkList, key_of

NOTES_AT_ONCE = 1_000
RECORDS_AT_ONCE = 1_000
"""What one transaction takes in: notes about rows, and records of each peer."""


class Incoming(NamedTuple):
    """What a peer has that is new here, up to its version ``until``."""

    peer: str
    until: int
    records: Sequence[StoredRecord]


class Memory(NamedTuple):
    """What a system knows: its last version, how far it has read each peer, and which system wrote
    under which client id."""

    head: int
    cursors: dict[str, int]
    authors: dict[int, str]


@dataclass(slots=True)
class Outcome:
    """What one transaction did. ``busy``: it met something, so there may be more."""

    busy: bool = False
    changes: list[Change] = field(default_factory=list[Change])
    captured: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    conflicts: list[MergedField] = field(default_factory=list[MergedField])
    labels: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])


class SystemReplica:
    """One system of a two-way pipeline. ``mappings`` are its tables by record, in the order in
    which they refer to each other; ``rank`` is its place in the file."""

    def __init__(
        self,
        pipeline: TwoWay,
        system: System,
        mappings: Mapping[str, TableMapping],
        rank: int,
        now: Milliseconds,
        rng: random.Random,
    ) -> None:
        self._pipeline = pipeline
        self.system = system
        self.name = system.name
        self.mappings = mappings
        self._rank = rank
        self._now = now
        self._rng = rng
        self._tables = [mapping.table.name for mapping in mappings.values()]

    def state(self, connection: sa.Connection) -> State:
        """What it remembers, in the transaction of ``connection``."""
        return State(connection, self._pipeline.name)

    def notes(self, connection: sa.Connection) -> Notes:
        """The notes about its rows, in the transaction of ``connection``."""
        return Notes(connection, self._pipeline.name)

    # Before a pass

    def prepare(self) -> None:
        """Make the tables and triggers that are missing. Where triggers were, changes may have gone
        by: then all rows are looked at."""
        with self.system.reading() as connection:
            if self._is_prepared(connection):
                return
        with self.system.writing() as connection:
            create_state(connection)
        with self.system.writing() as connection:
            missed = [
                mapping
                for mapping in self.mappings.values()
                if self._watches and self._triggers(mapping, connection).ensure(connection)
            ]
        with self.system.writing() as connection:
            self._remember(connection, missed)

    def _is_prepared(self, connection: sa.Connection) -> bool:
        if not self._watches or not has_state(connection):
            return False
        digests = self.state(connection).metas("mapping:")
        return all(
            digests.get(mapping.table.name) == mapping.digest
            and self._triggers(mapping, connection).are_present(connection)
            for mapping in self.mappings.values()
        )

    def prepare_temporary(self, connection: sa.Connection) -> None:
        """The same for a transaction that is to be undone."""
        if not has_state(connection):
            create_temporary_state(connection)
        missed = [
            mapping
            for mapping in self.mappings.values()
            if self._watches and not self._triggers(mapping, connection).are_present(connection)
        ]
        self._remember(connection, missed)

    @property
    def _watches(self) -> bool:
        return not isinstance(self._pipeline.captures[self.name], Compare | Cursor)

    def _triggers(self, mapping: TableMapping, connection: sa.Connection) -> TriggerSet:
        return TriggerSet(self._pipeline.name, mapping.table, connection)

    def _remember(self, connection: sa.Connection, missed: Sequence[TableMapping]) -> None:
        state = self.state(connection)
        RecordTable(state).lock()
        if state.meta("client_id") is None:
            identity = Identity.draw(self._rng, "")
            state.set_meta("client_id", str(identity.client_id))
            state.set_meta(f"author:{identity.client_id}", self.name)
        noted = {mapping.table.name for mapping in missed}
        for mapping in self.mappings.values():
            table = mapping.table.name
            if state.meta(f"mapping:{table}") != mapping.digest:
                noted.add(table)
                state.set_meta(f"mapping:{table}", mapping.digest)
        if not self._watches:
            noted.update(self._tables)
        for mapping in self.mappings.values():
            if mapping.table.name in noted:
                self.notes(connection).add_all(mapping.rows)

    def note_uncounted(self) -> bool:
        """Where deletions can go by without a trigger (SQLite's INSERT OR REPLACE, MariaDB's
        cascades), look at all rows of tables that have fewer than are known. Returns whether there
        are such."""
        if self.system.dialect == "postgresql":
            return False
        with self.system.reading() as connection:
            notes, shadows = self.notes(connection), Shadows(connection, self._pipeline.name)
            odd = [
                mapping
                for mapping in self.mappings.values()
                if notes.count([mapping.table.name]) == 0
                and mapping.rows.count(connection) < shadows.count(mapping.table.name)
            ]
        if odd:
            with self.system.writing() as connection:
                for mapping in odd:
                    self.notes(connection).add_all(mapping.rows)
        return bool(odd)

    # Reading for peers

    def memory(self, connection: sa.Connection) -> Memory:
        state = self.state(connection)
        cursors = {peer: int(cursor) for peer, cursor in state.metas("cursor:").items()}
        authors = {int(each): system for each, system in state.metas("author:").items()}
        return Memory(RecordTable(state).head, cursors, authors)

    def records_since(self, connection: sa.Connection, after: int) -> Incoming:
        """What this system has after the version ``after``, for a peer."""
        records = RecordTable(self.state(connection)).since(after, RECORDS_AT_ONCE)
        until = records[-1].version if records else after
        return Incoming(self.name, until, records)

    def has_work(self, connection: sa.Connection, *, retry: bool) -> bool:
        """Whether rows were changed, or wait to be tried again."""
        notes = self.notes(connection)
        if notes.oldest(self._tables, 1) or notes.of_records(self._tables, 1):
            return True
        quarantine = Quarantine(connection, self._pipeline.name)
        return retry and any(
            quarantine.keys(self.name, table, transient=True) for table in self._tables
        )

    # The transaction

    def _transaction(
        self, connection: sa.Connection, authors: Mapping[int, str], report: PassReport
    ) -> SystemTransaction:
        client_id = int(self.state(connection).meta("client_id") or "0")
        return SystemTransaction(
            connection,
            self._pipeline.name,
            self.name,
            self.mappings,
            authors,
            client_id,
            self._now,
            self._rng,
            report,
        )

    def run(
        self,
        connection: sa.Connection,
        incoming: Sequence[Incoming],
        authors: Mapping[int, str],
        report: PassReport,
        *,
        allow_deletes: bool,
        retry: bool,
    ) -> Outcome:
        """Capture, merge and apply, in the transaction of ``connection``.

        ``retry`` tries again what was refused for a reason that may have passed. Raises
        PipelineStopped, and whatever the database raises: then nothing of it is kept.
        """
        transaction = self._transaction(connection, authors, report)
        try:
            return self._run(transaction, incoming, allow_deletes=allow_deletes, retry=retry)
        finally:
            transaction.close()

    def _run(
        self,
        transaction: SystemTransaction,
        incoming: Sequence[Incoming],
        *,
        allow_deletes: bool,
        retry: bool,
    ) -> Outcome:
        state = transaction.state
        transaction.records.lock()
        notes = transaction.notes.oldest(self._tables, NOTES_AT_ONCE + 1)
        # Whether a table lacks a record can be said when all that it holds has been looked at.
        transaction.complete = len(notes) <= NOTES_AT_ONCE
        notes = notes[:NOTES_AT_ONCE]
        if transaction.complete:
            notes += transaction.notes.of_records(self._tables, RECORDS_AT_ONCE)
        before = transaction.notes.last()
        arrived = [
            stored for each in incoming for stored in each.records if stored.kind in self.mappings
        ]
        noted, waiting = WorkList(transaction, self.mappings).of(notes, retry=retry)
        looked_at = transaction.report.looked_at
        captures = {
            kind: Capture(transaction, mapping, self._rank)
            for kind, mapping in self.mappings.items()
        }
        for kind, capture in captures.items():
            table = self.mappings[kind].table.name
            capture.run(noted.get(table, {}), arrived, allow_deletes=allow_deletes)
            self._agree(transaction)  # later kinds refer to these rows
        locked = [each for each in notes if self._is_locked(each, transaction)]
        notes = [each for each in notes if each not in locked]
        outcome = Outcome(busy=bool(notes or arrived or transaction.captured))
        transaction.open(stored.rid for stored in arrived)
        transaction.open(waiting)
        self._release_waiting(transaction, waiting)
        conflicts = {rid: set(each.conflicts) for rid, each in transaction.documents.items()}
        received = {
            document.rid
            for stored in arrived
            if (document := transaction.receive(stored)) is not None
        }
        self._note_conflicts(transaction, received, conflicts, outcome)
        # Every row that was looked at: it may not show its record because the database refused that
        # once, or because somebody changed what is not his to change.
        rows = {rid for _, rid in transaction.rows}
        touched = {*transaction.captured, *received, *waiting, *rows}
        written = self._apply(transaction, captures, touched, inserts=transaction.complete)
        self._agree(transaction)
        self._check_refused(
            transaction.quarantine_refused(), transaction.report.looked_at - looked_at
        )
        changed = [each for each in transaction.documents.values() if each.changed]
        transaction.records.save(changed, transaction.authors)
        for each in incoming:
            state.set_meta(f"cursor:{each.peer}", str(each.until))
        transaction.notes.delete(note.seq for note in notes)
        transaction.notes.delete(
            note.seq
            for note in transaction.notes.own(before)
            if key_of(note, self.mappings) in written.get(note.table, ())
        )
        outcome.busy |= transaction.note_waiting()
        noted_already = {(each.table, key_of(each, self.mappings)) for each in locked}
        transaction.notes.add(
            (table, encode_key(key)) for table, key in transaction.locked - noted_already
        )
        if not transaction.report.dry_run:
            queue = WebhookQueue(transaction.connection, self._pipeline.name)
            queue.put(transaction.changes, self._pipeline.notify)
        outcome.changes, outcome.captured = transaction.changes, transaction.captured
        outcome.labels = {
            rid: (document.record.name, transaction.label(document))
            for rid in transaction.captured
            if (document := transaction.documents.get(rid)) is not None
        }
        return outcome

    def _is_locked(self, note: Note, transaction: SystemTransaction) -> bool:
        if not transaction.locked or note.pk is None:
            return False
        return (note.table, key_of(note, self.mappings)) in transaction.locked

    def _release_waiting(self, transaction: SystemTransaction, waiting: Sequence[str]) -> None:
        """Records that had no row are looked at: whoever has to wait again is refused again."""
        for rid in waiting:
            if (document := transaction.documents.get(rid)) is not None:
                table = self.mappings[document.record.name].table.name
                transaction.release(table, [(NEW, rid)])

    def _apply(
        self,
        transaction: SystemTransaction,
        captures: Mapping[str, Capture],
        touched: set[str],
        *,
        inserts: bool,
    ) -> dict[str, set[Key]]:
        written: dict[str, set[Key]] = {}
        by_kind: dict[str, list[RecordDocument]] = {kind: [] for kind in self.mappings}
        for rid in sorted(touched):
            if (document := transaction.documents.get(rid)) is not None:
                by_kind[document.record.name].append(document)
        for kind, capture in captures.items():
            mapping = self.mappings[kind]
            keys = Apply(transaction, mapping, capture).run(by_kind[kind], inserts=inserts)
            written.setdefault(mapping.table.name, set()).update(keys)
            self._agree(transaction)  # later kinds refer to these rows
        for kind, capture in reversed(list(captures.items())):
            mapping = self.mappings[kind]
            keys = Apply(transaction, mapping, capture).delete(by_kind[kind])
            written[mapping.table.name].update(keys)
        return written

    def _agree(self, transaction: SystemTransaction) -> None:
        """Write down what is agreed on from now on."""
        by_table: dict[str, list[Shadow]] = {}
        for (table, _), row in transaction.rows.items():
            if row.moved:
                by_table.setdefault(table, []).append(Shadow(row.key, row.rid, row.agreed))
                row.moved = False
        for table, shadows in by_table.items():
            transaction.shadows.save(table, shadows)

    def _note_conflicts(
        self,
        transaction: SystemTransaction,
        received: set[str],
        before: Mapping[str, set[str]],
        outcome: Outcome,
    ) -> None:
        for rid in received:
            document = transaction.documents[rid]
            for name in document.conflicts:
                if name not in before.get(rid, ()):
                    label = transaction.label(document)
                    outcome.conflicts.append(
                        describe_conflict(document, name, label, transaction.authors)
                    )

    def _check_refused(self, new: Sequence[RefusedRow], looked_at: int) -> None:
        limit = self._pipeline.stop_if_over
        refused = len({(each.table, each.key) for each in new})
        if limit is not None and limit.exceeded(refused, looked_at):
            first = new[0].refusal
            raise PipelineStopped(
                f"{refused:,} of {looked_at:,} rows of {self.name} were refused, more than "
                f"stop_if_over = {limit} allows; nothing was written. The first: {first.message}",
                hint="Correct the rows or the rules; syncline sync FILE --dry-run names them.",
            )
