"""``syncline check``: whether a pipeline file fits its databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import typer

from syncline.cli.exit_codes import ExitCode
from syncline.cli.plain import counted, plain
from syncline.connectors.file.load import InvalidPipeline
from syncline.connectors.report import Finding
from syncline.connectors.running.run import PipelineRun
from syncline.engine.errors import SystemUnavailable

from .command import AsJson, PipelineFile, opened, output, print_json, waiting_for

_REACH = "Check that it runs, and the host, port, database, user and password in its URL."


class Found(NamedTuple):
    """A finding, and the line of the file that it is about, if that is known."""

    finding: Finding
    line: int | None = None


def check(file: PipelineFile, json: AsJson = False) -> None:
    """Say everything that is wrong with a pipeline file, alone and with its databases.

    Nothing is written. Exit code 3 means that there are problems, 5 that a database cannot be
    reached and there is no other problem.
    """
    found, unavailable = _look(file)
    problems = [each for each in found if each.finding.problem]
    if json:
        print_json({"ok": not problems, "findings": [_as_json(each) for each in found]})
    else:
        _print(file, found, len(problems))
    if any(each.finding.message not in unavailable for each in problems):
        raise typer.Exit(ExitCode.PROBLEMS)
    if problems:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _look(file: Path) -> tuple[list[Found], set[str]]:
    """What was found, and which of the messages say that a system cannot be reached."""
    try:
        with opened(file) as run, waiting_for("Looking at the databases …"):
            findings = run.check()
            problem = any(each.problem for each in findings)
            away = set(reasons_away(run).values()) if problem else set[str]()
            return [
                Found(each._replace(hint=_REACH) if each.message in away else each)
                for each in findings
            ], away
    except InvalidPipeline as error:
        return [
            Found(Finding(True, each.key, each.message, each.hint), each.line)
            for each in error.problems
        ], set()


def reasons_away(run: PipelineRun) -> dict[str, str]:
    """Why systems cannot be reached, by their names."""
    away: dict[str, str] = {}
    for name, system in run.systems.items():
        try:
            with system.reading():
                pass
        except SystemUnavailable as error:
            away[name] = error.message
    return away


def _as_json(found: Found) -> dict[str, Any]:
    return {**found.finding._asdict(), "line": found.line}


def _print(file: Path, found: list[Found], problems: int) -> None:
    console = output()
    for (problem, where, message, hint), line in found:
        place = f"line {line}, {where}" if line else where
        console.print(f"{plain(place)}: {plain(message)}", style="red" if problem else "yellow")
        console.print(f"  {plain(hint)}")
    if problems:
        console.print(f"{counted(problems, 'problem')} in {file}.")
        return
    console.print(f"{file} fits its databases. Next: syncline sync {file} --dry-run")
