"""Writing at the destination: one transaction, the tables in it, and what it tells of."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.bookkeeping.webhook_queue import WebhookQueue
from syncline.connectors.file.spec import Limit
from syncline.connectors.report import Change, Pass, PassReport
from syncline.engine.errors import PipelineStopped

from .systems import OneWaySystems
from .target import TargetTable


@contextmanager
def writing_tables(
    systems: OneWaySystems, current: Pass, *, again: bool = False
) -> Generator[tuple[State, dict[str, TargetTable]]]:
    """A transaction at the destination, and its tables by their names at the source. What it
    changed is told of once it is committed. ``again``: its rows were refused before.

    Raises PipelineStopped, before anything is committed, if too many rows were refused.
    """
    pipeline, report = systems.pipeline, current.report
    told = not report.dry_run and (current.changed is not None or bool(pipeline.notify))
    refused, looked_at = report.refused_count, report.looked_at
    changes: list[Change] = []
    with systems.destination(writing=True) as state:
        quarantine = Quarantine(state.connection, pipeline.name)
        has_quarantined = quarantine.count() > 0
        tables = {
            plan.name: TargetTable(
                state.connection,
                plan,
                quarantine,
                report,
                systems.now(),
                exists=systems.exists[plan.name],
                has_quarantined=has_quarantined,
                told=told,
                again=again,
            )
            for plan in systems.plans
        }
        yield state, tables
        if pipeline.stop_if_over is not None and not again:
            new = report.refused_count - refused
            _check_refused(pipeline.stop_if_over, new, report.looked_at - looked_at, report)
        for table in tables.values():
            changes += table.changes
        if not report.dry_run:
            WebhookQueue(state.connection, pipeline.name).put(changes, pipeline.notify)
    current.tell(changes)


def _check_refused(limit: Limit, refused: int, looked_at: int, report: PassReport) -> None:
    of_all = limit.count is not None
    number, total = (report.refused_count, report.looked_at) if of_all else (refused, looked_at)
    if limit.exceeded(number, total):
        example = f" The first: {report.refused[0].refusal.message}" if report.refused else ""
        raise PipelineStopped(
            f"{number:,} of {total:,} rows of the source were refused, more than "
            f"stop_if_over = {limit} allows; these were not written.{example}",
            hint="Correct the rows or the rules; syncline sync FILE --dry-run names them.",
        )
