"""The source and the destination of a one-way pipeline, and how its tables stand."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.state import (
    State,
    create_passing_state,
    create_state,
    has_state,
)
from syncline.connectors.bookkeeping.webhook_queue import Outbox
from syncline.connectors.database.system import System
from syncline.connectors.database.triggers import TriggerSet, drop_triggers
from syncline.connectors.file.spec import OneWay, Triggers
from syncline.connectors.report import Change, PassReport, Progress, no_progress
from syncline.engine.clock import Milliseconds
from syncline.engine.errors import PipelineStopped, SystemRefused
from syncline.environment import wall_clock

from .plan import TablePlan
from .tables import TargetSchema, compare_again, source_tables, spec_of
from .target import DESTINATION, SOURCE, TargetTable

SENDING = "sending"
SENT = "sent"
RECEIVED = "received"
"""Which batch of notes went last: remembered at the source before it goes and when it has gone, and
at the destination with its rows. If the destination has another one, one of the two databases was
restored from a backup, and all rows are compared. Names are drawn at random: numbers would be used
again after that."""
_LOCK = "lock"


@dataclass(slots=True)
class Pass:
    """One pass: its report, and what the caller asked for."""

    report: PassReport
    allow_deletes: bool = False
    progress: Progress = no_progress
    told: bool = False


class OneWaySystems:
    """The two databases of a one-way pipeline. What it has to remember lies at the destination, in
    one transaction with the rows; the source holds the notes of its triggers."""

    def __init__(
        self,
        pipeline: OneWay,
        now: Milliseconds = wall_clock,
        rng: random.Random | None = None,
    ) -> None:
        self.pipeline = pipeline
        self._now = now
        self._rng = rng or random.SystemRandom()
        self.systems = {name: System(pipeline.systems[name]) for name in (SOURCE, DESTINATION)}
        self._held: sa.Connection | None = None
        self._plans: list[TablePlan] = []
        self._exists: dict[str, bool] = {}

    def close(self) -> None:
        for system in self.systems.values():
            system.close()

    @property
    def _watches(self) -> bool:
        return isinstance(self.pipeline.capture, Triggers)

    # Connections; that of a dry run stays open, and is rolled back at its end

    @contextmanager
    def _source(self, *, writing: bool = False) -> Generator[sa.Connection]:
        system = self.systems[SOURCE]
        with system.writing() if writing else system.reading() as connection:
            yield connection

    @contextmanager
    def _destination(self, *, writing: bool = False) -> Generator[State]:
        system = self.systems[DESTINATION]
        if self._held is not None:
            with system.translated():
                yield State(self._held, self.pipeline.name)
            return
        with system.writing() if writing else system.reading() as connection:
            state = State(connection, self.pipeline.name)
            if writing:
                state.meta(_LOCK, lock=True)  # another process with this pipeline waits here
            yield state

    @contextmanager
    def _dry(self) -> Generator[None]:
        """Everything in here leaves the destination as it is."""
        system = self.systems[DESTINATION]
        with system.translated(), system.engine.connect() as connection:
            connection.detach()  # MariaDB would keep its temporary tables in the pool
            if not has_state(connection):
                create_passing_state(connection)
            self._held = connection
            try:
                yield
            finally:
                self._held = None
                connection.rollback()

    @contextmanager
    def _writing_tables(
        self, current: Pass, changes: list[Change], *, again: bool = False
    ) -> Generator[tuple[State, dict[str, TargetTable]]]:
        """A transaction at the destination, and its tables. What it changed is added to ``changes``
        when it is committed. ``again``: its rows were refused before."""
        report = current.report
        refused, looked_at = report.refused_count, report.looked_at
        made: list[Change] = []
        with self._destination(writing=True) as state:
            quarantine = Quarantine(state.connection, self.pipeline.name)
            holds = quarantine.count() > 0
            tables = {
                plan.name: TargetTable(
                    state.connection,
                    plan,
                    quarantine,
                    report,
                    self._now(),
                    exists=self._exists[plan.name],
                    holds=holds,
                    told=current.told,
                    again=again,
                )
                for plan in self._plans
            }
            yield state, tables
            if not again:
                self._check_refused(
                    report.refused_count - refused, report.looked_at - looked_at, report
                )
            for table in tables.values():
                made += table.changes
            if not report.dry_run:
                Outbox(state.connection, self.pipeline.name).put(made, self.pipeline.notify)
        changes += made

    def _check_refused(self, refused: int, looked_at: int, report: PassReport) -> None:
        limit = self.pipeline.stop_if_over
        if limit is None:
            return
        of_all = limit.count is not None
        number, total = (report.refused_count, report.looked_at) if of_all else (refused, looked_at)
        if limit.exceeded(number, total):
            example = f" The first: {report.refused[0].refusal.message}" if report.refused else ""
            raise PipelineStopped(
                f"{number:,} of {total:,} rows of the source were refused, more than "
                f"stop_if_over = {limit} allows; these were not written.{example}",
                hint="Correct the rows or the rules; syncline sync FILE --dry-run names them.",
            )

    # Before a pass

    def _prepare(self, *, dry_run: bool) -> list[str]:
        """Learn the tables, and make what is missing; returns what people should know. Raises
        SystemRefused, PipelineStopped."""
        with self._source() as connection:
            tables, findings = source_tables(self.pipeline, connection)
        for finding in findings:
            if finding.problem:
                raise SystemRefused(finding.message, hint=finding.hint)
        if not dry_run:
            self._make_state()
        self._plans.clear()
        for name, table in tables.items():
            with self._destination(writing=True) as state:
                schema = TargetSchema(state.connection, state, dry_run=dry_run)
                plan, exists = schema.plan(
                    spec_of(self.pipeline, name), table, self.systems[SOURCE].dialect
                )
            self._plans.append(plan)
            self._exists[name] = exists
        self._watch(dry_run=dry_run)
        self._compare_restored()
        return [finding.message for finding in findings]

    def _make_state(self) -> None:
        with self._destination() as state:
            if has_state(state.connection) and state.meta(_LOCK) is not None:
                return
        with self.systems[DESTINATION].writing() as connection:
            create_state(connection)
        with self.systems[DESTINATION].writing() as connection:
            State(connection, self.pipeline.name).set_meta(_LOCK, "")

    def _watch(self, *, dry_run: bool) -> None:
        """Make the triggers that are missing. Where triggers were, changes may have gone by: that
        these tables are to be compared is remembered before."""
        if not self._watches:
            return
        if not dry_run:
            self._forget_others()
        with self._source() as connection:
            stated = has_state(connection)
            missing = [
                plan
                for plan in self._plans
                if not stated
                or not TriggerSet(self.pipeline.name, plan.source, connection).are_present(
                    connection
                )
            ]
        if not missing:
            return
        with self._destination(writing=True) as state:
            self._compare_again(state, missing)
        if dry_run:
            return
        with self._source(writing=True) as connection:
            create_state(connection)
        with self._source(writing=True) as connection:
            for plan in missing:
                TriggerSet(self.pipeline.name, plan.source, connection).ensure(connection)

    def _forget_others(self) -> None:
        """Take no more notes about tables that do not go any more."""
        names = {plan.name for plan in self._plans}
        with self._source() as connection:
            if not has_state(connection):
                return
            others = set(State(connection, self.pipeline.name).noted_tables()) - names
        for name in sorted(others):
            with self._source(writing=True) as connection:
                drop_triggers(self.pipeline.name, name, connection)
            with self._source(writing=True) as connection:
                State(connection, self.pipeline.name).forget_notes(name)

    def _compare_again(self, state: State, plans: Iterable[TablePlan]) -> None:
        """Let all rows of these tables be compared."""
        for plan in plans:
            compare_again(state, plan.name)

    def _compare_restored(self) -> None:
        """Compare all rows if one of the databases was restored from a backup."""
        if not self._watches:
            return
        with self._source() as connection:
            stated = has_state(connection)
            source = State(connection, self.pipeline.name)
            sent, sending = (source.meta(name) if stated else None for name in (SENT, SENDING))
        with self._destination(writing=True) as state:
            if state.meta(RECEIVED) not in (sent, sending):
                self._compare_again(state, self._plans)
                state.forget_meta(RECEIVED)
                if sent is not None:
                    state.set_meta(RECEIVED, sent)

    def _announce(self) -> str:
        """A name for the batch of notes that goes next."""
        with self._destination() as state:
            received = state.meta(RECEIVED)
        name = f"{self._rng.getrandbits(64):016x}"
        with self._source(writing=True) as connection:
            source = State(connection, self.pipeline.name)
            if received is not None:
                source.set_meta(SENT, received)
            source.set_meta(SENDING, name)
        return name
