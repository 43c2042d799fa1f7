"""``syncline sync``: one pass of a pipeline."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from syncline.cli.exit_codes import ExitCode
from syncline.cli.plain import instant
from syncline.connectors.report import MergedField, PassReport
from syncline.connectors.running.notifier import Notifier

from .command import AsJson, PipelineFile, ShownProgress, opened, output, print_json
from .output import print_report


def sync(
    file: PipelineFile,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
    ] = False,
    allow_deletes: Annotated[
        bool,
        typer.Option(
            "--allow-deletes", help="Delete this time also more rows than max_deletes allows."
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Bring the databases of a pipeline in step, once.

    A system that cannot be reached is left out and caught up with later: exit code 5.
    """
    with opened(file) as run, ShownProgress() as progress:
        report = run.sync(dry_run=dry_run, allow_deletes=allow_deletes, progress=progress)
        if run.pipeline.notify and not dry_run and not report.waiting:
            report.notices += Notifier(run).deliver()
    if json:
        print_json(report_as_json(report))
    else:
        print_report(output(), report, run.pipeline)
    if report.waiting:
        raise typer.Exit(ExitCode.UNAVAILABLE)
    if report.left_out:
        raise typer.Exit(ExitCode.ERROR)


def report_as_json(report: PassReport) -> dict[str, Any]:
    """The report, with keys that stay."""
    return {
        "pipeline": report.pipeline,
        "dry_run": report.dry_run,
        "changed": report.changed,
        "looked_at": report.looked_at,
        "flows": [
            {
                "from": source,
                "to": target,
                "inserted": flow.inserted,
                "updated": flow.updated,
                "deleted": flow.deleted,
                "fields": flow.fields,
            }
            for (source, target), flow in report.flows.items()
        ],
        "cleaned": dict(report.cleaned),
        "merged_count": report.merged_count,
        "merged": [each._asdict() for each in report.merged],
        "conflict_count": report.conflict_count,
        "conflicts": [conflict_as_json(each) for each in report.conflicts],
        "quarantined_count": report.refused_count,
        "quarantined": [
            {
                "system": row.system,
                "table": row.table,
                "key": row.key,
                "field": row.refusal.field,
                "rule": row.refusal.rule,
                "message": row.refusal.message,
                "hint": row.refusal.hint,
                "original": row.refusal.original,
                "suggested": row.refusal.suggested,
            }
            for row in report.refused
        ],
        "notices": report.notices,
        "waiting": report.waiting,
        "left_out": report.left_out,
        "more": report.more,
    }


def conflict_as_json(conflict: MergedField) -> dict[str, Any]:
    return {
        **conflict._asdict(),
        "at": {name: instant(at) if at else None for name, at in conflict.at.items()},
    }
