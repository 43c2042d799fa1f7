"""A pipeline at work, whatever its mode: what its commands, and what keeps it going, work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from syncline.connectors.bookkeeping.quarantine import Quarantined
from syncline.connectors.database.system import System
from syncline.connectors.file.spec import OneWay, TwoWay
from syncline.connectors.one_way.run import OneWayRun
from syncline.connectors.report import (
    Change,
    Finding,
    MergedField,
    PassReport,
    Progress,
    no_progress,
)
from syncline.connectors.two_way.run import TwoWayRun
from syncline.connectors.verification import Verification
from syncline.engine.clock import Milliseconds
from syncline.environment import wall_clock


class PipelineRun(Protocol):
    """A pipeline at work. Blocking; one thread at a time. To be closed."""

    @property
    def pipeline(self) -> OneWay | TwoWay: ...

    @property
    def systems(self) -> Mapping[str, System]:
        """Its databases, by name; those of a one-way pipeline are ``source`` and
        ``destination``."""
        ...

    def prepare(self) -> list[str]:
        """Make what each system needs; returns what people should know. Raises SystemUnavailable,
        SystemRefused."""
        ...

    def sync(
        self,
        *,
        dry_run: bool = False,
        allow_deletes: bool = False,
        progress: Progress = no_progress,
        changed: Callable[[Change], None] | None = None,
    ) -> PassReport:
        """Take over everything that is new. A system that cannot be reached is named in the report.
        Raises PipelineStopped, SystemRefused."""
        ...

    def check(self) -> list[Finding]:
        """What does not fit between the file and the databases. Writes nothing."""
        ...

    def pending(self) -> dict[str, int]:
        """How many changes wait, by system; those that cannot be reached are left out."""
        ...

    def quarantine(self) -> list[Quarantined]:
        """Everything that is in quarantine. Raises SystemUnavailable."""
        ...

    def retry(self) -> int:
        """Let the next sync look again at every row in quarantine; returns how many rows."""
        ...

    def resync(self, table: str) -> None:
        """Let the next sync compare all rows of a table anew. Raises UsageError."""
        ...

    def conflicts(self) -> list[MergedField]:
        """Every field that holds different concurrent values."""
        ...

    def resolve(self, rid: str, field: str, *, take: str) -> None:
        """End a conflict: the value of the system ``take`` is the one. Raises RecordNotFound."""
        ...

    def verify(self) -> Verification:
        """Compare all rows of all systems. Raises SystemUnavailable, UsageError."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


def open_run(pipeline: OneWay | TwoWay, now: Milliseconds = wall_clock) -> PipelineRun:
    """The pipeline, ready to run. No database is connected to yet. Raises SystemRefused."""
    if isinstance(pipeline, OneWay):
        return OneWayRun(pipeline, now)
    return TwoWayRun(pipeline, now)
