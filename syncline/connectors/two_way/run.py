"""Two-way pipelines: several systems, each a replica, that exchange their records.

Theory of operation. Every system keeps its own record documents, and numbers their changes. A pass
over one system is one transaction in it: it takes what users changed (capture), what its peers have
that is new to it (merge), and writes the result to its rows (apply). Peers read each other from the
last number that they have seen. A pass that is cut short leaves nothing, and one that is made twice
changes nothing the second time: so nothing has to be undone or repaired after a crash, and systems
that are away are caught up with when they are back, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, cast

from syncline.connectors.report import Change, MergedRecord, PassReport, Progress, no_progress
from syncline.engine.errors import SystemUnavailable

from .mass_deletes import check_all_deletes
from .relay import RELAY, RelayPeer
from .replica import Incoming, Outcome
from .review import TwoWayReview

_TRIES = 5
"""How often a transaction is made that the database gives up in favour of another."""


class TwoWayRun(TwoWayReview):
    """A two-way pipeline at work. Blocking; one thread at a time. To be closed.

    Raises SystemRefused for a system that cannot take part as the file says.
    """

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
            with ExitStack() as stack:
                for system in self.systems.values():
                    stack.enter_context(system.kept())
                self._sync(report, allow_deletes, progress, changed)
            return report
        given = {} if self._relay is None else self._relay.given
        with ExitStack() as stack:
            try:
                for name, system in self.systems.items():
                    try:
                        with system.translated():
                            connection = stack.enter_context(system.engine.connect())
                    except SystemUnavailable as error:
                        report.waiting[name] = error.message
                        continue
                    connection.detach()  # MariaDB would keep its temporary tables in the pool
                    transaction = connection.begin()
                    stack.callback(transaction.rollback)
                    self._held[name] = connection
                self._sync(report, allow_deletes, progress, None)
            finally:
                self._held.clear()
                if self._relay is not None:
                    self._relay.given = given
        return report

    def _sync(
        self,
        report: PassReport,
        allow_deletes: bool,
        progress: Progress,
        changed: Callable[[Change], None] | None,
    ) -> None:
        relay = self._reach_relay(report.waiting)
        self._prepare(report.waiting, relay, dry_run=report.dry_run)
        up = {name: None for name in self.systems if name not in report.waiting}
        if relay is None and len(up) < 2:
            return  # alone, a system cannot tell whether it was restored from a backup
        authors = self._remember(up, relay, dry_run=report.dry_run)
        for name in () if allow_deletes else up:
            with self._reading(name) as connection:
                for mapping in self._replicas[name].mappings.values():
                    check_all_deletes(connection, self.pipeline.name, name, mapping)
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
                        name, up, relay, authors, report, allow_deletes=allow_deletes, retry=retry
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
        if relay is not None and not report.dry_run:
            self._send(relay, up, report)
        for rid, systems in merged.items():
            if len(set(systems.values())) > 1 and rid in labels:
                report.merge(MergedRecord(*labels[rid], systems))

    def _send(self, relay: RelayPeer, up: Mapping[str, Any], report: PassReport) -> None:
        """Send the relay what the systems have that is new to it."""
        for name in up:
            while True:
                with self._reading(name) as connection:
                    news = self._replicas[name].news(connection, RELAY, relay.taken(name))
                if not news.records:
                    break
                relay.take(name, news.until, news.records)
        if reason := relay.exchange():
            report.waiting[RELAY] = reason
        report.more = report.more or relay.pending > 0

    def _pass(
        self,
        name: str,
        up: Mapping[str, Any],
        relay: RelayPeer | None,
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
                if relay is not None and (carried := relay.news(name)).records:
                    incoming.append(carried)
                if not incoming and not has_work:
                    return Outcome()
                with self._writing(name) as connection:
                    outcome = replica.run(
                        connection,
                        incoming,
                        authors,
                        report,
                        allow_deletes=allow_deletes,
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
