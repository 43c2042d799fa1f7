"""Tables at the destination: rows are compared with what is there, and written in bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from syncline.engine.errors import PipelineStopped

from .quarantine import Quarantine
from .report import Change, PassReport, Refusal, RefusedRow
from .rows import Key, Row, batches, show_key
from .system import is_passing, refusal_of
from .table_history import TableHistory
from .table_plan import DELETED_AT, PlannedRow, TablePlan
from .values import NotOfKind, canonical

SOURCE = "source"
DESTINATION = "destination"


class TargetTable:
    """One table of the destination, in a transaction. With ``dry_run`` its rows are only read.

    ``changes`` are those that were made, if they are to be ``told``.
    """

    def __init__(
        self,
        connection: sa.Connection,
        plan: TablePlan,
        quarantine: Quarantine,
        report: PassReport,
        now: int,
        *,
        exists: bool,
        told: bool,
    ) -> None:
        self._connection = connection
        self._plan = plan
        self._rows = plan.target_rows
        self._quarantine = quarantine
        self._report = report
        self._now = now
        self._exists = exists
        self._told = told
        self._holds = quarantine.count() > 0
        self.changes: list[Change] = []
        self.refused = 0

    def write(self, planned: Sequence[PlannedRow], *, fresh: bool = False) -> None:
        """Insert rows, or change those that are there and differ. ``fresh``: none is there.
        Raises PipelineStopped for a value with the policy ``stop``."""
        refused: dict[Key, list[Refusal]] = {}
        going: list[PlannedRow] = []
        for row in planned:
            self._report.cleaned.update(row.cleaned)
            if row.refusals:
                refused[row.source_key] = list(row.refusals)
                if row.stop:
                    self._stop(row)
            if not row.held:
                going.append(row)
        there = {} if fresh or not self._exists else self._there(row.key for row in going)
        new: list[PlannedRow] = []
        changed: dict[Key, tuple[PlannedRow, dict[str, Any]]] = {}
        for row in going:
            old = there.get(row.key)
            if self._plan.marks:
                row.values[DELETED_AT] = None
            if old is None:
                new.append(row)
                continue
            for name in row.kept:
                row.values[name] = old[name]
            differing = {
                name: value for name, value in row.values.items() if not _same(value, old[name])
            }
            if differing:
                changed[row.key] = (row, differing)
        inserted = self._store(new, self._insert, refused)
        updated = self._store([row for row, _ in changed.values()], self._update, refused)
        if inserted or updated:
            flow = self._report.flow(self._plan.name, self._plan.target.name)
            flow.inserted += len(inserted)
            flow.updated += len(updated)
            flow.fields += sum(len(changed[row.key][1]) for row in updated)
        if self._told:
            for row in inserted:
                self._change(row.source_key, "inserted", row.values)
            for row in updated:
                self._change(row.source_key, "updated", changed[row.key][1])
        self._hold(refused, [row.source_key for row in planned])

    def remove(self, keys: Iterable[Key]) -> None:
        """What ``on_delete`` says, for rows that the source, where they have these keys, does not
        have any more."""
        for batch in batches(keys):
            by_target = {self._plan.target_key(key): key for key in batch}
            there = self._there(by_target) if self._exists else {}
            if self._plan.marks:
                there = {key: row for key, row in there.items() if row[DELETED_AT] is None}
            if there and self._plan.spec.on_delete != "ignore":
                self._remove(there, by_target)
            self._quarantine.release(SOURCE, self._plan.name, batch)

    def _remove(self, there: dict[Key, Row], by_target: dict[Key, Key]) -> None:
        refused: dict[Key, list[Refusal]] = {}
        going = [PlannedRow(by_target[key], key, row) for key, row in there.items()]
        deleted = self._store(going, self._mark if self._plan.marks else self._delete, refused)
        if deleted:
            self._report.flow(self._plan.name, self._plan.target.name).deleted += len(deleted)
        if self._told:
            for row in deleted:
                self._change(row.source_key, "deleted", {})
        self._hold(refused, [row.source_key for row in going])

    def unknown(self, known: Callable[[list[Key]], set[Key]], at_once: int) -> Iterator[list[Key]]:
        """The rows that are here and not at the source, page by page, by their keys there.
        ``known`` says which of some keys the source has."""
        after: Key | None = None
        while self._exists and (page := self._rows.page(self._connection, after, at_once)):
            after = self._rows.key_of(page[-1])
            keys = [
                self._plan.source_key(self._rows.key_of(row))
                for row in page
                if not self._plan.marks or row[DELETED_AT] is None
            ]
            known_keys = known(keys)
            if missing := [key for key in keys if key not in known_keys]:
                yield missing

    def count(self) -> int:
        """How many rows there are."""
        return self._rows.count(self._connection) if self._exists else 0

    @property
    def _instant(self) -> datetime:
        return datetime.fromtimestamp(self._now / 1000, UTC)

    def _there(self, keys: Iterable[Key]) -> dict[Key, Row]:
        return self._rows.by_keys(self._connection, keys)

    def _stop(self, row: PlannedRow) -> None:
        refusal = row.refusals[0]
        raise PipelineStopped(
            f"{self._plan.name} {show_key(row.source_key)}, {refusal.field}: {refusal.message}",
            hint=f"{refusal.hint} The field's on_invalid is stop: nothing of this row's page was "
            "written.",
        )

    # Writing; what the database refuses is found by halves

    def _store(
        self,
        rows: Sequence[PlannedRow],
        write: Callable[[Sequence[PlannedRow]], None],
        refused: dict[Key, list[Refusal]],
    ) -> Sequence[PlannedRow]:
        """Write rows, as far as the database takes them; return those."""
        if self._report.dry_run or not rows:
            return rows
        try:
            with self._connection.begin_nested():
                write(rows)
            return rows
        except DBAPIError as error:
            if error.connection_invalidated or is_passing(error):
                raise
            reason = refusal_of(error)
        except NotOfKind as error:
            column, _, why = str(error).partition(" ")
            reason = Refusal(column, "type", f"Its value {why}.", "Correct it at the source.")
        if len(rows) == 1:
            refused.setdefault(rows[0].source_key, []).append(reason)
            return []
        half = len(rows) // 2
        return [
            *self._store(rows[:half], write, refused),
            *self._store(rows[half:], write, refused),
        ]

    def _insert(self, rows: Sequence[PlannedRow]) -> None:
        self._rows.insert_many(self._connection, [row.values for row in rows])

    def _keep(self, rows: Sequence[PlannedRow]) -> None:
        """Keep the versions that are about to be replaced."""
        if self._plan.spec.history:
            history = TableHistory(self._connection, self._plan)
            history.keep([row.key for row in rows], self._instant)

    def _update(self, rows: Sequence[PlannedRow]) -> None:
        self._keep(rows)
        self._rows.update_many(self._connection, [row.values for row in rows])

    def _mark(self, rows: Sequence[PlannedRow]) -> None:
        self._keep(rows)
        marked = [
            dict(zip(self._plan.target.key, row.key, strict=True)) | {DELETED_AT: self._instant}
            for row in rows
        ]
        self._rows.update_many(self._connection, marked)

    def _delete(self, rows: Sequence[PlannedRow]) -> None:
        self._keep(rows)
        self._rows.delete(self._connection, [row.key for row in rows])

    # What is told

    def _change(self, key: Key, kind: str, fields: dict[str, Any]) -> None:
        told = {name: value for name, value in fields.items() if name != DELETED_AT}
        self.changes.append(Change(SOURCE, self._plan.name, show_key(key), kind, told, self._now))

    def _hold(self, refused: dict[Key, list[Refusal]], looked_at: Sequence[Key]) -> None:
        name = self._plan.name
        if refused:
            self._quarantine.put(SOURCE, name, refused, self._now)
        if self._holds:
            self._quarantine.release(SOURCE, name, [key for key in looked_at if key not in refused])
        self._holds = self._holds or bool(refused)
        self.refused += len(refused)
        for key, reasons in refused.items():
            self._report.refuse(RefusedRow(SOURCE, name, show_key(key), reasons[0]))


def _same(value: Any, old: Any) -> bool:
    return type(value) is type(old) and value == old


def expected(plan: TablePlan, row: PlannedRow) -> list[Any]:
    """The values that the destination is to have for a row, in the order of its columns."""
    return [
        canonical(row.values[name], plan.target.columns[name].kind)
        for name in plan.columns.values()
    ]
