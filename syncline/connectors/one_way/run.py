"""One-way pipelines: the tables of a source, kept at a destination.

Theory of operation. Triggers at the source note the keys of changed rows. A pass reads a batch of
notes and the rows as they are now, writes those that differ at the destination in one transaction,
and then deletes exactly these notes: a crash in between makes the batch twice, which changes
nothing the second time. A table is first copied in pages by key, while its triggers note already;
each page and how far the copy has come are one transaction. Whenever changes may have gone by
(triggers were dropped, a database was restored, the plan has changed) the copy is made again, and
writes only what differs. Nothing that a pass needs is kept on the machine that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.state import Note, State, has_state
from syncline.connectors.database.rows import KEYS_AT_ONCE, Key, batches
from syncline.connectors.file.spec import Compare, Cursor
from syncline.connectors.report import Change, Flow, PassReport, Progress, no_progress
from syncline.engine.errors import SystemUnavailable

from .copying import (
    HIGH,
    PAGE,
    TableCopy,
    check_deletes,
    cursor_start,
    greatest_value,
    page_size,
    read_rows,
)
from .plan import TablePlan, last_key
from .review import OneWayReview
from .systems import RECEIVED, SENT, Pass
from .tables import COPIED
from .target import DESTINATION, SOURCE, TargetTable

NOTES_AT_ONCE = 5_000
"""Notes about changed rows that one transaction takes in."""
_COMPARED = "compared:"
"""Remembered by table: when all of its rows were compared last, in milliseconds."""
_ROUNDS = 3
"""How often a pass tries rows again that were refused for a reason that may have passed."""


class OneWayRun(OneWayReview):
    """A one-way pipeline at work. Blocking; one thread at a time. To be closed.

    Raises SystemRefused for a database that cannot take part as the file says.
    """

    def sync(
        self,
        *,
        dry_run: bool = False,
        allow_deletes: bool = False,
        progress: Progress = no_progress,
        changed: Callable[[Change], None] | None = None,
    ) -> PassReport:
        """One pass: what has changed at the source goes to the destination. A database that cannot
        be reached is named in the report. Raises PipelineStopped, SystemRefused."""
        report = PassReport(self.pipeline.name, dry_run=dry_run)
        told = not dry_run and (changed is not None or bool(self.pipeline.notify))
        current = Pass(report, allow_deletes, progress, told)
        for name, system in self.systems.items():
            try:
                with system.reading():
                    pass
            except SystemUnavailable as error:
                report.waiting[name] = error.message
        if report.waiting:
            return report
        try:
            if dry_run:
                with self._dry():
                    self._sync(current, None)
            else:
                self._sync(current, changed)
        except SystemUnavailable as error:
            # What was committed stays; the next pass goes on from there.
            label = self.systems[DESTINATION].label
            report.waiting[DESTINATION if error.message.startswith(label) else SOURCE] = (
                error.message
            )
        return report

    def _sync(self, current: Pass, changed: Callable[[Change], None] | None) -> None:
        current.report.notices += self._prepare(dry_run=current.report.dry_run)
        self._changed = changed
        copied = self._to_copy()
        for plan in copied:
            self._copy(plan, current)
        if self._watches:
            # In a dry run the copies have not written what the notes are about.
            dry_run = current.report.dry_run
            noted = [plan for plan in self._plans if not (dry_run and plan in copied)]
            self._take_notes(noted, current)
            self._miscounted(current.report)
            for plan in self._to_copy():
                if dry_run and plan in copied:
                    continue  # the first dry run has no tables to remember that in
                if dry_run:
                    current.report.flows.pop((plan.name, plan.target.name), None)
                self._copy(plan, current)
        elif isinstance(cursor := self.pipeline.capture, Cursor):
            for plan in self._plans:
                if plan not in copied:
                    self._read_on(plan, cursor, current)
        if not current.report.dry_run:
            self._try_again(current)

    # Copies

    def _to_copy(self) -> list[TablePlan]:
        """The tables of which all rows have to be looked at."""
        with self._destination() as state:
            if not has_state(state.connection):
                return list(self._plans)
            copied = state.metas(COPIED)
            compared = state.metas(_COMPARED)
        capture = self.pipeline.capture
        return [
            plan
            for plan in self._plans
            if copied.get(plan.name) != plan.digest
            or not self._exists[plan.name]
            or isinstance(capture, Compare)
            or (
                isinstance(capture, Cursor)
                and self._now() - int(compared.get(plan.name, "0")) >= capture.compare_every * 1000
            )
        ]

    def _copy(self, plan: TablePlan, current: Pass) -> None:
        copy = TableCopy(plan, self.pipeline.capture, self._source, current.report)
        with self._source() as source:
            total = plan.rows.count(source)
        more = True
        while more:
            changes: list[Change] = []
            with self._writing_tables(current, changes) as (state, tables):
                more = copy.page(state, tables[plan.name], allow_deletes=current.allow_deletes)
            self._tell(changes)
            current.progress(plan.name, copy.done, total)
        changes = []
        with self._writing_tables(current, changes) as (state, tables):
            copy.finish(state, tables[plan.name], allow_deletes=current.allow_deletes)
            state.set_meta(f"{_COMPARED}{plan.name}", str(self._now()))
        self._tell(changes)

    def _miscounted(self, report: PassReport) -> None:
        """Let tables be compared that have rows at the destination which the source does not have,
        although nothing was noted: deletions can go by without a trigger (SQLite's INSERT OR
        REPLACE, MariaDB's cascades)."""
        if self.systems[SOURCE].dialect == "postgresql":
            return
        live: dict[str, int] = {}
        with self._destination() as target:
            for plan in self._plans:
                if plan.spec.on_delete != "ignore" and self._exists[plan.name]:
                    live[plan.name] = plan.count_live(target.connection)
                    live[plan.name] += self._held_back(plan, target)
                    if report.dry_run:
                        flow = report.flows.get((plan.name, plan.target.name), Flow())
                        live[plan.name] += flow.inserted - flow.deleted
        with self._source() as source:
            odd = [
                plan
                for plan in self._plans
                if plan.name in live
                and plan.rows.count(source) < live[plan.name]
                and (report.dry_run or not State(source, self.pipeline.name).notes([plan.name], 1))
            ]
        if odd:
            with self._destination(writing=True) as state:
                self._compare_again(state, odd)

    def _held_back(self, plan: TablePlan, target: State) -> int:
        """By how many rows the destination has fewer than the source because of its quarantine."""
        difference = 0
        keys = Quarantine(target.connection, self.pipeline.name).all_keys(SOURCE, plan.name)
        for batch in batches(keys):
            there = plan.live(target.connection, batch)
            with self._source() as source:
                present = plan.rows.by_keys(source, batch)
            difference += len(present.keys() - there.keys()) - len(there.keys() - present.keys())
        return difference

    # Notes

    def _take_notes(self, plans: Sequence[TablePlan], current: Pass) -> None:
        """Take over every row that a note is about, as it is now."""
        names = [plan.name for plan in plans]
        with self._source() as source:
            if not has_state(source):
                return
            state = State(source, self.pipeline.name)
            last, total = state.last_note(), state.count_notes(names)
            if not current.allow_deletes:
                for plan in plans:
                    self._check_noted_deletes(state, plan)
        dry_run = current.report.dry_run
        after = done = 0
        while notes := self._notes(names, after, last):
            after = notes[-1].seq
            changes: list[Change] = []
            batch = "" if dry_run else self._announce()
            with self._writing_tables(current, changes) as (state, tables):
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
                with self._source(writing=True) as source:
                    state = State(source, self.pipeline.name)
                    state.delete_notes(note.seq for note in notes)
                    state.set_meta(SENT, batch)
            self._tell(changes)
            done += len(notes)
            current.progress("changes", done, total)

    def _notes(self, names: Sequence[str], after: int, last: int) -> list[Note]:
        with self._source() as source:
            notes = State(source, self.pipeline.name).notes(names, NOTES_AT_ONCE, after)
        return [note for note in notes if note.seq <= last]

    def _look_at_all(self, notes: Sequence[Note], state: State) -> None:
        """Let tables be compared that a note is about as a whole, or whose rows MariaDB changes
        along with others: no trigger notes that."""
        whole = {note.table for note in notes if note.pk is None}
        moved = {note.table for note in notes if note.gone}
        while self.systems[SOURCE].dialect == "mysql" and moved:
            moved = {
                plan.name
                for plan in self._plans
                for key in plan.source.foreign_keys
                if key.cascades and key.table in moved
            } - whole
            whole |= moved
        self._compare_again(state, [plan for plan in self._plans if plan.name in whole])

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
            with self._source() as source:
                rows = plan.rows.by_keys(source, batch)
            tables[plan.name].write(read_rows(plan, rows.values(), report))
            gone += [key for key in batch if key not in rows]
            size = page_size([*rows.values()])
        return gone

    def _keys_of(self, notes: Sequence[Note], plan: TablePlan) -> list[Key]:
        keys = (note.key(plan.rows) for note in notes if note.table == plan.name)
        return list(dict.fromkeys(key for key in keys if key is not None))

    def _check_noted_deletes(self, state: State, plan: TablePlan) -> None:
        """Before anything is written: as many rows may be deleted as ``max_deletes`` allows."""
        most = state.count_gone(plan.name)
        if plan.spec.on_delete == "ignore" or not most or not self._exists[plan.name]:
            return
        with self._destination() as target:
            total = plan.count_live(target.connection)
        if not plan.spec.max_deletes.exceeded(most, total):
            return
        number = 0
        for keys in state.gone_keys(plan.rows):
            there = plan.rows.by_keys(state.connection, keys)
            with self._destination() as target:
                # Those that went before a crash do not go once more.
                number += len(
                    plan.live(target.connection, (key for key in keys if key not in there))
                )
        check_deletes(plan, number, total)

    # Other ways to find changes

    def _read_on(self, plan: TablePlan, cursor: Cursor, current: Pass) -> None:
        """Take over the rows whose cursor column is beyond the last one."""
        with self._destination() as state:
            start = cursor_start(state, plan, cursor)
        with self._source() as source:
            greatest = greatest_value(plan, source, cursor)
        since = None if start is None else (cursor.column, start)
        after: Key | None = None
        size = PAGE // 10
        while True:
            changes: list[Change] = []
            with self._writing_tables(current, changes) as (state, tables):
                with self._source() as source:
                    rows = plan.rows.page(source, after, size, since)
                tables[plan.name].write(read_rows(plan, rows, current.report))
                after = last_key(plan.rows, rows)
                more = len(rows) == size and after is not None
                if not more and greatest is not None:
                    state.set_meta(f"{HIGH}{plan.name}", greatest)
            self._tell(changes)
            if not more:
                return
            size = page_size(rows)

    def _try_again(self, current: Pass) -> None:
        """Try rows again that wait for others, or that the destination refused."""
        for _ in range(_ROUNDS):
            changes: list[Change] = []
            with self._writing_tables(current, changes, again=True) as (state, tables):
                quarantine = Quarantine(state.connection, self.pipeline.name)
                before = quarantine.count()
                for plan in self._plans if before else ():
                    keys = quarantine.keys(SOURCE, plan.name, passing=True)
                    with self._source() as source:
                        rows = plan.rows.by_keys(source, keys)
                    tables[plan.name].write([plan.read(row) for row in rows.values()])
                    tables[plan.name].remove([key for key in keys if key not in rows])
                after = quarantine.count()
            self._tell(changes)
            if after in (0, before):
                return

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if self._changed is not None:
                self._changed(change)
