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

from collections.abc import Callable, Sequence

from syncline.engine.errors import SystemUnavailable

from .one_way_review import OneWayReview
from .one_way_systems import COPIED, RECEIVED, SENT, Pass
from .pipeline import Compare, Cursor
from .quarantine import Quarantine
from .report import Change, PassReport, Progress, no_progress
from .rows import Key, encode_key
from .state import Note, State, has_state
from .table_copy import HIGH, PAGE, TableCopy, check_deletes, cursor_start, read_rows
from .table_plan import TablePlan
from .target_table import DESTINATION, SOURCE

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
        told = changed is not None and not dry_run
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
        for plan in self._to_copy():
            self._copy(plan, current)
        if self._watches:
            self._take_notes(current)
            if not current.report.dry_run:
                self._miscounted()
                for plan in self._to_copy():
                    self._copy(plan, current)
        elif isinstance(cursor := self.pipeline.capture, Cursor):
            for plan in self._plans:
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
                more = copy.page(state, tables[plan.name])
            self._tell(changes)
            current.progress(plan.name, copy.done, total)
        changes = []
        with self._writing_tables(current, changes) as (state, tables):
            copy.finish(state, tables[plan.name], allow_deletes=current.allow_deletes)
            state.set_meta(f"{_COMPARED}{plan.name}", str(self._now()))
        self._tell(changes)

    def _miscounted(self) -> None:
        """Let tables be compared that have rows at the destination which the source does not have,
        although nothing was noted: deletions can go by without a trigger (SQLite's INSERT OR
        REPLACE, MariaDB's cascades)."""
        if self.systems[SOURCE].dialect == "postgresql":
            return
        with self._destination() as target:
            live = {
                plan.name: plan.count_live(target.connection)
                for plan in self._plans
                if plan.spec.on_delete != "ignore" and self._exists[plan.name]
            }
        with self._source() as source:
            odd = [
                plan
                for plan in self._plans
                if plan.name in live
                and plan.rows.count(source) < live[plan.name]
                and not State(source, self.pipeline.name).notes([plan.name], 1)
            ]
        if odd:
            with self._destination(writing=True) as state:
                self._compare_again(state, odd)

    # Notes

    def _take_notes(self, current: Pass) -> None:
        """Take over every row that a note is about, as it is now."""
        names = [plan.name for plan in self._plans]
        with self._source() as source:
            if not has_state(source):
                return
            state = State(source, self.pipeline.name)
            last, total = state.last_note(), state.count_notes(names)
            if not current.allow_deletes:
                for plan in self._plans:
                    self._check_noted_deletes(state, plan)
        after = done = 0
        while notes := self._notes(names, after, last):
            after = notes[-1].seq
            changes: list[Change] = []
            sent = self._sent()
            with self._writing_tables(current, changes) as (state, tables):
                rows = self._rows_of(notes, state)
                for plan in self._plans:
                    planned = read_rows(plan, rows[plan.name].values(), current.report)
                    tables[plan.name].write(planned)
                for plan in reversed(self._plans):
                    keys = self._keys_of(notes, plan)
                    gone = [key for key in keys if key not in rows[plan.name]]
                    current.report.looked_at += len(gone)
                    tables[plan.name].remove(gone)
                state.set_meta(RECEIVED, str(sent + 1))
            if not current.report.dry_run:
                with self._source(writing=True) as source:
                    state = State(source, self.pipeline.name)
                    state.delete_notes(note.seq for note in notes)
                    state.set_meta(SENT, str(sent + 1))
            self._tell(changes)
            done += len(notes)
            current.progress("changes", done, total)

    def _notes(self, names: Sequence[str], after: int, last: int) -> list[Note]:
        with self._source() as source:
            notes = State(source, self.pipeline.name).notes(names, NOTES_AT_ONCE, after)
        return [note for note in notes if note.seq <= last]

    def _rows_of(
        self, notes: Sequence[Note], state: State
    ) -> dict[str, dict[Key, dict[str, object]]]:
        """The rows that notes are about, by table; a note about all rows lets them be compared."""
        for plan in self._plans:
            if any(note.table == plan.name and note.pk is None for note in notes):
                self._compare_again(state, [plan])
        with self._source() as source:
            return {
                plan.name: plan.rows.by_keys(source, self._keys_of(notes, plan))
                for plan in self._plans
            }

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
            number += sum(key not in there for key in keys)
        check_deletes(plan, number, total)

    # Other ways to find changes

    def _read_on(self, plan: TablePlan, cursor: Cursor, current: Pass) -> None:
        """Take over the rows whose cursor column is beyond the last one."""
        with self._destination() as state:
            start = cursor_start(state, plan, cursor)
        with self._source() as source:
            greatest = plan.rows.greatest(source, cursor.column)
        since = None if start is None else (cursor.column, start)
        after: Key | None = None
        while True:
            changes: list[Change] = []
            with self._writing_tables(current, changes) as (state, tables):
                with self._source() as source:
                    rows = plan.rows.page(source, after, PAGE, since)
                tables[plan.name].write(read_rows(plan, rows, current.report))
                if len(rows) < PAGE and greatest is not None:
                    state.set_meta(f"{HIGH}{plan.name}", encode_key((greatest,)))
            self._tell(changes)
            if len(rows) < PAGE:
                return
            after = plan.rows.key_of(rows[-1])

    def _try_again(self, current: Pass) -> None:
        """Try rows again that wait for others, or that the destination refused."""
        for _ in range(_ROUNDS):
            changes: list[Change] = []
            with self._writing_tables(current, changes) as (state, tables):
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
