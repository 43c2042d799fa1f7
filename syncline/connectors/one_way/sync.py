"""One-way pipelines: the tables of a source, kept at a destination.

Theory of operation. Triggers at the source note the keys of changed rows. A pass reads a batch of
notes and the rows as they are now, writes those that differ at the destination in one transaction,
and then deletes exactly these notes: a crash in between makes the batch twice, which changes
nothing the second time. A table is first copied in pages by key, while its triggers note already;
each page and how far the copy has come are one transaction. Rows that refer to others which are not
there yet wait in quarantine, and are written after these before the pass ends. Whenever changes may
have gone by (triggers were dropped, a database was restored, the plan has changed) the copy is made
again, and writes only what differs. Nothing that a pass needs is kept on the machine that runs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from syncline.connectors.bookkeeping.notes import Note, Notes
from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.pages import is_key, last_key
from syncline.connectors.database.rows import KEYS_AT_ONCE, Key, batches, show_key
from syncline.connectors.file.spec import Compare, Cursor
from syncline.connectors.report import Flow, Pass, PassReport
from syncline.engine.errors import SystemUnavailable

from .copying import HIGH, TableCopy, cursor_start, greatest_value
from .plan import TablePlan
from .reading import FIRST_PAGE, check_deletes, page_size, read_rows
from .systems import RECEIVED, SENT, OneWaySystems
from .tables import COPIED, compare_again
from .target import DESTINATION, SOURCE, TargetTable
from .waiting import WaitingRows
from .writing import writing_tables

NOTES_AT_ONCE = 5_000
"""Notes about changed rows that one transaction takes in."""
_COMPARED = "compared:"
"""Remembered by table: when all of its rows were compared last, in milliseconds."""


class OneWaySync:
    """The passes of a one-way pipeline."""

    def __init__(self, systems: OneWaySystems) -> None:
        self._systems = systems
        self._pipeline = systems.pipeline

    def run(self, current: Pass) -> None:
        """One pass: what has changed at the source goes to the destination. A database that cannot
        be reached is named in the report. Raises PipelineStopped, SystemRefused."""
        waiting = current.report.waiting
        for name, system in self._systems.by_name.items():
            try:
                with system.reading():
                    pass
            except SystemUnavailable as error:
                waiting[name] = error.message
        if waiting:
            return
        try:
            if current.dry_run:
                with self._systems.dry_run():
                    self._sync(current)
            else:
                self._sync(current)
        except SystemUnavailable as error:
            # What was committed stays; the next pass goes on from there.
            label = self._systems.by_name[DESTINATION].label
            name = DESTINATION if error.message.startswith(label) else SOURCE
            waiting[name] = error.message

    def _sync(self, current: Pass) -> None:
        dry_run = current.dry_run
        current.report.notices += self._systems.prepare(dry_run=dry_run)
        current.report.left_out.update(self._systems.left_out)
        copied = self._to_copy()
        for plan in copied:
            self._copy(plan, current)
        if self._systems.watches:
            # In a dry run the copies have not written what the notes are about.
            noted = [plan for plan in self._systems.plans if not (dry_run and plan in copied)]
            self._take_notes(noted, current)
            self._miscounted(current.report)
            for plan in self._to_copy():
                if dry_run and plan in copied:
                    continue  # the first dry run has no tables to remember that in
                if dry_run:
                    current.report.flows.pop((plan.name, plan.target.name), None)
                self._copy(plan, current)
        elif isinstance(cursor := self._pipeline.capture, Cursor):
            for plan in self._systems.plans:
                if plan not in copied:
                    self._read_on(plan, cursor, current)
        if not dry_run:
            self._try_again(current)

    # Copies

    def _to_copy(self) -> list[TablePlan]:
        """The tables of which all rows have to be looked at."""
        with self._systems.destination() as state:
            if not has_state(state.connection):
                return list(self._systems.plans)
            copied = state.metas(COPIED)
            compared = state.metas(_COMPARED)
        capture = self._pipeline.capture
        return [
            plan
            for plan in self._systems.plans
            if copied.get(plan.name) != plan.digest
            or not self._systems.exists[plan.name]
            or isinstance(capture, Compare)
            or (
                isinstance(capture, Cursor)
                and self._systems.now() - int(compared.get(plan.name, "0"))
                >= capture.compare_every * 1000
            )
        ]

    def _copy(self, plan: TablePlan, current: Pass) -> None:
        copy = TableCopy(plan, self._pipeline.capture, self._systems.source, current.report)
        with self._systems.source() as source:
            total = plan.rows.count(source)
        more = True
        while more:
            with writing_tables(self._systems, current) as (state, tables):
                more = copy.page(state, tables[plan.name], allow_deletes=current.allow_deletes)
            current.progress(plan.name, copy.done, total)
        with writing_tables(self._systems, current) as (state, tables):
            copy.finish(state, tables[plan.name], allow_deletes=current.allow_deletes)
            state.set_meta(f"{_COMPARED}{plan.name}", str(self._systems.now()))

    def _miscounted(self, report: PassReport) -> None:
        """Let tables be compared that have rows at the destination which the source does not have,
        although nothing was noted: deletions can go by without a trigger (SQLite's INSERT OR
        REPLACE, MariaDB's cascades)."""
        if self._systems.dialects[0] == "postgresql":
            return
        live: dict[str, int] = {}
        with self._systems.destination() as target:
            for plan in self._systems.plans:
                if plan.spec.on_delete != "ignore" and self._systems.exists[plan.name]:
                    live[plan.name] = plan.count_live(target.connection)
                    live[plan.name] += self._missing_by_quarantine(plan, target)
                    if report.dry_run:
                        flow = report.flows.get((plan.name, plan.target.name), Flow())
                        live[plan.name] += flow.inserted - flow.deleted
        with self._systems.source() as source:
            odd = [
                plan.name
                for plan in self._systems.plans
                if plan.name in live
                and plan.rows.count(source) < live[plan.name]
                and (
                    report.dry_run or not Notes(source, self._pipeline.name).oldest([plan.name], 1)
                )
            ]
        if odd:
            with self._systems.destination(writing=True) as state:
                compare_again(state, odd)

    def _missing_by_quarantine(self, plan: TablePlan, target: State) -> int:
        """By how many rows the destination has fewer than the source because of its quarantine."""
        difference = 0
        keys = Quarantine(target.connection, self._pipeline.name).all_keys(SOURCE, plan.name)
        for batch in batches(keys):
            there = plan.live(target.connection, batch)
            with self._systems.source() as source:
                present = plan.rows.by_keys(source, batch)
            difference += len(present.keys() - there.keys()) - len(there.keys() - present.keys())
        return difference

    # Notes

    def _take_notes(self, plans: Sequence[TablePlan], current: Pass) -> None:
        """Take over every row that a note is about, as it is now."""
        names = [plan.name for plan in plans]
        with self._systems.source() as source:
            if not has_state(source):
                return
            noted = Notes(source, self._pipeline.name)
            last, total = noted.last(), noted.count(names)
            if not current.allow_deletes:
                for plan in plans:
                    self._check_noted_deletes(source, plan)
        dry_run = current.dry_run
        after = done = 0
        while notes := self._notes(names, after, last):
            after = notes[-1].seq
            batch = "" if dry_run else self._systems.announce()
            with writing_tables(self._systems, current) as (state, tables):
                self._look_at_all(notes, state)
                gone = {
                    plan.name: self._write(plan, self._keys_of(notes, plan), tables, current.report)
                    for plan in plans
                }
                for plan in reversed(plans):
                    current.report.looked_at += len(gone[plan.name])
                    tables[plan.name].remove(gone[plan.name])
                if not dry_run:
                    state.set_meta(RECEIVED, batch)
            if not dry_run:
                with self._systems.source(writing=True) as source:
                    Notes(source, self._pipeline.name).delete(note.seq for note in notes)
                    State(source, self._pipeline.name).set_meta(SENT, batch)
            done += len(notes)
            current.progress("changes", done, total)

    def _notes(self, names: Sequence[str], after: int, last: int) -> list[Note]:
        with self._systems.source() as source:
            notes = Notes(source, self._pipeline.name).oldest(names, NOTES_AT_ONCE, after)
        return [note for note in notes if note.seq <= last]

    def _look_at_all(self, notes: Sequence[Note], state: State) -> None:
        """Let tables be compared that a note is about as a whole, or whose rows MariaDB changes
        along with others: no trigger notes that."""
        whole = {note.table for note in notes if note.pk is None}
        moved = {note.table for note in notes if note.gone}
        while self._systems.dialects[0] == "mysql" and moved:
            moved = {
                plan.name
                for plan in self._systems.plans
                for key in plan.source.foreign_keys
                if key.cascades and key.table in moved
            } - whole
            whole |= moved
        compare_again(state, (plan.name for plan in self._systems.plans if plan.name in whole))

    def _write(
        self,
        plan: TablePlan,
        keys: Sequence[Key],
        tables: Mapping[str, TargetTable],
        report: PassReport,
    ) -> list[Key]:
        """Write the rows with these keys; return those of the keys that no row has."""
        gone: list[Key] = []
        rest, size = list(keys), KEYS_AT_ONCE
        while rest:
            batch, rest = rest[:size], rest[size:]
            with self._systems.source() as source:
                rows = plan.rows.by_keys(source, batch)
            tables[plan.name].write(read_rows(plan, rows.values(), report))
            gone += [key for key in batch if key not in rows and is_key(key)]
            tables[plan.name].release_unusable(
                key for key in batch if key not in rows and not is_key(key)
            )
            size = page_size([*rows.values()])
        return gone

    def _keys_of(self, notes: Sequence[Note], plan: TablePlan) -> list[Key]:
        keys = (note.key(plan.rows) for note in notes if note.table == plan.name)
        return list(dict.fromkeys(key for key in keys if key is not None))

    def _check_noted_deletes(self, source: sa.Connection, plan: TablePlan) -> None:
        """Before anything is written: as many rows may be deleted as ``max_deletes`` allows."""
        noted = Notes(source, self._pipeline.name)
        most = noted.count_gone(plan.name)
        if plan.spec.on_delete == "ignore" or not most or not self._systems.exists[plan.name]:
            return
        with self._systems.destination() as target:
            total = plan.count_live(target.connection)
        if not plan.spec.max_deletes.exceeded(most, total):
            return
        number = 0
        for keys in noted.gone_keys(plan.rows):
            there = plan.rows.by_keys(source, keys)
            with self._systems.destination() as target:
                # Those that went before a crash do not go once more.
                number += len(
                    plan.live(target.connection, (key for key in keys if key not in there))
                )
        check_deletes(plan, number, total)

    # Other ways to find changes

    def _read_on(self, plan: TablePlan, cursor: Cursor, current: Pass) -> None:
        """Take over the rows whose cursor column is beyond the last one."""
        with self._systems.destination() as state:
            start = cursor_start(state, plan, cursor)
        with self._systems.source() as source:
            greatest = greatest_value(plan, source, cursor)
        since = None if start is None else (cursor.column, start)
        after: Key | None = None
        size = FIRST_PAGE
        while True:
            with writing_tables(self._systems, current) as (state, tables):
                with self._systems.source() as source:
                    rows = plan.rows.page(source, after, size, since)
                tables[plan.name].write(read_rows(plan, rows, current.report))
                after = last_key(plan.rows, rows)
                more = len(rows) == size and after is not None
                if not more and greatest is not None:
                    state.set_meta(f"{HIGH}{plan.name}", greatest)
            if not more:
                return
            size = page_size(rows)

    def _try_again(self, current: Pass) -> None:
        """Try rows again that wait for others, or that the destination refused."""
        everything = any(flow.rows for flow in current.report.flows.values())
        WaitingRows(self._systems, current, everything=everything).try_again()
        with self._systems.destination() as state:
            quarantine = Quarantine(state.connection, self._pipeline.name)
            for plan in self._systems.plans:
                held = dict.fromkeys(quarantine.waiting(SOURCE, plan.name))
                current.report.refuse_waiting(SOURCE, plan.name, map(show_key, held))
