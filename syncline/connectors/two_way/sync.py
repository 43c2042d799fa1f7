"""Two-way pipelines: several systems, each a replica, that exchange their records.

Theory of operation. Every system keeps its own record documents, and numbers their changes. A pass
over one system is one transaction in it: it takes what users changed (capture), what its peers have
that is new to it (merge), and writes the result to its rows (apply). Peers read each other from the
last number that they have seen. A pass that is cut short leaves nothing, and one that is made twice
changes nothing the second time: so nothing has to be undone or repaired after a crash, and systems
that are away are caught up with when they are back, in any order.

Rows that refer to others wait until these are records, and records until these have rows: what
waits is found by what it waits for, in the transaction in which that comes. Rows that somebody has
locked are left for later; while one of them may be a new record, or notes are left, nothing is
inserted: whether a table lacks a record is known when all of its rows have been looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.database.rows import show_key
from syncline.connectors.report import MergedRecord, Pass, PassReport
from syncline.engine.errors import SystemUnavailable

from .authors import Authors
from .mass_deletes import check_all_deletes
from .relay import RELAY, RelayPeer
from .replica import Incoming, Outcome
from .systems import TwoWaySystems

_TRIES = 5
"""How often a transaction is made that the database gives up in favour of another."""


class TwoWaySync:
    """The passes of a two-way pipeline."""

    def __init__(self, systems: TwoWaySystems, authors: Authors) -> None:
        self._systems = systems
        self._authors = authors

    def run(self, current: Pass) -> None:
        """Transactions in all systems until none has anything new. A system that cannot be reached
        is left out, and named in the report. Raises PipelineStopped, SystemRefused."""
        with ExitStack() as stack:
            if current.dry_run:
                stack.enter_context(self._systems.dry_run(current.report.waiting))
            else:
                for system in self._systems.by_name.values():
                    stack.enter_context(system.kept())
            self._sync(current)

    def _sync(self, current: Pass) -> None:
        report, systems = current.report, self._systems
        relay = systems.reach_relay(report.waiting)
        systems.prepare_reachable(report.waiting, relay, dry_run=report.dry_run)
        up = {name: None for name in systems.by_name if name not in report.waiting}
        if relay is None and len(up) < 2:
            return  # alone, a system cannot tell whether it was restored from a backup
        authors = self._authors.agree(up, relay, dry_run=report.dry_run)
        for name in () if current.allow_deletes else up:
            with systems.reading(name) as connection:
                for mapping in systems.replicas[name].mappings.values():
                    check_all_deletes(connection, systems.pipeline.name, name, mapping)
        total = sum(systems.count_notes(name) for name in up)
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
                    outcome = self._transact(name, up, relay, authors, current, retry=retry)
                except SystemUnavailable as error:
                    report.waiting[name] = error.message
                    del up[name]
                    continue
                busy = busy or outcome.busy
                done += report.looked_at - before
                current.progress("rows", min(done, total), total or None)
                labels |= outcome.labels
                for rid, fields in outcome.captured.items():
                    merged.setdefault(rid, {}).update(dict.fromkeys(fields, name))
                for conflict in outcome.conflicts:
                    if (conflict.rid, conflict.field) not in conflicts:
                        conflicts.add((conflict.rid, conflict.field))
                        report.conflict(conflict)
                current.tell(outcome.changes)
            if busy:
                retry = False
            elif not counted:
                counted = True
                missed = [name for name in up if systems.replicas[name].note_uncounted()]
                if retry and not missed:
                    break
                retry = True
            elif retry:
                break
            else:
                retry = True
        self._report_waiting(up, report)
        if relay is not None and not report.dry_run:
            self._send(relay, up, report)
        for rid, sources in merged.items():
            if len(set(sources.values())) > 1 and rid in labels:
                report.merge(MergedRecord(*labels[rid], sources))

    def _report_waiting(self, up: Mapping[str, Any], report: PassReport) -> None:
        """Of the rows that waited for a parent, those still do."""
        for name in up if report.awaiting else ():
            with self._systems.reading(name) as connection:
                quarantine = Quarantine(connection, self._systems.pipeline.name)
                for mapping in self._systems.replicas[name].mappings.values():
                    table = mapping.table.name
                    keys = map(show_key, quarantine.waiting(name, table))
                    report.refuse_waiting(name, table, keys)

    def _send(self, relay: RelayPeer, up: Mapping[str, Any], report: PassReport) -> None:
        """Send the relay what the systems have that is new to it."""
        for name in up:
            while True:
                replica = self._systems.replicas[name]
                with self._systems.reading(name) as connection:
                    outgoing = replica.records_since(connection, relay.taken(name))
                if not outgoing.records:
                    break
                relay.take(name, outgoing.until, outgoing.records)
        if reason := relay.exchange():
            report.waiting[RELAY] = reason
        report.more = report.more or relay.pending > 0

    def _transact(
        self,
        name: str,
        up: Mapping[str, Any],
        relay: RelayPeer | None,
        authors: Mapping[int, str],
        current: Pass,
        *,
        retry: bool,
    ) -> Outcome:
        """One transaction in the system ``name``, unless nothing is new to it."""
        replica = self._systems.replicas[name]
        for attempt in range(_TRIES):
            try:
                with self._systems.reading(name) as connection:
                    cursors = replica.state(connection).metas("cursor:")
                    has_work = replica.has_work(connection, retry=retry)
                incoming = self._incoming(name, up, relay, cursors)
                if not incoming and not has_work:
                    return Outcome()
                with self._systems.writing(name) as connection:
                    outcome = replica.run(
                        connection,
                        incoming,
                        authors,
                        current.report,
                        allow_deletes=current.allow_deletes,
                        retry=retry,
                    )
                for each in incoming:
                    if relay is not None and each.peer == RELAY:
                        relay.gave(name, each.until)
                return outcome
            except SystemUnavailable as error:
                if error.retry_after or attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _incoming(
        self,
        name: str,
        up: Mapping[str, Any],
        relay: RelayPeer | None,
        cursors: Mapping[str, str],
    ) -> list[Incoming]:
        """What each peer has that is new to a system; ``cursors`` say how far it has read them."""
        incoming: list[Incoming] = []
        for peer in up:
            if peer != name:
                with self._systems.reading(peer) as connection:
                    after = int(cursors.get(peer, "0"))
                    incoming.append(self._systems.replicas[peer].records_since(connection, after))
        if relay is not None:
            incoming.append(relay.records_for(name))
        return [each for each in incoming if each.records]
