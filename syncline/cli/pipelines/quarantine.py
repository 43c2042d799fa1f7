"""``syncline quarantine``: rows that do not go on, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from syncline.cli.exit_codes import ExitCode
from syncline.cli.plain import clock, counted, plain, shown
from syncline.connectors.bookkeeping.quarantine import Quarantined
from syncline.connectors.file.spec import TwoWay

from .check import reasons_away
from .command import AsJson, PipelineFile, opened, output, print_json, waiting_for
from .output import describe_held
from .quarantine_export import export_csv


def quarantine(
    file: PipelineFile,
    retry: Annotated[
        bool, typer.Option("--retry", help="Let the next sync look at all of these rows again.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.csv",
            dir_okay=False,
            help="Write the list to a CSV file for spreadsheets; one that exists is replaced.",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """List the rows that do not go on, each with the reason and what to do.

    A row that is corrected in its own system goes on by itself; --retry is for rules or tables that
    were changed. Exit code 5 means that the rows of a system that is away are missing.
    """
    with opened(file) as run, waiting_for("Reading …"):
        entries = run.quarantine()
        away = reasons_away(run) if isinstance(run.pipeline, TwoWay) else {}
        if export is not None:
            export_csv(export, entries)
        retried = run.retry() if retry else 0
    if json:
        document = {
            "pipeline": run.pipeline.name,
            "rows": _rows(entries),
            "retried": retried,
            "quarantined": [entry_as_json(each) for each in entries],
            "waiting": away,
        }
        print_json(document)
    else:
        _tell(str(file), entries, export, retried, listed=not retry and export is None)
        for reason in away.values():
            output().print(f"Its rows are not listed: {plain(reason)}", style="red")
    if away:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _tell(
    file: str, entries: list[Quarantined], export: Path | None, retried: int, *, listed: bool
) -> None:
    console = output()
    if not entries:
        console.print("Nothing is in quarantine.")
    elif listed:
        _print(entries)
    if export is not None:
        console.print(f"Wrote {counted(len(entries), 'line')} to {export}.")
    if retried:
        console.print(
            f"The next pass looks at {counted(retried, 'row')} again: syncline sync {file}"
        )


def entry_as_json(entry: Quarantined) -> dict[str, Any]:
    return {
        "system": entry.system,
        "table": entry.table,
        "key": entry.key,
        "field": entry.field,
        "rule": entry.rule,
        "message": entry.message,
        "hint": entry.hint,
        "original": entry.original,
        "suggested": entry.suggested,
        "first_seen": entry.first_seen,
        "last_seen": entry.last_seen,
        "tries": entry.tries,
    }


def _rows(entries: list[Quarantined]) -> int:
    return len({(entry.system, entry.table, entry.pk) for entry in entries})


def _print(entries: list[Quarantined]) -> None:
    console = output()
    for entry in entries:
        console.print(describe_held(entry), style="yellow")
        suggested = (
            f" Perhaps {shown(entry.suggested)} is meant." if entry.suggested is not None else ""
        )
        tries = "once" if entry.tries == 1 else f"{entry.tries:,} times"
        console.print(f"  {plain(entry.hint)}{suggested}")
        console.print(f"  since {clock(entry.first_seen)}, tried {tries}", style="dim")
    console.print(f"{counted(_rows(entries), 'row')} in quarantine.")
