"""Copies of whole tables: in pages by key, from where the last one was cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from syncline.connectors.bookkeeping.state import State
from syncline.connectors.database.pages import is_key
from syncline.connectors.database.rows import Key, batches, decode_key, encode_key, show_key
from syncline.connectors.file.spec import Cursor
from syncline.connectors.report import PassReport
from syncline.engine.errors import PipelineStopped, SystemRefused

from . import reading
from .columns import DirectRows
from .plan import TablePlan
from .tables import COPIED, COPYING
from .target import TargetTable

HIGH = "high:"
"""Remembered by table: the greatest value of the cursor column that was read."""


class Copying(NamedTuple):
    """How far the copy by the plan ``digest`` has come: up to the row ``after``; ``fresh``: the
    table was empty when it began. ``high`` is the greatest value that the cursor column had
    then."""

    digest: str
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
        self._direct = DirectRows(plan) if plan.direct else None
        self._capture = capture
        self._source = source
        self._report = report
        self._size = reading.FIRST_PAGE
        self.done = 0

    def page(self, state: State, table: TargetTable, *, allow_deletes: bool) -> bool:
        """Copy the next page; return whether there may be more. Raises PipelineStopped before the
        first copy, if the table has rows of its own."""
        copying = self._resume(state, table, allow_deletes=allow_deletes)
        after = None if copying.after is None else decode_key(copying.after)
        size = self._size
        with self._source() as source:
            raws = self._plan.rows.raw_page(source, after, size)
        self._size = reading.page_size(
            list(map(self._plan.rows.row, raws[:: len(raws) // 100 + 1]))
        )
        self.done += len(raws)
        more = len(raws) == size
        last = self._write(table, raws, fresh=copying.fresh)
        if last is not None:
            self._save(state, copying._replace(after=encode_key(last)))
        elif more and size < reading.PAGE:
            self._size = reading.PAGE
        elif more:
            raise SystemRefused(
                f"{size:,} rows of {self._plan.name} in a row have no readable primary key.",
                hint="Correct them, or leave the table out.",
            )
        return more

    def _write(
        self, table: TargetTable, raws: Sequence[Sequence[Any]], *, fresh: bool
    ) -> Key | None:
        """Write a page; return the key of the last row that has one."""
        if fresh and raws and self._direct is not None:
            converted = self._direct.convert(raws)
            if converted is not None and table.insert(self._direct.columns, converted):
                self._report.looked_at += len(raws)
                return self._direct.last_key(raws)
        planned = reading.read_rows(self._plan, map(self._plan.rows.row, raws), self._report)
        table.write(planned, fresh=fresh)
        return reading.last_usable_key(planned)

    def _resume(self, state: State, table: TargetTable, *, allow_deletes: bool) -> Copying:
        name = self._plan.name
        if text := state.meta(f"{COPYING}{name}"):
            known = orjson.loads(text)
            if known[0] == self._plan.digest:
                return Copying(*known)
        high: str | None = None
        if isinstance(self._capture, Cursor):
            with self._source() as source:
                high = greatest_value(self._plan, source, self._capture)
        copying = Copying(self._plan.digest, None, table.count() == 0, high)
        first = state.meta(f"{COPIED}{name}") is None and not text
        if first and not (copying.fresh or allow_deletes or self._ignores_deletes):
            number, example = self._count_unknown(table)
            if number:
                refuse_unknown(self._plan, number, example)
        table.release_unusable()
        self._save(state, copying)
        return copying

    @property
    def _ignores_deletes(self) -> bool:
        return self._plan.spec.on_delete == "ignore"

    def _save(self, state: State, copying: Copying) -> None:
        state.set_meta(f"{COPYING}{self._plan.name}", orjson.dumps([*copying]).decode())

    def finish(self, state: State, table: TargetTable, *, allow_deletes: bool) -> None:
        """Take away the rows that the source does not have, and note that the copy is done."""
        name = self._plan.name
        copying = self._resume(state, table, allow_deletes=allow_deletes)
        if not copying.fresh:
            if not self._ignores_deletes:
                self._remove(table, allow_deletes=allow_deletes)
            self._release(table)
        state.set_meta(f"{COPIED}{name}", self._plan.digest)
        state.forget_meta(f"{COPYING}{name}")
        if copying.high is not None:
            state.set_meta(f"{HIGH}{name}", copying.high)

    def _remove(self, table: TargetTable, *, allow_deletes: bool) -> None:
        number, _ = self._count_unknown(table)
        if not allow_deletes:
            reading.check_deletes(self._plan, number, table.count_live())
        if number:
            for missing in table.unknown(self._known, reading.PAGE):
                table.remove_strange(missing)

    def _count_unknown(self, table: TargetTable) -> tuple[int, str]:
        """How many rows the source does not have, and the key of one of them."""
        number, example = 0, ""
        for missing in table.unknown(self._known, reading.PAGE):
            number += len(missing)
            example = example or show_key(missing[0])
        return number, example

    def _release(self, table: TargetTable) -> None:
        """Let rows go from quarantine that are gone at the source."""
        for keys in batches(table.quarantined()):
            known = self._known(keys)
            table.remove([key for key in keys if key not in known])

    def _known(self, keys: list[Key]) -> set[Key]:
        with self._source() as source:
            return set(self._plan.rows.by_keys(source, keys))


def refuse_unknown(plan: TablePlan, number: int, example: str) -> None:
    """Raise PipelineStopped: rows were there before the first copy."""
    rows = f"has {number:,} rows" if number > 1 else "has a row"
    raise PipelineStopped(
        f"The destination's table {plan.target.name} {rows} that the source does not have "
        f"(such as {example}), and this is the first copy: it would delete them.",
        hint='Let the rows go to another table with to = "NAME", write on_delete = "ignore", or '
        "run syncline sync FILE --allow-deletes once.",
    )


def greatest_value(plan: TablePlan, source: sa.Connection, cursor: Cursor) -> str | None:
    """The greatest value of the cursor column as ``HIGH`` remembers it, None if there is none."""
    greatest = (plan.rows.greatest(source, cursor.column),)
    return encode_key(greatest) if is_key(greatest) else None


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
        case "float":
            return high - cursor.overlap
        case "decimal":
            return high - Decimal(cursor.overlap)
        case _:
            return high
