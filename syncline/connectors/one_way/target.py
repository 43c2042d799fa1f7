"""Tables at the destination: rows are compared with what is there, and written in bulk."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, ProgrammingError

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.database.pages import is_key, pages, stand_in
from syncline.connectors.database.rows import Key, Row, batches, show_key
from syncline.connectors.database.system import refusal_of
from syncline.connectors.database.values import NotOfKind, canonical
from syncline.connectors.report import Change, ChangeKind, PassReport, RefusedRow, RowRefusal
from syncline.engine.document.values import same_value
from syncline.engine.errors import PipelineStopped
from syncline.stores.databases.error_codes import is_of_database, is_transient

from .history import TableHistory
from .plan import DELETED_AT, PlannedRow, TablePlan
from .references import Missing, Node, References, refusal_of_missing

SOURCE = "source"
DESTINATION = "destination"


class TargetTable:
    """One table of the destination, in a transaction. In a dry run its rows are only read.

    ``changes`` are those that were made, if they are to be ``told``. ``has_quarantined``: there may
    be rows in quarantine. ``again``: the rows were refused before, and the report does not count
    those that are so once more.
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
        has_quarantined: bool,
        told: bool,
        again: bool = False,
    ) -> None:
        self._connection = connection
        self._plan = plan
        self._rows = plan.target_rows
        self._quarantine = quarantine
        self._report = report
        self._now = now
        self._exists = exists
        self._told = told
        self._again = again
        self._has_quarantined = has_quarantined
        self._references = References(connection, plan)
        self._ending: set[Key] = set()
        self.changes: list[Change] = []

    def write(self, planned: Sequence[PlannedRow], *, fresh: bool = False) -> None:
        """Insert rows, or change those that are there and differ. ``fresh``: none is there.
        Raises PipelineStopped for a value with the policy ``stop``."""
        refused: dict[Key, list[RowRefusal]] = {}
        going: list[PlannedRow] = []
        for row in planned:
            self._report.cleaned.update(row.cleaned)
            if row.refusals:
                refused[row.source_key] = list(row.refusals)
                if row.stop:
                    self._stop(row)
            if not row.quarantined:
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
                name: value
                for name, value in row.values.items()
                if not same_value(value, old[name])
            }
            if differing:
                changed[row.key] = (row, differing)
        inserted = self._store(self._with_parents(new, refused), self._insert, refused)
        # The last version of a row that is back is in the history since it went.
        self._ending = {key for key, (_, fields) in changed.items() if DELETED_AT not in fields}
        updated = self._store([row for row, _ in changed.values()], self._update, refused)
        if inserted or updated:
            flow = self._report.flow(self._plan.name, self._plan.target.name)
            flow.inserted += len(inserted)
            flow.updated += len(updated)
            flow.fields += sum(len(changed[row.key][1]) for row in updated)
        if self._told and not fresh:
            for row in inserted:
                self._change(row.source_key, "created", row.values)
            for row in updated:
                self._change(row.source_key, "updated", changed[row.key][1])
        self._quarantine_refused(refused, [row.source_key for row in planned])

    def _with_parents(
        self, rows: Sequence[PlannedRow], refused: dict[Key, list[RowRefusal]]
    ) -> Sequence[PlannedRow]:
        """New rows whose parents are there, each after them; the others wait."""
        if not rows or not self._exists or not (self._again or self._references.of_itself):
            return rows
        ready, missing = self._references.sort(rows)
        for each in missing:
            refused.setdefault(each.row.source_key, []).append(refusal_of_missing(each))
        return ready

    def missing(self, planned: Sequence[PlannedRow]) -> list[Missing]:
        """What new rows refer to that is not there."""
        going = [row for row in planned if not row.quarantined]
        there = self._there(row.key for row in going)
        return self._references.missing([row for row in going if row.key not in there])

    def write_emptied(self, planned: Sequence[PlannedRow], circles: Container[Node]) -> int:
        """Insert rows without what they refer to in ``circles``, where that can be empty; they stay
        in quarantine until it is filled in. Returns how many."""
        emptied: dict[Key, PlannedRow] = {}
        for row, key, values in self.missing(planned):
            columns = [self._plan.target.columns[name] for name in key.columns]
            if (key.table, values) in circles and all(column.nullable for column in columns):
                known = emptied.get(row.key, row)
                without = dict.fromkeys(key.columns)
                emptied[row.key] = replace(known, values=known.values | without)
        return len(self._store(list(emptied.values()), self._insert, {}))

    def insert(self, columns: Sequence[str], raws: Sequence[tuple[Any, ...]]) -> bool:
        """Insert new rows as the driver takes them. Returns whether the database took them all;
        otherwise none of them is there."""
        if self._report.dry_run:
            return False
        if self._refusal(lambda: self._rows.insert_raws(self._connection, columns, raws)):
            return False
        self._report.flow(self._plan.name, self._plan.target.name).inserted += len(raws)
        return True

    def release_unusable(self, keys: Iterable[Key] | None = None) -> None:
        """Let rows go from quarantine whose key was unusable; with ``keys`` those that had these.
        If they are there still, they come again."""
        if keys is None:
            self._quarantine.release_unusable(SOURCE, self._plan.name)
        else:
            self._quarantine.release(SOURCE, self._plan.name, map(stand_in, keys))

    def remove(self, keys: Iterable[Key]) -> None:
        """What ``on_delete`` says, for rows that the source, where they have these keys, does not
        have any more."""
        for batch in batches(keys):
            self._quarantine.release(SOURCE, self._plan.name, batch)
            if self._exists and self._plan.spec.on_delete != "ignore":
                there = self._plan.live(self._connection, batch)
                self._remove([PlannedRow(key, *found) for key, found in there.items()])

    def remove_strange(self, keys: Iterable[Key]) -> None:
        """What ``on_delete`` says, for rows that have these keys here, and none at the source."""
        for batch in batches(keys):
            self._remove([PlannedRow(key, key, row) for key, row in self._there(batch).items()])

    def _remove(self, going: list[PlannedRow]) -> None:
        refused: dict[Key, list[RowRefusal]] = {}
        if not going:
            return
        deleted = self._store(going, self._mark if self._plan.marks else self._delete, refused)
        if deleted:
            self._report.flow(self._plan.name, self._plan.target.name).deleted += len(deleted)
        if self._told:
            for row in deleted:
                self._change(row.source_key, "deleted", {})
        self._quarantine_refused(refused, [row.source_key for row in going])

    def unknown(self, known: Callable[[list[Key]], set[Key]], at_once: int) -> Iterator[list[Key]]:
        """The rows that are here and not at the source, page by page, by their keys here. ``known``
        says which of some keys the source has."""
        if not self._exists:
            return
        for page in pages(self._rows, self._connection, at_once):
            keys = {
                key: self._plan.source_key(key)
                for row in page
                if is_key(key := self._rows.key_of(row))
                and not (self._plan.marks and row[DELETED_AT] is not None)
            }
            known_keys = known([key for key in keys.values() if key is not None])
            if missing := [key for key, there in keys.items() if there not in known_keys]:
                yield missing

    def count(self) -> int:
        """How many rows there are."""
        return self._rows.count(self._connection) if self._exists else 0

    def count_live(self) -> int:
        """How many rows there are that did not go."""
        return self._plan.count_live(self._connection) if self._exists else 0

    def quarantined(self) -> list[Key]:
        """The keys at the source of all rows in quarantine."""
        return self._quarantine.all_keys(SOURCE, self._plan.name)

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
        refused: dict[Key, list[RowRefusal]],
    ) -> Sequence[PlannedRow]:
        """Write rows, as far as the database takes them; return those."""
        if self._report.dry_run or not rows:
            return rows
        reason = self._refusal(lambda: write(rows))
        if reason is None:
            return rows
        if len(rows) == 1:
            refused.setdefault(rows[0].source_key, []).append(reason)
            return []
        half = len(rows) // 2
        return [
            *self._store(rows[:half], write, refused),
            *self._store(rows[half:], write, refused),
        ]

    def _refusal(self, write: Callable[[], None]) -> RowRefusal | None:
        """Write something; return why the database does not take it: then nothing of it is
        there."""
        nested = self._connection.begin_nested()
        try:
            write()
            nested.commit()
        except DBAPIError as error:
            if error.connection_invalidated or not _is_about_rows(error):
                raise  # without a rollback to the savepoint: a deadlock has ended the transaction
            nested.rollback()
            return refusal_of(error)
        except NotOfKind as error:
            nested.rollback()
            column, _, why = str(error).partition(" ")
            return RowRefusal(column, "type", f"Its value {why}.", "Correct it at the source.")
        return None

    def _insert(self, rows: Sequence[PlannedRow]) -> None:
        self._rows.insert_many(self._connection, [row.values for row in rows])

    def _keep(self, rows: Sequence[PlannedRow]) -> None:
        """Keep the versions that are about to be replaced."""
        if self._plan.spec.history and rows:
            history = TableHistory(self._connection, self._plan)
            history.keep([row.key for row in rows], self._instant)

    def _update(self, rows: Sequence[PlannedRow]) -> None:
        self._keep([row for row in rows if row.key in self._ending])
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

    def _change(self, key: Key, kind: ChangeKind, fields: dict[str, Any]) -> None:
        told = {name: value for name, value in fields.items() if name != DELETED_AT}
        self.changes.append(Change(SOURCE, self._plan.name, show_key(key), kind, told, self._now))

    def _quarantine_refused(
        self, refused: dict[Key, list[RowRefusal]], looked_at: Sequence[Key]
    ) -> None:
        name = self._plan.name
        if refused:
            self._quarantine.put(SOURCE, name, refused, self._now)
        if self._has_quarantined:
            self._quarantine.release(SOURCE, name, [key for key in looked_at if key not in refused])
        self._has_quarantined = self._has_quarantined or bool(refused)
        for key, reasons in () if self._again else refused.items():
            row = RefusedRow(SOURCE, name, show_key(key), reasons[0])
            if row.refusal.rule == "parent" and not self._report.dry_run:
                self._report.awaiting[row[:3]] = row
            else:
                self._report.refuse(row)


def _is_about_rows(error: DBAPIError) -> bool:
    """Whether other rows may be taken all the same: missing tables and rights are no row's."""
    return not (isinstance(error, ProgrammingError) or is_transient(error) or is_of_database(error))


def expected(plan: TablePlan, row: PlannedRow) -> list[Any]:
    """The values that the destination is to have for a row, in the order of its columns."""
    return [
        canonical(row.values[name], plan.target.columns[name].kind)
        for name in plan.columns.values()
    ]
