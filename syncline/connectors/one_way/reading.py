"""Reading a table of the source: how much at once, and what becomes of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncline.connectors.bookkeeping.quarantine import unusable_key
from syncline.connectors.database.pages import is_key, is_stand_in, stand_in
from syncline.connectors.database.rows import Key, Row
from syncline.connectors.file.spec import Limit
from syncline.connectors.report import PassReport
from syncline.engine.errors import PipelineStopped

from .plan import PlannedRow, TablePlan

PAGE = 5_000
"""Rows that one transaction copies at most."""
FIRST_PAGE = 500
"""The same while it is not known how large the rows are."""
_PAGE_BYTES = 16 << 20
"""About how much text and how many bytes a page has: rows may be large."""


def page_size(rows: Sequence[Row]) -> int:
    """How many rows like these to read at once."""
    some = rows[:: max(1, len(rows) // 100)]
    size = sum(
        len(value) if isinstance(value, str | bytes) else len(repr(value))
        for row in some
        for value in row.values()
        if type(value) in (str, bytes, list, dict)
    )
    return max(1, min(PAGE, _PAGE_BYTES * len(some) // max(1, size))) if some else PAGE


def read_rows(plan: TablePlan, rows: Iterable[Row], report: PassReport) -> list[PlannedRow]:
    """What becomes of rows of the source."""
    planned: list[PlannedRow] = []
    nameless = 0
    for row in rows:
        report.looked_at += 1
        key = plan.rows.key_of(row)
        if is_key(key):
            planned.append(plan.read(row))
        else:
            refusals = [unusable_key(key)]
            planned.append(PlannedRow(stand_in(key), (), {}, refusals, quarantined=True))
            nameless += 1
    if nameless:
        report.notices.append(
            f"{nameless} rows of {plan.name} have a primary key that is empty, too long, or not of "
            "its column's type; they do not go on."
        )
    return planned


def last_usable_key(planned: Sequence[PlannedRow]) -> Key | None:
    """The key of the last of these rows that has a usable one."""
    return next(
        (row.source_key for row in reversed(planned) if not is_stand_in(row.source_key)), None
    )


def check_deletes(plan: TablePlan, number: int, total: int) -> None:
    """Raise PipelineStopped if so many of ``total`` rows are not to go at once."""
    limit: Limit = plan.spec.max_deletes
    if limit.exceeded(number, total):
        raise PipelineStopped(
            f"{number:,} of {total:,} rows of {plan.name} were deleted at the source, more than "
            f"max_deletes = {limit} allows. No row was deleted at the destination.",
            hint="If that is right, run syncline sync FILE --allow-deletes once.",
        )
