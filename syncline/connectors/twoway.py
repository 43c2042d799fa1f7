"""Two-way pipelines: several systems, each a replica, that exchange their records.

Theory of operation. Every system keeps its own record documents, and numbers their changes. A pass
over one system is one transaction in it: it takes what users changed (capture), what its peers have
that is new to it (merge), and writes the result to its rows (apply). Peers read each other from the
last number that they have seen. A pass that is cut short leaves nothing, and one that is made twice
changes nothing the second time: so nothing has to be undone or repaired after a crash, and systems
that are away are caught up with when they are back, in any order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import orjson
import sqlalchemy as sa

from syncline.engine.clock import Milliseconds
from syncline.engine.errors import RecordNotFound, SystemRefused, SystemUnavailable, UsageError
from syncline.engine.identity import Identity
from syncline.environment import wall_clock

from .mapping import TableMapping, check_columns, kinds_of
from .pipeline import MappedRecord, TwoWay
from .quarantine import Quarantine, Quarantined
from .record_document import RecordDocument, stamp_at
from .record_table import RecordTable, StoredRecord
from .report import (
    Change,
    Finding,
    MergedField,
    MergedRecord,
    PassReport,
    Progress,
    no_progress,
)
from .state import State, has_state
from .system import System
from .system_replica import Incoming, Memory, Outcome, SystemReplica, describe_conflict
from .tables import Table, names_of, reflect
from .values import Kind

_TRIES = 5
"""How often a transaction is made that the database gives up in favour of another."""


class TwoWayRun:
    """A two-way pipeline at work. Blocking; one thread at a time. To be closed.

    Raises SystemRefused for a system that cannot take part as the file says.
    """

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

    def close(self) -> None:
        for system in self.systems.values():
            system.close()

    # What each system is

    def _open(self, names: Mapping[str, Any]) -> None:
        """Learn the tables of these systems, which must be up, as they are now."""
        tables: dict[str, dict[str, Table]] = {}
        stored: dict[str, Kind] = {}
        for name in names:
            with self._reading(name) as connection:
                tables[name] = self._reflect(name, connection)
                if has_state(connection):
                    text = State(connection, self.pipeline.name).meta("kinds")
                    stored |= orjson.loads(text) if text else {}
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
        self._kinds_text = orjson.dumps(
            {f"{record}.{name}": kind for record, of in kinds.items() for name, kind in of.items()}
        ).decode()

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
        waiting = self._prepare(dry_run=False)
        for reason in waiting.values():
            raise SystemUnavailable(reason, hint="Try again when it is back.", retry_after=5.0)
        return []

    def _prepare(self, *, dry_run: bool) -> dict[str, str]:
        """Returns why systems are left out, by their names."""
        waiting: dict[str, str] = {}
        for name in self.systems:
            try:
                with self._reading(name) as connection:
                    connection.execute(sa.text("SELECT 1"))
            except SystemUnavailable as error:
                waiting[name] = error.message
        up = {name: None for name in self.systems if name not in waiting}
        self._open(up)
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
        return waiting

    def _remember(self, up: Mapping[str, Any]) -> dict[int, str]:
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
            if seen > memory.head:
                authors[self._begin_anew(name, seen, up)] = name
        for name, memory in memories.items():
            if missing := authors.keys() - memory.authors.keys():
                with self._writing(name) as connection:
                    for client_id in missing:
                        self._replicas[name].state(connection).set_meta(
                            f"author:{client_id}", authors[client_id]
                        )
        return authors

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

    def sync(
        self,
        *,
        dry_run: bool = False,
        allow_deletes: bool = False,
        progress: Progress = no_progress,
        changed: Callable[[Change], None] | None = None,
    ) -> PassReport:
        """Passes over all systems until none has anything new. A system that cannot be reached is
        left out, and named in the report. Raises PipelineStopped, SystemRefused."""
        report = PassReport(self.pipeline.name, dry_run=dry_run)
        if not dry_run:
            self._sync(report, allow_deletes, progress, changed)
            return report
        with ExitStack() as stack:
            try:
                for name, system in self.systems.items():
                    connection = stack.enter_context(system.engine.connect())
                    connection.detach()  # MariaDB would keep its temporary tables in the pool
                    transaction = connection.begin()
                    stack.callback(transaction.rollback)
                    self._held[name] = connection
                self._sync(report, allow_deletes, progress, None)
            finally:
                self._held.clear()
        return report

    def _sync(
        self,
        report: PassReport,
        allow_deletes: bool,
        progress: Progress,
        changed: Callable[[Change], None] | None,
    ) -> None:
        report.waiting.update(self._prepare(dry_run=report.dry_run))
        up = {name: None for name in self.systems if name not in report.waiting}
        authors = self._remember(up)
        total = sum(self._pending(name) for name in up)
        merged: dict[str, dict[str, str]] = {}
        labels: dict[str, tuple[str, str]] = {}
        conflicts: set[tuple[str, str]] = set()
        retry, done = True, 0
        counted = report.dry_run
        while True:
            busy = False
            for name in list(up):
                before = report.looked_at
                try:
                    outcome = self._pass(
                        name, up, authors, report, allow_deletes=allow_deletes, retry=retry
                    )
                except SystemUnavailable as error:
                    report.waiting[name] = error.message
                    del up[name]
                    continue
                busy = busy or outcome.busy
                done += report.looked_at - before
                progress("rows", min(done, total), total or None)
                labels |= outcome.labels
                for rid, fields in outcome.captured.items():
                    merged.setdefault(rid, {}).update(dict.fromkeys(fields, name))
                for conflict in outcome.conflicts:
                    if (conflict.rid, conflict.field) not in conflicts:
                        conflicts.add((conflict.rid, conflict.field))
                        report.conflict(conflict)
                for change in outcome.changes if changed is not None else ():
                    cast("Callable[[Change], None]", changed)(change)
            if busy:
                retry = False
            elif not counted:
                counted = True
                missed = [name for name in up if self._replicas[name].note_uncounted()]
                if retry and not missed:
                    break
                retry = True
            elif retry:
                break
            else:
                retry = True
        for rid, systems in merged.items():
            if len(set(systems.values())) > 1 and rid in labels:
                report.merge(MergedRecord(*labels[rid], systems))

    def _pass(
        self,
        name: str,
        up: Mapping[str, Any],
        authors: Mapping[int, str],
        report: PassReport,
        *,
        allow_deletes: bool,
        retry: bool,
    ) -> Outcome:
        replica = self._replicas[name]
        for attempt in range(_TRIES):
            try:
                with self._reading(name) as connection:
                    cursors = replica.state(connection).metas("cursor:")
                    has_work = replica.has_work(connection, retry=retry)
                incoming: list[Incoming] = []
                for peer in up:
                    if peer != name:
                        with self._reading(peer) as connection:
                            after = int(cursors.get(peer, "0"))
                            news = self._replicas[peer].news(connection, name, after)
                            if news.records:
                                incoming.append(news)
                if not incoming and not has_work:
                    return Outcome()
                with self._writing(name) as connection:
                    return replica.run(
                        connection,
                        incoming,
                        authors,
                        report,
                        allow_deletes=allow_deletes,
                        retry=retry,
                    )
            except SystemUnavailable as error:
                if error.retry_after or attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    # What is asked about it

    def _pending(self, name: str) -> int:
        with self._reading(name) as connection:
            if not has_state(connection):
                return 0
            tables = [record.tables[name] for record in self._records if name in record.tables]
            return State(connection, self.pipeline.name).count_notes(tables)

    def pending(self) -> dict[str, int]:
        """How many changes wait in each system that can be reached."""
        found: dict[str, int] = {}
        for name in self.systems:
            try:
                found[name] = self._pending(name)
            except SystemUnavailable:
                continue
        return found

    def check(self) -> list[Finding]:
        """What does not fit between the file and the databases. Writes nothing."""
        findings: list[Finding] = []
        for name, system in self.systems.items():
            try:
                with system.reading() as connection:
                    tables = names_of(connection)
                    for record in self._records:
                        if record.tables.get(name) in tables:
                            table = reflect(connection, record.tables[name])
                            findings += check_columns(record, name, table)
                        elif name in record.tables:
                            where = f"record.{record.name}.in.{name}"
                            message = f"There is no table {record.tables[name]!r}."
                            hint = f"There are {', '.join(tables[:20]) or 'none'}."
                            findings.append(Finding(True, where, message, hint))
            except (SystemUnavailable, SystemRefused) as error:
                findings.append(Finding(True, f"system.{name}", error.message, error.hint))
        if not any(finding.problem for finding in findings):
            try:
                self._open(self.systems)
            except (SystemUnavailable, SystemRefused) as error:
                findings.append(Finding(True, "record", error.message, error.hint))
        return findings

    def quarantine(self) -> list[Quarantined]:
        """Everything that is in quarantine, in every system that can be reached."""
        found: list[Quarantined] = []
        for name in self.systems:
            with self._reading(name) as connection:
                if has_state(connection):
                    found += Quarantine(connection, self.pipeline.name).entries()
        return found

    def retry(self) -> int:
        """Let the next sync look again at every row in quarantine; returns how many rows."""
        rows = 0
        for name in self.systems:
            with self._writing(name) as connection:
                if has_state(connection):
                    held = {
                        (e.table, e.pk)
                        for e in Quarantine(connection, self.pipeline.name).entries()
                    }
                    State(connection, self.pipeline.name).note_rows(held)
                    rows += len(held)
        return rows

    def resync(self, table: str) -> None:
        """Let the next sync compare all rows of a table (or of a record's tables) anew. Raises
        UsageError if no record has such a table."""
        self._open(self.systems)
        found = False
        for name, replica in self._replicas.items():
            for mapping in replica.mappings.values():
                if table in (mapping.table.name, mapping.record.name):
                    found = True
                    with self._writing(name) as connection:
                        replica.state(connection).note_all(mapping.rows)
        if not found:
            names = sorted({each for record in self._records for each in record.tables.values()})
            raise UsageError(
                f"No record of {self.pipeline.name} has a table {table!r}.",
                hint=f"Its tables are {', '.join(names)}.",
            )

    def conflicts(self) -> list[MergedField]:
        """Every field that holds different concurrent values, whatever its policy shows."""
        self._open(self.systems)
        authors = self._remember(self.systems)
        found: dict[tuple[str, str], MergedField] = {}
        for name, replica in self._replicas.items():
            with self._reading(name) as connection:
                for stored in RecordTable(replica.state(connection)).in_conflict():
                    if stored.kind in replica.mappings:
                        for conflict in self._conflicts_of(stored, authors):
                            found.setdefault((conflict.rid, conflict.field), conflict)
        return list(found.values())

    def _conflicts_of(self, stored: StoredRecord, authors: Mapping[int, str]) -> list[MergedField]:
        record = self.pipeline.records[stored.kind]
        document = RecordDocument(record, stored.rid, 0, stored.document)
        try:
            values = document.values(authors)
            label = next((str(values[each]) for each in record.fields if values.get(each)), "")
            return [
                describe_conflict(document, name, authors)._replace(label=label[:40])
                for name in document.conflicts
            ]
        finally:
            document.close()

    def resolve(self, rid: str, field: str, *, take: str) -> None:
        """End a conflict: the value of the system ``take`` is the one. The next sync takes it to
        the others. Raises RecordNotFound if there is no such conflict."""
        conflict = next(
            (each for each in self.conflicts() if (each.rid, each.field) == (rid, field)), None
        )
        if conflict is None or take not in conflict.values:
            raise RecordNotFound(
                f"There is no conflict of {field!r} in the record {rid} with a value of {take!r}.",
                hint="syncline conflicts FILE lists them.",
            )
        authors = self._remember(self.systems)
        client_id = Identity.draw(self._rng, "").client_id
        name, replica = next(
            (name, each)
            for name, each in self._replicas.items()
            if conflict.record in each.mappings
        )
        with self._writing(name) as connection:
            state = replica.state(connection)
            stored = RecordTable(state).load([rid])[rid]
            document = RecordDocument(
                self.pipeline.records[stored.kind], rid, client_id, stored.document
            )
            document.put(field, conflict.values[take], stamp_at(self._now()))
            resolved = stored._replace(document=document.dump())
            document.close()
            state.set_meta(f"author:{client_id}", take)
            report = PassReport(self.pipeline.name)
            replica.run(
                connection,
                [Incoming("resolved", 0, [resolved])],
                authors | {client_id: take},
                report,
                allow_deletes=False,
                retry=False,
            )


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
