"""Copies of whole tables: in pages by key, from where the last one was cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from syncline.engine.errors import PipelineStopped, SystemRefused

from .one_way_systems import COPIED, COPYING
from .pipeline import Cursor, Limit
from .report import PassReport
from .rows import Key, Row, decode_key, encode_key, show_key
from .state import State
from .table_plan import PlannedRow, TablePlan, is_key
from .target_table import TargetTable

PAGE = 5_000
"""Rows that one transaction copies."""
HIGH = "high:"
"""Remembered by table: the greatest value of the cursor column that was read."""


class Copying(NamedTuple):
    """How far a copy has come: up to the row ``after``; ``fresh``: the table was empty when it
    began. ``high`` is the greatest value that the cursor column had then."""

    after: str | None
    fresh: bool
    high: str | None


class TableCopy:
    """The copy of one table, in transactions at the destination. ``capture`` is how changes are
    found afterwards; ``source`` opens a transaction there."""

    def __init__(
        self,
        plan: TablePlan,
        capture: object,
        source: Callable[[], AbstractContextManager[sa.Connection]],
        report: PassReport,
    ) -> None:
        self._plan = plan
        self._capture = capture
        self._source = source
        self._report = report
        self.done = 0

    def page(self, state: State, table: TargetTable) -> bool:
        """Copy the next page; return whether there may be more."""
        copying = self._resume(state, table)
        after = None if copying.after is None else decode_key(copying.after)
        with self._source() as source:
            rows = self._plan.rows.page(source, after, PAGE)
        planned = read_rows(self._plan, rows, self._report)
        table.write(planned, fresh=copying.fresh)
        self.done += len(rows)
        more = len(rows) == PAGE
        if planned:
            after_text = encode_key(planned[-1].source_key)
            self._save(state, copying._replace(after=after_text))
        elif more:
            raise SystemRefused(
                f"{PAGE:,} rows of {self._plan.name} in a row have no readable primary key.",
                hint="Correct them, or leave the table out.",
            )
        return more

    def _resume(self, state: State, table: TargetTable) -> Copying:
        name = self._plan.name
        if text := state.meta(f"{COPYING}{name}"):
            return Copying(*orjson.loads(text))
        high: str | None = None
        if isinstance(self._capture, Cursor):
            with self._source() as source:
                greatest = self._plan.rows.greatest(source, self._capture.column)
            high = None if greatest is None else encode_key((greatest,))
        copying = Copying(None, table.count() == 0, high)
        self._save(state, copying)
        return copying

    def _save(self, state: State, copying: Copying) -> None:
        state.set_meta(f"{COPYING}{self._plan.name}", orjson.dumps([*copying]).decode())

    def finish(self, state: State, table: TargetTable, *, allow_deletes: bool) -> None:
        """Take away the rows that the source does not have, and note that the copy is done."""
        name = self._plan.name
        copying = self._resume(state, table)
        if not copying.fresh and self._plan.spec.on_delete != "ignore":
            first = state.meta(f"{COPIED}{name}") is None
            self._remove(table, first=first, allow_deletes=allow_deletes)
        state.set_meta(f"{COPIED}{name}", self._plan.digest)
        state.forget_meta(f"{COPYING}{name}")
        if copying.high is not None:
            state.set_meta(f"{HIGH}{name}", copying.high)

    def _remove(self, table: TargetTable, *, first: bool, allow_deletes: bool) -> None:
        def known(keys: list[Key]) -> set[Key]:
            with self._source() as source:
                return set(self._plan.rows.by_keys(source, keys))

        number, example = 0, ""
        for missing in table.unknown(known, PAGE):
            number += len(missing)
            example = example or show_key(missing[0])
        if not number:
            return
        if not allow_deletes:
            total = table.count()
            if first:
                refuse_unknown(self._plan, number, example)
            check_deletes(self._plan, number, total)
        for missing in table.unknown(known, PAGE):
            table.remove(missing)


def read_rows(plan: TablePlan, rows: Iterable[Row], report: PassReport) -> list[PlannedRow]:
    """What becomes of rows of the source."""
    planned: list[PlannedRow] = []
    nameless = 0
    for row in rows:
        report.looked_at += 1
        if is_key(plan.rows.key_of(row)):
            planned.append(plan.read(row))
        else:
            nameless += 1
    if nameless:
        report.notices.append(
            f"{nameless} rows of {plan.name} have a primary key that is empty, too long, or not of "
            "its column's type; they do not go on."
        )
    return planned


def check_deletes(plan: TablePlan, number: int, total: int) -> None:
    """Raise PipelineStopped if so many of ``total`` rows are not to go at once."""
    limit: Limit = plan.spec.max_deletes
    if limit.exceeded(number, total):
        raise PipelineStopped(
            f"{number:,} of {total:,} rows of {plan.name} were deleted at the source, more than "
            f"max_deletes = {limit} allows. No row was deleted at the destination.",
            hint="If that is right, run syncline sync FILE --allow-deletes once.",
        )


def refuse_unknown(plan: TablePlan, number: int, example: str) -> None:
    """Raise PipelineStopped: rows were there before the first copy."""
    rows = f"has {number:,} rows" if number > 1 else "has a row"
    raise PipelineStopped(
        f"The destination's table {plan.target.name} {rows} that the source does not have "
        f"(such as {example}), and this is the first copy: it would delete them.",
        hint='Let the rows go to another table with to = "NAME", write on_delete = "ignore", or '
        "run syncline sync FILE --allow-deletes once.",
    )


def cursor_start(state: State, plan: TablePlan, cursor: Cursor) -> Any:
    """Where to read on by the cursor column: a little before the last value. None: from the
    beginning."""
    text = state.meta(f"{HIGH}{plan.name}")
    if text is None:
        return None
    (high,) = decode_key(text)
    match plan.source.columns[cursor.column].kind:
        case "datetime":
            return high - timedelta(seconds=cursor.overlap)
        case "int":
            return high - int(cursor.overlap)
        case _:
            return high
