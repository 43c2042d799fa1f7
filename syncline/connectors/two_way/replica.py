"""A system as a replica: what it knows of its records, and its passes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.state import (
    Note,
    State,
    create_passing_state,
    create_state,
    has_state,
)
from syncline.connectors.bookkeeping.webhook_queue import Outbox
from syncline.connectors.database.rows import Key, encode_key
from syncline.connectors.database.system import System
from syncline.connectors.database.triggers import TriggerSet
from syncline.connectors.file.spec import Compare, Cursor, TwoWay
from syncline.connectors.report import Change, MergedField, PassReport, RefusedRow
from syncline.engine.clock import Milliseconds
from syncline.engine.errors import PipelineStopped
from syncline.engine.identity import Identity

from .apply import Apply, held_records, is_of_no_row
from .capture import UNNOTED, Capture, Noted
from .mapping import TableMapping
from .record_document import RecordDocument, time_of
from .record_table import RecordTable, StoredRecord
from .shadows import Shadow, Shadows
from .transaction import ReplicaPass

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
        return State(connection, self._pipeline.name)

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

    def prepare_passing(self, connection: sa.Connection) -> None:
        """The same for a transaction that is to be undone."""
        if not has_state(connection):
            create_passing_state(connection)
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
                state.note_all(mapping.rows)

    def note_uncounted(self) -> bool:
        """Where deletions can go by without a trigger (SQLite's INSERT OR REPLACE, MariaDB's
        cascades), look at all rows of tables that have fewer than are known. Returns whether there
        are such."""
        if self.system.dialect == "postgresql":
            return False
        with self.system.reading() as connection:
            state, shadows = self.state(connection), Shadows(connection, self._pipeline.name)
            odd = [
                mapping
                for mapping in self.mappings.values()
                if state.count_notes([mapping.table.name]) == 0
                and mapping.rows.count(connection) < shadows.count(mapping.table.name)
            ]
        if odd:
            with self.system.writing() as connection:
                for mapping in odd:
                    self.state(connection).note_all(mapping.rows)
        return bool(odd)

    # Reading for peers

    def memory(self, connection: sa.Connection) -> Memory:
        state = self.state(connection)
        cursors = {peer: int(cursor) for peer, cursor in state.metas("cursor:").items()}
        authors = {int(each): system for each, system in state.metas("author:").items()}
        return Memory(RecordTable(state).head, cursors, authors)

    def news(self, connection: sa.Connection, peer: str, after: int) -> Incoming:
        """What this system has after the version ``after``, for a peer."""
        records = RecordTable(self.state(connection)).since(after, RECORDS_AT_ONCE)
        until = records[-1].version if records else after
        return Incoming(self.name, until, records)

    def has_work(self, connection: sa.Connection, *, retry: bool) -> bool:
        """Whether rows were changed, or wait to be tried again."""
        if self.state(connection).notes(self._tables, 1):
            return True
        quarantine = Quarantine(connection, self._pipeline.name)
        return retry and any(
            quarantine.keys(self.name, table, passing=True) for table in self._tables
        )

    # The pass

    def _pass(
        self, connection: sa.Connection, authors: Mapping[int, str], report: PassReport
    ) -> ReplicaPass:
        client_id = int(self.state(connection).meta("client_id") or "0")
        return ReplicaPass(
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
        opened = self._pass(connection, authors, report)
        try:
            return self._run(opened, incoming, allow_deletes=allow_deletes, retry=retry)
        finally:
            opened.close()

    def _run(
        self,
        opened: ReplicaPass,
        incoming: Sequence[Incoming],
        *,
        allow_deletes: bool,
        retry: bool,
    ) -> Outcome:
        state = opened.state
        opened.records.lock()
        notes = state.notes(self._tables, NOTES_AT_ONCE)
        before = state.last_note()
        arrived = [
            stored for each in incoming for stored in each.records if stored.kind in self.mappings
        ]
        noted, held = self._to_look_at(opened, notes, retry=retry)
        looked_at = opened.report.looked_at
        captures = {
            kind: Capture(opened, mapping, self._rank) for kind, mapping in self.mappings.items()
        }
        for kind, capture in captures.items():
            table = self.mappings[kind].table.name
            capture.run(noted.get(table, {}), arrived, allow_deletes=allow_deletes)
            self._agree(opened)  # later kinds refer to these rows
        outcome = Outcome(busy=bool(notes or arrived or opened.captured))
        opened.open(stored.rid for stored in arrived)
        opened.open(held)
        conflicts = {rid: set(each.conflicts) for rid, each in opened.documents.items()}
        received = {
            document.rid for stored in arrived if (document := opened.receive(stored)) is not None
        }
        self._note_conflicts(opened, received, conflicts, outcome)
        # Every row that was looked at: it may not show its record because the database refused that
        # once, or because somebody changed what is not his to change.
        rows = {rid for _, rid in opened.rows}
        written = self._apply(opened, captures, {*opened.captured, *received, *held, *rows})
        self._agree(opened)
        self._check_refused(opened.hold_refused(), opened.report.looked_at - looked_at)
        changed = [each for each in opened.documents.values() if each.changed]
        opened.records.save(changed, opened.authors)
        for each in incoming:
            state.set_meta(f"cursor:{each.peer}", str(each.until))
        state.delete_notes([note.seq for note in notes])
        state.delete_notes(
            note.seq
            for note in state.own_notes(before)
            if self._key_of(note) in written.get(note.table, ())
        )
        if not opened.report.dry_run:
            outbox = Outbox(opened.connection, self._pipeline.name)
            outbox.put(opened.changes, self._pipeline.notify)
        outcome.changes, outcome.captured = opened.changes, opened.captured
        outcome.labels = {
            rid: (document.record.name, opened.label(document))
            for rid in opened.captured
            if (document := opened.documents.get(rid)) is not None
        }
        return outcome

    def _key_of(self, note: Note) -> Key | None:
        mapping = next(each for each in self.mappings.values() if each.table.name == note.table)
        return note.key(mapping.rows)

    def _to_look_at(
        self, opened: ReplicaPass, notes: Sequence[Note], *, retry: bool
    ) -> tuple[dict[str, dict[Key, Noted]], list[str]]:
        """The rows to look at by table, and the records without a row to try again."""
        noted: dict[str, dict[Key, Noted]] = {table: {} for table in self._tables}
        held: list[str] = []
        for note in notes:
            if note.pk is None:
                mapping = next(e for e in self.mappings.values() if e.table.name == note.table)
                opened.state.note_all(mapping.rows)
            elif (key := self._key_of(note)) is not None and len(encode_key(key)) <= 255:
                if note.origin == "agreed" and is_of_no_row(key):
                    held += held_records([key])  # somebody asks for it to be tried again
                    continue
                known = noted[note.table].get(key, UNNOTED)
                at = note.at if note.at is not None else known.at
                noted[note.table][key] = Noted(at, known.gone or note.gone == 1)
        for table in self._tables if retry else ():
            keys = opened.quarantine.keys(self.name, table, passing=True)
            waiting = held_records(keys)
            held += waiting
            for key in keys:
                if key[-1] not in waiting:
                    noted[table].setdefault(key, UNNOTED)
        return noted, held

    def _apply(
        self, opened: ReplicaPass, captures: Mapping[str, Capture], touched: set[str]
    ) -> dict[str, set[Key]]:
        written: dict[str, set[Key]] = {}
        by_kind: dict[str, list[RecordDocument]] = {kind: [] for kind in self.mappings}
        for rid in sorted(touched):
            if (document := opened.documents.get(rid)) is not None:
                by_kind[document.record.name].append(document)
        for kind, capture in captures.items():
            mapping = self.mappings[kind]
            keys = Apply(opened, mapping, capture).run(by_kind[kind])
            written.setdefault(mapping.table.name, set()).update(keys)
            self._agree(opened)  # later kinds refer to these rows
        for kind, capture in reversed(list(captures.items())):
            mapping = self.mappings[kind]
            keys = Apply(opened, mapping, capture).delete(by_kind[kind])
            written[mapping.table.name].update(keys)
        return written

    def _agree(self, opened: ReplicaPass) -> None:
        """Write down what is agreed on from now on."""
        by_table: dict[str, list[Shadow]] = {}
        for (table, _), row in opened.rows.items():
            if row.moved:
                by_table.setdefault(table, []).append(Shadow(row.key, row.rid, row.agreed))
                row.moved = False
        for table, shadows in by_table.items():
            opened.shadows.save(table, shadows)

    def _note_conflicts(
        self,
        opened: ReplicaPass,
        received: set[str],
        before: Mapping[str, set[str]],
        outcome: Outcome,
    ) -> None:
        for rid in received:
            document = opened.documents[rid]
            for name in document.conflicts:
                if name not in before.get(rid, ()):
                    conflict = describe_conflict(document, name, opened.authors)
                    outcome.conflicts.append(conflict._replace(label=opened.label(document)))

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


def describe_conflict(
    document: RecordDocument, name: str, authors: Mapping[int, str]
) -> MergedField:
    """A conflict for people: the values by system, and which one is shown."""
    spec = document.record.fields[name]
    cells = document.conflicting(name)
    values = {authors.get(cell.writer, "relay"): cell.value for cell in reversed(cells)}
    times = {authors.get(cell.writer, "relay"): time_of(cell.stamp) for cell in reversed(cells)}
    policy = spec.conflict if isinstance(spec.conflict, str) else "prefer"
    chosen = None if policy == "surface" else document.value(spec, authors)
    return MergedField(document.record.name, document.rid, "", name, values, chosen, policy, times)
