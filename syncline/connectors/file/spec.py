"""Pipelines: what a pipeline file says, checked and ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from syncline.cleaning import FieldCleaner
from syncline.engine.records.schema import DeleteVsEdit

OnDelete: TypeAlias = Literal["mark", "apply", "ignore"]
"""What a deleted row means elsewhere: ``mark`` keeps the row and notes when it was deleted,
``apply`` deletes it, ``ignore`` leaves it."""
NewColumns: TypeAlias = Literal["add", "ignore", "stop"]
RemovedColumns: TypeAlias = Literal["keep", "stop"]


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """A database that takes part. ``url`` may hold a password and is never printed."""

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Triggers:
    """Changes are noted by triggers, by primary key."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Changes are found by comparing all rows, where triggers are not allowed."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Changes are found by a column that grows, such as ``updated_at``, read again from ``overlap``
    seconds before the last; deletions by comparing all keys every ``compare_every`` seconds."""

    column: str
    overlap: float
    compare_every: float


Capture: TypeAlias = Triggers | Compare | Cursor


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of rows, or a share of all of them in per cent, one of the two."""

    count: int | None = None
    percent: float | None = None

    def exceeded(self, number: int, total: int) -> bool:
        """Whether ``number`` of ``total`` rows are more than the limit. A share never stops 10 rows
        or fewer."""
        if self.count is not None:
            return number > self.count
        return number > 10 and number * 100 > (self.percent or 0) * total

    def __str__(self) -> str:
        return f"{self.count:,}" if self.count is not None else f"{self.percent:g} %"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of a one-way pipeline.

    ``target`` is its name at the destination, ``exclude`` columns that are left out, ``rename`` new
    names of columns by the source's, ``cleaners`` the rules by the source's column.
    """

    name: str
    target: str
    exclude: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    cleaners: Mapping[str, FieldCleaner] = field(default_factory=dict[str, FieldCleaner])
    history: bool = False
    on_delete: OnDelete = "apply"
    max_deletes: Limit = Limit(percent=50)
    new_columns: NewColumns = "add"
    removed_columns: RemovedColumns = "keep"


@dataclass(frozen=True, slots=True)
class Prefer:
    """A conflict is won by the first of these systems that wrote one of its values."""

    systems: tuple[str, ...]


ConflictPolicy: TypeAlias = Literal["newest", "surface"] | Prefer


@dataclass(frozen=True, slots=True)
class MappedField:
    """One field of the records of a two-way pipeline.

    ``columns`` are its columns by system; several are joined with spaces and split at them, the
    last column taking the last word. ``owner`` is the only system whose changes count. ``ref``
    names the record whose key the column holds: every system has keys of its own.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    cleaner: FieldCleaner
    conflict: ConflictPolicy = "newest"
    owner: str | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class MappedRecord:
    """One kind of record of a two-way pipeline. ``tables`` are its tables by system. Rows of
    different systems whose ``match`` fields are equal are one record."""

    name: str
    tables: Mapping[str, str]
    fields: Mapping[str, MappedField]
    match: tuple[str, ...] = ()
    on_delete: OnDelete = "mark"
    delete_vs_edit: DeleteVsEdit = "delete-wins"
    max_deletes: Limit = Limit(percent=50)


@dataclass(frozen=True, slots=True)
class Notify:
    """Changes of ``on`` (records or tables; all when empty) are posted to ``url``, when one of
    ``fields`` changed (any, when empty); with these ``headers``, and signed with the ``secret``."""

    url: str = field(repr=False)
    on: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What every pipeline has. ``every`` is the time between two passes in seconds; a pass in which
    more rows than ``stop_if_over`` are refused by the rules writes nothing."""

    name: str
    purpose: str
    every: float
    systems: Mapping[str, SystemSpec]
    stop_if_over: Limit | None
    notify: tuple[Notify, ...]


@dataclass(frozen=True, slots=True)
class OneWay(Pipeline):
    """From ``systems["source"]`` to ``systems["destination"]``.

    ``include`` and ``exclude`` are patterns (fnmatch) of names of tables, or ``Table.Column`` in
    ``exclude``; ``tables`` says more of single ones, by name.
    """

    capture: Capture
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    tables: Mapping[str, TableSpec]


@dataclass(frozen=True, slots=True)
class RelaySpec:
    """A relay's workspace, in which pipelines on several machines meet."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TwoWay(Pipeline):
    """Between all of ``systems``. ``captures`` says how changes are found, by system; with a
    ``relay`` also between pipelines of the same name on other machines."""

    captures: Mapping[str, Capture]
    records: Mapping[str, MappedRecord]
    relay: RelaySpec | None
