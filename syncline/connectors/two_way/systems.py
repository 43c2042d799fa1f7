"""The systems of a two-way pipeline, each a replica."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import orjson
import sqlalchemy as sa

from syncline.connectors.bookkeeping.notes import Notes
from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.order import referred_first
from syncline.connectors.database.system import System
from syncline.connectors.database.tables import Table, reflect
from syncline.connectors.database.values import ValueKind
from syncline.connectors.file.spec import MappedRecord, TwoWay
from syncline.engine.clock import Milliseconds
from syncline.engine.errors import SystemRefused, SystemUnavailable

from .mapping import TableMapping, check_columns, kinds_of
from .relay import RELAY, RelayPeer
from .replica import SystemReplica


class TwoWaySystems:
    """The systems of a two-way pipeline, and the replica that each is."""

    def __init__(self, pipeline: TwoWay, now: Milliseconds, rng: random.Random) -> None:
        self.pipeline = pipeline
        self.now = now
        self.rng = rng
        self.by_name = {name: System(spec) for name, spec in pipeline.systems.items()}
        self.records = _in_order(pipeline.records)
        self.replicas: dict[str, SystemReplica] = {}
        """What each system is, by name; known once they have been learnt."""
        self.relay: RelayPeer | None = None
        """The relay, once it has been asked for."""
        self._dry_run_connections: dict[str, sa.Connection] = {}

    def close(self) -> None:
        """Let go of the connections."""
        if self.relay is not None:
            self.relay.close()
        for system in self.by_name.values():
            system.close()

    # What each system is

    def learn(
        self, names: Mapping[str, Any], relay: RelayPeer | None = None, *, dry_run: bool = False
    ) -> str:
        """Learn the tables of these systems, which must be up, as they are now: ``replicas`` are
        new. Returns the kinds of all fields as JSON, for systems to remember. Raises
        SystemUnavailable, SystemRefused."""
        tables: dict[str, dict[str, Table]] = {}
        stored: dict[str, ValueKind] = {}
        for name in names:
            with self.reading(name) as connection:
                tables[name] = self._reflect(name, connection)
                if has_state(connection):
                    text = State(connection, self.pipeline.name).meta("kinds")
                    stored |= orjson.loads(text) if text else {}
        if relay is not None:
            stored |= cast("dict[str, ValueKind]", relay.agree("kinds", {}))
        kinds = {record.name: self._kinds(record, tables, stored) for record in self.records}
        for rank, name in enumerate(self.by_name):
            if name in names:
                mappings = {
                    record.name: TableMapping(
                        record,
                        name,
                        tables[name][record.name],
                        self.by_name[name].dialect,
                        kinds[record.name],
                    )
                    for record in self.records
                    if name in record.tables
                }
                for mapping in mappings.values():
                    mapping.check_keys()
                self.replicas[name] = SystemReplica(
                    self.pipeline, self.by_name[name], mappings, rank, self.now, self.rng
                )
        flat = {
            f"{record}.{name}": kind for record, of in kinds.items() for name, kind in of.items()
        }
        if relay is not None and not dry_run:
            relay.agree("kinds", flat)
        return orjson.dumps(flat).decode()

    def _kinds(
        self,
        record: MappedRecord,
        tables: Mapping[str, Mapping[str, Table]],
        stored: Mapping[str, ValueKind],
    ) -> dict[str, ValueKind]:
        known: dict[str, ValueKind] = {
            name: kind for name in record.fields if (kind := stored.get(f"{record.name}.{name}"))
        }
        if missing := [name for name in record.tables if name not in tables]:
            if len(known) < len(record.fields):
                raise SystemUnavailable(
                    f"{missing[0]} must be reachable when the pipeline begins.",
                    hint="The types of the fields are learnt from all systems at first.",
                    retry_after=5.0,
                )
            return known
        return (
            kinds_of(
                record, {name: of[record.name] for name, of in tables.items() if record.name in of}
            )
            | known
        )

    def _reflect(self, name: str, connection: sa.Connection) -> dict[str, Table]:
        tables: dict[str, Table] = {}
        for record in self.records:
            if name not in record.tables:
                continue
            table = tables[record.name] = reflect(connection, record.tables[name])
            for finding in check_columns(record, name, table):
                raise SystemRefused(finding.message, hint=f"{finding.where}: {finding.hint}")
        return tables

    # Connections; those of a dry run stay open, and are rolled back at its end

    @contextmanager
    def dry_run(self, waiting: dict[str, str]) -> Generator[None]:
        """Everything in here leaves the systems as they are, and the relay. ``waiting`` is told
        why systems cannot be reached."""
        given = {} if self.relay is None else self.relay.given
        with ExitStack() as stack:
            try:
                for name, system in self.by_name.items():
                    try:
                        connection = stack.enter_context(system.undone())
                    except SystemUnavailable as error:
                        waiting[name] = error.message
                    else:
                        self._dry_run_connections[name] = connection
                yield
            finally:
                self._dry_run_connections.clear()
                if self.relay is not None:
                    self.relay.given = given

    @contextmanager
    def writing(self, name: str) -> Generator[sa.Connection]:
        """A transaction in a system that may write, that of the dry run if there is one. Raises
        SystemUnavailable, SystemRefused."""
        if name in self._dry_run_connections:
            with self.by_name[name].translated():
                yield self._dry_run_connections[name]
        else:
            with self.by_name[name].writing() as connection:
                yield connection

    @contextmanager
    def reading(self, name: str) -> Generator[sa.Connection]:
        """A transaction in a system that only reads, or that of the dry run. Raises as ``writing``
        does."""
        if name in self._dry_run_connections:
            with self.by_name[name].translated():
                yield self._dry_run_connections[name]
        else:
            with self.by_name[name].reading() as connection:
                yield connection

    # Before a pass

    def prepare(self) -> list[str]:
        """Make what each system needs: tables, triggers, an identity. Raises SystemUnavailable,
        SystemRefused."""
        waiting: dict[str, str] = {}
        self.prepare_reachable(waiting)
        for reason in waiting.values():
            raise SystemUnavailable(reason, hint="Try again when it is back.", retry_after=5.0)
        return []

    def reach_relay(self, waiting: dict[str, str]) -> RelayPeer | None:
        """The relay, with all that it has; None if there is none, or it cannot be reached."""
        if self.pipeline.relay is None:
            return None
        if self.relay is None:
            self.relay = RelayPeer(self.pipeline.name, self.pipeline.records, self.pipeline.relay)
        if reason := self.relay.exchange():
            waiting[RELAY] = reason
            return None
        return self.relay

    def prepare_reachable(
        self, waiting: dict[str, str], relay: RelayPeer | None = None, *, dry_run: bool = False
    ) -> None:
        """``waiting`` says why systems are left out, by their names; more may be found to be."""
        for name in [each for each in self.by_name if each not in waiting]:
            try:
                with self.reading(name) as connection:
                    connection.execute(sa.text("SELECT 1"))
            except SystemUnavailable as error:
                waiting[name] = error.message
        up = {name: None for name in self.by_name if name not in waiting}
        kinds = self.learn(up, relay, dry_run=dry_run)
        for name in up:
            replica = self.replicas[name]
            if dry_run:
                replica.prepare_temporary(self._dry_run_connections[name])
            else:
                replica.prepare()
            with self.reading(name) as connection:
                known = replica.state(connection).meta("kinds")
            if known != kinds:
                with self.writing(name) as connection:
                    replica.state(connection).set_meta("kinds", kinds)

    def count_notes(self, name: str) -> int:
        """How many changes of rows wait in a system. Raises SystemUnavailable."""
        with self.reading(name) as connection:
            if not has_state(connection):
                return 0
            tables = [record.tables[name] for record in self.records if name in record.tables]
            return Notes(connection, self.pipeline.name).count(tables)


def _in_order(records: Mapping[str, MappedRecord]) -> list[MappedRecord]:
    """The records, each after those that it refers to."""
    references = {
        name: [field.ref for field in record.fields.values() if field.ref]
        for name, record in records.items()
    }
    return [records[name] for name in referred_first(references)]
