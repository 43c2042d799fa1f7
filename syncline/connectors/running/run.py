"""A pipeline at work, whatever its mode: what its commands, and what keeps it going, work with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from syncline.connectors.bookkeeping.quarantine import Quarantined
from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.bookkeeping.webhook_queue import WebhookQueue, WebhookStatus, shown_url
from syncline.connectors.database.system import System
from syncline.connectors.file.spec import OneWay, TwoWay
from syncline.connectors.report import (
    Change,
    Finding,
    MergedField,
    Pass,
    PassReport,
    Progress,
    no_progress,
)
from syncline.connectors.verification import Verification
from syncline.engine.errors import SystemUnavailable


class Systems(Protocol):
    """The databases of a pipeline, and what each needs."""

    @property
    def pipeline(self) -> OneWay | TwoWay: ...

    @property
    def by_name(self) -> Mapping[str, System]: ...

    def prepare(self) -> list[str]: ...

    def close(self) -> None: ...


class Sync(Protocol):
    """The passes of a pipeline."""

    def run(self, current: Pass) -> None: ...


class Review(Protocol):
    """What people ask about a pipeline, and decide."""

    def pending(self) -> dict[str, int]: ...

    def check(self) -> list[Finding]: ...

    def quarantine(self) -> list[Quarantined]: ...

    def retry(self) -> int: ...

    def resync(self, table: str) -> None: ...

    def conflicts(self) -> list[MergedField]: ...

    def resolve(self, rid: str, field: str, *, take: str) -> None: ...

    def verify(self) -> Verification: ...


class PipelineRun:
    """A pipeline at work. Blocking; one thread at a time. To be closed."""

    def __init__(self, systems: Systems, sync: Sync, review: Review) -> None:
        self._systems = systems
        self._sync = sync
        self._review = review
        self._settled: set[str] = set()
        """The systems in which no change waits for a webhook that the file does not name."""
        self._settling = threading.Lock()

    @property
    def pipeline(self) -> OneWay | TwoWay:
        return self._systems.pipeline

    @property
    def systems(self) -> Mapping[str, System]:
        """Its databases, by name; those of a one-way pipeline are ``source`` and
        ``destination``."""
        return self._systems.by_name

    def prepare(self) -> list[str]:
        """Make what each system needs; returns what people should know. Raises SystemUnavailable,
        SystemRefused."""
        return self._systems.prepare()

    def sync(
        self,
        *,
        dry_run: bool = False,
        allow_deletes: bool = False,
        progress: Progress = no_progress,
        changed: Callable[[Change], None] | None = None,
    ) -> PassReport:
        """One pass: take over everything that is new. A system that cannot be reached is named in
        the report. Raises PipelineStopped, SystemRefused."""
        report = PassReport(self.pipeline.name, dry_run=dry_run)
        self._sync.run(Pass(report, allow_deletes, progress, changed))
        if not dry_run:
            self._settle_reachable(report)
        return report

    def _settle_reachable(self, report: PassReport) -> None:
        for name, system in self.systems.items():
            if name not in report.waiting:
                with suppress(SystemUnavailable):  # the next pass tries again
                    self.settle_webhooks(system)

    def settle_webhooks(self, system: System) -> None:
        """Let what waits in a system be for the webhooks of the file. Once for each system, since
        the file is read once. Of any thread. Raises SystemUnavailable, SystemRefused."""
        name, notify = self.pipeline.name, self.pipeline.notify
        with self._settling:
            if system.name in self._settled:
                return
            with system.reading() as connection:
                if not has_state(connection):
                    return
                settled = WebhookQueue(connection, name).is_settled(notify)
            if not settled:
                with system.writing() as connection:
                    WebhookQueue(connection, name).settle(notify)
            self._settled.add(system.name)

    def webhooks(self) -> list[WebhookStatus]:
        """How each webhook stands, as far as systems can be reached."""
        found = {each.url: WebhookStatus(shown_url(each)) for each in self.pipeline.notify}
        for system in self.systems.values():
            with suppress(SystemUnavailable), system.reading() as connection:
                if not has_state(connection):
                    continue
                queue = WebhookQueue(connection, self.pipeline.name)
                for each in {each.url: each for each in self.pipeline.notify}.values():
                    found[each.url].add(queue.count(each), queue.standing(each))
        return list(found.values())

    def check(self) -> list[Finding]:
        """What does not fit between the file and the databases. Writes nothing."""
        return self._review.check()

    def pending(self) -> dict[str, int]:
        """How many changes wait, by system; those that cannot be reached are left out."""
        return self._review.pending()

    def quarantine(self) -> list[Quarantined]:
        """Everything that is in quarantine. Raises SystemUnavailable."""
        return self._review.quarantine()

    def retry(self) -> int:
        """Let the next sync look again at every row in quarantine; returns how many rows."""
        return self._review.retry()

    def resync(self, table: str) -> None:
        """Let the next sync compare all rows of a table anew. Raises UsageError."""
        self._review.resync(table)

    def conflicts(self) -> list[MergedField]:
        """Every field that holds different concurrent values."""
        return self._review.conflicts()

    def resolve(self, rid: str, field: str, *, take: str) -> None:
        """End a conflict: the value of the system ``take`` is the one. Raises RecordNotFound, and
        UsageError for a one-way pipeline."""
        self._review.resolve(rid, field, take=take)

    def verify(self) -> Verification:
        """Compare all rows of all systems. Raises SystemUnavailable, UsageError."""
        return self._review.verify()

    def close(self) -> None:
        """Let go of the connections."""
        self._systems.close()
