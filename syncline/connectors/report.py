"""What one pass of a pipeline did, or would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told of what is done: of what, how many rows, and of how many, if that is known."""


def no_progress(what: str, done: int, total: int | None) -> None:
    """A Progress that nobody looks at."""


EXAMPLES = 20
"""How many conflicts, merges and refused rows a report names; the numbers are of all."""


class Finding(NamedTuple):
    """What a look at the databases found about the pipeline file. A ``problem`` keeps it from
    running; ``where`` is the key in the file."""

    problem: bool
    where: str
    message: str
    hint: str


ChangeKind: TypeAlias = Literal["created", "updated", "deleted"]


class Change(NamedTuple):
    """A change that a user made in ``system``, and that has been committed: ``name`` is that of the
    record or table, ``key`` what names the row there, ``fields`` the new values of what changed
    (empty for a deletion), ``at`` when it was taken over, in milliseconds since the epoch."""

    system: str
    name: str
    key: str
    kind: ChangeKind
    fields: dict[str, Any]
    at: int


@dataclass(slots=True)
class Flow:
    """What went from one system to another, in rows, and in fields of changed rows."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    fields: int = 0

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.deleted


class RowRefusal(NamedTuple):
    """Why a value or a row does not go on: ``field`` is "" for a whole row, ``rule`` the cleaning
    rule, or ``type``, ``database``, ``parent`` (its foreign key names a row that is not there)."""

    field: str
    rule: str
    message: str
    hint: str
    original: Any = None
    suggested: Any = None


class RefusedRow(NamedTuple):
    """A row that is in quarantine since this pass."""

    system: str
    table: str
    key: str
    refusal: RowRefusal


class MergedField(NamedTuple):
    """A conflict of one field: what each system has, by its name, and what was chosen by what
    policy (None: nothing yet). ``at`` is when each value was written, in milliseconds."""

    record: str
    rid: str
    label: str
    field: str
    values: dict[str, Any]
    chosen: Any
    policy: str
    at: dict[str, int]


class MergedRecord(NamedTuple):
    """A record of which several systems changed different fields: which field came from where."""

    record: str
    label: str
    fields: dict[str, str]


@dataclass(slots=True)
class PassReport:
    """``flows`` by (from, to); ``cleaned`` counts values that rules changed, by rule; ``waiting``
    says by system why it was left out, and ``left_out`` by table; ``more`` that changes are left
    for the next pass; ``tables`` are the rows by (system, table) that were looked at."""

    pipeline: str
    dry_run: bool = False
    flows: dict[tuple[str, str], Flow] = field(default_factory=dict[tuple[str, str], Flow])
    cleaned: Counter[str] = field(default_factory=Counter[str])
    conflicts: list[MergedField] = field(default_factory=list[MergedField])
    conflict_count: int = 0
    merged: list[MergedRecord] = field(default_factory=list[MergedRecord])
    merged_count: int = 0
    refused: list[RefusedRow] = field(default_factory=list[RefusedRow])
    refused_count: int = 0
    notices: list[str] = field(default_factory=list[str])
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    more: bool = False
    looked_at: int = 0
    awaiting: dict[tuple[str, str, str], RefusedRow] = field(
        default_factory=dict[tuple[str, str, str], RefusedRow]
    )
    """Rows that wait for a parent, by system, table and key: it may come in the same pass."""

    def flow(self, source: str, target: str) -> Flow:
        return self.flows.setdefault((source, target), Flow())

    @property
    def changed(self) -> int:
        """Rows written, in all systems."""
        return sum(flow.rows for flow in self.flows.values())

    def refuse(self, row: RefusedRow) -> None:
        self.refused_count += 1
        if len(self.refused) < EXAMPLES:
            self.refused.append(row)

    def refuse_waiting(self, system: str, table: str, keys: Iterable[str]) -> None:
        """At the end of a pass: the parents of these rows did not come."""
        for key in keys:
            row = self.awaiting.pop((system, table, key), None)
            if row is not None:
                self.refuse(row)

    def conflict(self, conflict: MergedField) -> None:
        self.conflict_count += 1
        if len(self.conflicts) < EXAMPLES:
            self.conflicts.append(conflict)

    def merge(self, merged: MergedRecord) -> None:
        self.merged_count += 1
        if len(self.merged) < EXAMPLES:
            self.merged.append(merged)


@dataclass(slots=True)
class Pass:
    """One pass: its report, and what the caller asked for. ``changed`` is called with every change
    of a user's, once it is committed; not in a dry run."""

    report: PassReport
    allow_deletes: bool = False
    progress: Progress = no_progress
    changed: Callable[[Change], None] | None = None

    @property
    def dry_run(self) -> bool:
        """Whether the pass is to leave nothing behind."""
        return self.report.dry_run

    def tell(self, changes: Iterable[Change]) -> None:
        """Let the caller know what was committed."""
        if self.changed is not None and not self.dry_run:
            for change in changes:
                self.changed(change)
