"""The source and the destination of a one-way pipeline, and how its tables stand."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager

import sqlalchemy as sa

from syncline.connectors.bookkeeping.notes import Notes
from syncline.connectors.bookkeeping.schema import create_state, create_temporary_state, has_state
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.system import System
from syncline.connectors.database.triggers import TriggerSet, drop_triggers
from syncline.connectors.file.spec import OneWay, Triggers
from syncline.engine.clock import Milliseconds
from syncline.engine.errors import SystemRefused

from .plan import TablePlan
from .tables import TargetSchema, compare_again, source_tables, spec_of
from .target import DESTINATION, SOURCE

SENDING = "sending"
SENT = "sent"
RECEIVED = "received"
"""Which batch of notes went last: remembered at the source before it goes and when it has gone, and
at the destination with its rows. If the destination has another one, one of the two databases was
restored from a backup, and all rows are compared. Names are drawn at random: numbers would be used
again after that."""
_LOCK = "lock"


class OneWaySystems:
    """The two databases of a one-way pipeline. What it has to remember lies at the destination, in
    one transaction with the rows; the source holds the notes of its triggers."""

    def __init__(self, pipeline: OneWay, now: Milliseconds, rng: random.Random) -> None:
        self.pipeline = pipeline
        self.now = now
        self._rng = rng
        self.by_name = {name: System(pipeline.systems[name]) for name in (SOURCE, DESTINATION)}
        self._dry_run_connection: sa.Connection | None = None
        self.plans: list[TablePlan] = []
        """How each table goes, in the order of their foreign keys; known once it is prepared."""
        self.left_out: dict[str, str] = {}
        """Tables that the destination cannot have, and why: the others go on."""
        self.exists: dict[str, bool] = {}
        """Whether a table is there at the destination, by its name at the source."""

    def close(self) -> None:
        """Let go of the connections."""
        for system in self.by_name.values():
            system.close()

    @property
    def watches(self) -> bool:
        """Whether triggers note what changes at the source."""
        return isinstance(self.pipeline.capture, Triggers)

    @property
    def dialects(self) -> tuple[str, str]:
        """Those of the source and the destination."""
        return self.by_name[SOURCE].dialect, self.by_name[DESTINATION].dialect

    # Connections; that of a dry run stays open, and is rolled back at its end

    @contextmanager
    def source(self, *, writing: bool = False) -> Generator[sa.Connection]:
        """A transaction at the source. Raises SystemUnavailable, SystemRefused."""
        system = self.by_name[SOURCE]
        with system.writing() if writing else system.reading() as connection:
            yield connection

    @contextmanager
    def destination(self, *, writing: bool = False) -> Generator[State]:
        """A transaction at the destination, that of the dry run if there is one. Raises as
        ``source`` does."""
        system = self.by_name[DESTINATION]
        if self._dry_run_connection is not None:
            with system.translated():
                yield State(self._dry_run_connection, self.pipeline.name)
            return
        with system.writing() if writing else system.reading() as connection:
            state = State(connection, self.pipeline.name)
            if writing:
                state.meta(_LOCK, lock=True)  # another process with this pipeline waits here
            yield state

    @contextmanager
    def dry_run(self) -> Generator[None]:
        """Everything in here leaves the destination as it is."""
        with self.by_name[DESTINATION].undone() as connection:
            if not has_state(connection):
                create_temporary_state(connection)
            self._dry_run_connection = connection
            try:
                yield
            finally:
                self._dry_run_connection = None

    # Before a pass

    def prepare(self, *, dry_run: bool = False) -> list[str]:
        """Learn the tables, and make what is missing; returns what people should know. Raises
        SystemUnavailable, SystemRefused, PipelineStopped."""
        with self.source() as connection:
            tables, findings = source_tables(self.pipeline, connection)
        for finding in findings:
            if finding.problem:
                raise SystemRefused(finding.message, hint=finding.hint)
        if not dry_run:
            self._make_state()
        self.plans.clear()
        self.left_out.clear()
        for name, table in tables.items():
            try:
                with self.destination(writing=True) as state:
                    schema = TargetSchema(state.connection, state, dry_run=dry_run)
                    spec = spec_of(self.pipeline, name)
                    plan, exists = schema.plan(spec, table, self.dialects[0])
            except SystemRefused as error:
                self.left_out[name] = error.message
            else:
                self.plans.append(plan)
                self.exists[name] = exists
        if self.left_out and not self.plans:
            name, message = next(iter(self.left_out.items()))
            raise SystemRefused(f"{name}: {message}", hint="No other table goes anywhere.")
        self._watch(dry_run=dry_run)
        self._compare_restored()
        return [finding.message for finding in findings]

    def _make_state(self) -> None:
        with self.destination() as state:
            if has_state(state.connection) and state.meta(_LOCK) is not None:
                return
        with self.by_name[DESTINATION].writing() as connection:
            create_state(connection)
        with self.by_name[DESTINATION].writing() as connection:
            State(connection, self.pipeline.name).set_meta(_LOCK, "")

    def _watch(self, *, dry_run: bool) -> None:
        """Make the triggers that are missing. Where triggers were, changes may have gone by: that
        these tables are to be compared is remembered before."""
        if not self.watches:
            return
        if not dry_run:
            self._forget_others()
        with self.source() as connection:
            stated = has_state(connection)
            missing = [
                plan
                for plan in self.plans
                if not stated
                or not TriggerSet(self.pipeline.name, plan.source, connection).are_present(
                    connection
                )
            ]
        if not missing:
            return
        with self.destination(writing=True) as state:
            compare_again(state, (plan.name for plan in missing))
        if dry_run:
            return
        with self.source(writing=True) as connection:
            create_state(connection)
        with self.source(writing=True) as connection:
            for plan in missing:
                TriggerSet(self.pipeline.name, plan.source, connection).ensure(connection)

    def _forget_others(self) -> None:
        """Take no more notes about tables that do not go any more."""
        names = {plan.name for plan in self.plans}
        with self.source() as connection:
            if not has_state(connection):
                return
            others = set(Notes(connection, self.pipeline.name).tables()) - names
        for name in sorted(others):
            with self.source(writing=True) as connection:
                drop_triggers(self.pipeline.name, name, connection)
            with self.source(writing=True) as connection:
                Notes(connection, self.pipeline.name).forget(name)

    def _compare_restored(self) -> None:
        """Compare all rows if one of the databases was restored from a backup."""
        if not self.watches:
            return
        with self.source() as connection:
            stated = has_state(connection)
            source = State(connection, self.pipeline.name)
            sent, sending = (source.meta(name) if stated else None for name in (SENT, SENDING))
        with self.destination(writing=True) as state:
            if state.meta(RECEIVED) not in (sent, sending):
                compare_again(state, (plan.name for plan in self.plans))
                state.forget_meta(RECEIVED)
                if sent is not None:
                    state.set_meta(RECEIVED, sent)

    def announce(self) -> str:
        """A name for the batch of notes that goes next."""
        with self.destination() as state:
            received = state.meta(RECEIVED)
        name = f"{self._rng.getrandbits(64):016x}"
        with self.source(writing=True) as connection:
            source = State(connection, self.pipeline.name)
            if received is not None:
                source.set_meta(SENT, received)
            source.set_meta(SENDING, name)
        return name
