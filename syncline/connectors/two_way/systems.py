"""The systems of a two-way pipeline, each a replica."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import orjson
import sqlalchemy as sa

from syncline.connectors.bookkeeping.state import State, has_state
from syncline.connectors.database.system import System
from syncline.connectors.database.tables import Table, reflect
from syncline.connectors.database.values import Kind
from syncline.connectors.file.spec import MappedRecord, TwoWay
from syncline.engine.clock import Milliseconds
from syncline.engine.document.document import Document
from syncline.engine.errors import SystemRefused, SystemUnavailable
from syncline.engine.identity import Identity
from syncline.environment import wall_clock

from .mapping import TableMapping, check_columns, kinds_of
from .record_table import RecordTable
from .relay import RELAY, RelayPeer
from .replica import RECORDS_AT_ONCE, Memory, SystemReplica


class TwoWaySystems:
    """The systems of a two-way pipeline, and the replica that each is."""

    def __init__(
        self,
        pipeline: TwoWay,
        now: Milliseconds = wall_clock,
        rng: random.Random | None = None,
    ) -> None:
        self.pipeline = pipeline
        self._now = now
        self._rng = rng or random.SystemRandom()
        self.systems = {name: System(spec) for name, spec in pipeline.systems.items()}
        self._replicas: dict[str, SystemReplica] = {}
        self._held: dict[str, sa.Connection] = {}
        self._records = _in_order(pipeline.records)
        self._relay: RelayPeer | None = None
        self._known_to_relay: set[str] = set()
        """The systems of which this process knows that they were not restored from a backup."""

    def close(self) -> None:
        """Let go of the connections."""
        if self._relay is not None:
            self._relay.close()
        for system in self.systems.values():
            system.close()

    # What each system is

    def _open(
        self, names: Mapping[str, Any], relay: RelayPeer | None = None, *, dry_run: bool = False
    ) -> None:
        """Learn the tables of these systems, which must be up, as they are now."""
        tables: dict[str, dict[str, Table]] = {}
        stored: dict[str, Kind] = {}
        for name in names:
            with self._reading(name) as connection:
                tables[name] = self._reflect(name, connection)
                if has_state(connection):
                    text = State(connection, self.pipeline.name).meta("kinds")
                    stored |= orjson.loads(text) if text else {}
        if relay is not None:
            stored |= cast("dict[str, Kind]", relay.agree("kinds", {}))
        kinds = {record.name: self._kinds(record, tables, stored) for record in self._records}
        for rank, name in enumerate(self.systems):
            if name in names:
                mappings = {
                    record.name: TableMapping(
                        record,
                        name,
                        tables[name][record.name],
                        self.systems[name].dialect,
                        kinds[record.name],
                    )
                    for record in self._records
                    if name in record.tables
                }
                for mapping in mappings.values():
                    mapping.check_keys()
                self._replicas[name] = SystemReplica(
                    self.pipeline, self.systems[name], mappings, rank, self._now, self._rng
                )
        flat = {
            f"{record}.{name}": kind for record, of in kinds.items() for name, kind in of.items()
        }
        self._kinds_text = orjson.dumps(flat).decode()
        if relay is not None and not dry_run:
            relay.agree("kinds", flat)

    def _kinds(
        self,
        record: MappedRecord,
        tables: Mapping[str, Mapping[str, Table]],
        stored: Mapping[str, Kind],
    ) -> dict[str, Kind]:
        known: dict[str, Kind] = {
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
        for record in self._records:
            if name not in record.tables:
                continue
            table = tables[record.name] = reflect(connection, record.tables[name])
            for finding in check_columns(record, name, table):
                raise SystemRefused(finding.message, hint=f"{finding.where}: {finding.hint}")
        return tables

    # Connections; those of a dry run stay open, and are rolled back at its end

    @contextmanager
    def _writing(self, name: str) -> Generator[sa.Connection]:
        if name in self._held:
            with self.systems[name].translated():
                yield self._held[name]
        else:
            with self.systems[name].writing() as connection:
                yield connection

    @contextmanager
    def _reading(self, name: str) -> Generator[sa.Connection]:
        if name in self._held:
            with self.systems[name].translated():
                yield self._held[name]
        else:
            with self.systems[name].reading() as connection:
                yield connection

    # Synchronizing

    def prepare(self) -> list[str]:
        """Make what each system needs: tables, triggers, an identity. Raises SystemUnavailable."""
        waiting: dict[str, str] = {}
        self._prepare(waiting, dry_run=False)
        for reason in waiting.values():
            raise SystemUnavailable(reason, hint="Try again when it is back.", retry_after=5.0)
        return []

    def _reach_relay(self, waiting: dict[str, str]) -> RelayPeer | None:
        """The relay, with all that it has; None if there is none, or it cannot be reached."""
        if self.pipeline.relay is None:
            return None
        if self._relay is None:
            self._relay = RelayPeer(self.pipeline.name, self.pipeline.records, self.pipeline.relay)
        if reason := self._relay.exchange():
            waiting[RELAY] = reason
            return None
        return self._relay

    def _prepare(
        self, waiting: dict[str, str], relay: RelayPeer | None = None, *, dry_run: bool
    ) -> None:
        """``waiting`` says why systems are left out, by their names; more may be found to be."""
        for name in [each for each in self.systems if each not in waiting]:
            try:
                with self._reading(name) as connection:
                    connection.execute(sa.text("SELECT 1"))
            except SystemUnavailable as error:
                waiting[name] = error.message
        up = {name: None for name in self.systems if name not in waiting}
        self._open(up, relay, dry_run=dry_run)
        for name in up:
            replica = self._replicas[name]
            if dry_run:
                replica.prepare_passing(self._held[name])
            else:
                replica.prepare()
            with self._reading(name) as connection:
                known = replica.state(connection).meta("kinds")
            if known != self._kinds_text:
                with self._writing(name) as connection:
                    replica.state(connection).set_meta("kinds", self._kinds_text)

    def _remember(
        self, up: Mapping[str, Any], relay: RelayPeer | None = None, *, dry_run: bool = False
    ) -> dict[int, str]:
        """Which system wrote under which client id; every system is told of all.

        A system whose peers have seen more of it than it has was restored from a backup: what it
        writes from now on must not be taken for what it wrote before.
        """
        memories: dict[str, Memory] = {}
        for name in up:
            with self._reading(name) as connection:
                memories[name] = self._replicas[name].memory(connection)
        authors: dict[int, str] = {}
        for memory in memories.values():
            authors |= memory.authors
        for name, memory in memories.items():
            seen = max((each.cursors.get(name, 0) for each in memories.values()), default=0)
            if relay is not None:
                seen = max(seen, relay.taken(name))
            if seen > memory.head or (relay is not None and self._is_behind(name, relay)):
                authors[self._begin_anew(name, max(seen, memory.head), up)] = name
                if relay is not None:
                    relay.forget(name)
        if relay is not None:
            known = {str(client_id): name for client_id, name in authors.items()}
            agreed = relay.agree("authors", {} if dry_run else known)
            authors = {int(client_id): name for client_id, name in (known | agreed).items()}
        for name, memory in memories.items():
            if missing := authors.keys() - memory.authors.keys():
                with self._writing(name) as connection:
                    for client_id in missing:
                        self._replicas[name].state(connection).set_meta(
                            f"author:{client_id}", authors[client_id]
                        )
        return authors

    def _is_behind(self, name: str, relay: RelayPeer) -> bool:
        """Whether the relay has of a system what the system does not have itself. Looked at once:
        later the relay's cursor tells."""
        if name in self._known_to_relay:
            return False
        self._known_to_relay.add(name)
        clocks: dict[tuple[str, str], int] = {}
        after = 0
        with self._reading(name) as connection:
            state = self._replicas[name].state(connection)
            client_id = int(state.meta("client_id") or "0")
            while page := RecordTable(state).since(after, RECORDS_AT_ONCE):
                after = page[-1].version
                for stored in page:
                    document = Document(0, [stored.document])
                    clocks[stored.kind, stored.rid] = document.state_vector().get(client_id, 0)
                    document.close()
        return relay.is_ahead(client_id, clocks)

    def _begin_anew(self, name: str, seen: int, up: Mapping[str, Any]) -> int:
        """Let a restored system write under a new client id, and everybody read all again."""
        client_id = Identity.draw(self._rng, "").client_id
        with self._writing(name) as connection:
            state = self._replicas[name].state(connection)
            state.set_meta("client_id", str(client_id))
            RecordTable(state).skip_to(seen)
            for peer in state.metas("cursor:"):
                state.set_meta(f"cursor:{peer}", "0")
        for peer in up:
            if peer != name:
                with self._writing(peer) as connection:
                    self._replicas[peer].state(connection).set_meta(f"cursor:{name}", "0")
        return client_id


def _in_order(records: Mapping[str, MappedRecord]) -> list[MappedRecord]:
    """The records, each after those that it refers to, as far as they do not go in a circle."""
    ordered: list[MappedRecord] = []
    rest = dict(records)
    while rest:
        free = [
            name
            for name, record in rest.items()
            if not any(each.ref in rest and each.ref != name for each in record.fields.values())
        ]
        ordered.extend(rest.pop(name) for name in free or [next(iter(rest))])
    return ordered
