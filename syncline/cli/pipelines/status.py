"""``syncline status``: how a pipeline stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypeVar

import typer

from syncline.cli.exit_codes import ExitCode
from syncline.cli.plain import clock, counted, plain
from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.bookkeeping.state import State
from syncline.connectors.bookkeeping.webhook_queue import WebhookStatus
from syncline.connectors.database.system import System
from syncline.connectors.file.spec import TwoWay
from syncline.connectors.running.run import PipelineRun
from syncline.engine.errors import SystemRefused, SystemUnavailable

from .command import AsJson, PipelineFile, opened, output, print_json, waiting_for
from .output import Line, layout

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """One system: why it cannot be used, if so; ``pending`` is how many changes wait in it (None:
    not known, or none can)."""

    name: str
    database: str
    available: bool
    reason: str | None
    begun: bool | None
    pending: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """``begun`` says whether the pipeline has run before; rows in quarantine and conflicts are None
    where a system that is away keeps them from being known."""

    pipeline: str
    mode: str
    purpose: str
    begun: bool
    systems: list[SystemStatus]
    quarantined: int | None
    conflicts: int | None
    webhooks: list[WebhookStatus]


def status(file: PipelineFile, json: AsJson = False) -> None:
    """Show how a pipeline stands: what waits, what is held, what is undecided.

    Exit code 5 means that a system cannot be reached.
    """
    with opened(file) as run, waiting_for("Looking at the databases …"):
        found = _look(run)
    if json:
        print_json(asdict(found))
    else:
        _print(str(file), found)
    if not all(system.available for system in found.systems):
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _look(run: PipelineRun) -> Status:
    pending = run.pending()
    systems = [
        _system(system, run.pipeline.name, pending.get(name))
        for name, system in run.systems.items()
    ]
    all_up = all(system.available for system in systems)
    all_begun = all(system.begun for system in systems)
    held = {(entry.system, entry.table, entry.pk) for entry in run.quarantine()} if all_up else ()
    return Status(
        run.pipeline.name,
        "two-way" if isinstance(run.pipeline, TwoWay) else "one-way",
        run.pipeline.purpose,
        any(system.begun for system in systems),
        systems,
        len(held) if all_up else None,
        (len(run.conflicts()) if all_begun else 0) if all_up else None,
        run.webhooks(),
    )


def _system(system: System, pipeline: str, pending: int | None) -> SystemStatus:
    database = system.engine.url.get_backend_name()
    try:
        begun = has_begun(system, pipeline)
    except (SystemUnavailable, SystemRefused) as error:
        return SystemStatus(system.name, database, False, error.message, None, None)
    return SystemStatus(system.name, database, True, None, begun, pending)


def has_begun(system: System, pipeline: str) -> bool:
    """Whether the pipeline has left anything in this system. Raises SystemUnavailable,
    SystemRefused."""
    with system.reading() as connection:
        return has_state(connection) and bool(State(connection, pipeline).metas(""))


def _print(file: str, status: Status) -> None:
    console = output()
    about = f": {plain(status.purpose)}" if status.purpose else ""
    console.print(f"{status.pipeline} ({status.mode}){about}", style="bold")
    lines: list[Line] = []
    for system in status.systems:
        if not system.available:
            lines.append(Line(system.name, None, plain(system.reason or ""), "red"))
        elif status.begun and system.pending is not None:
            what = "change waits" if system.pending == 1 else "changes wait"
            lines.append(Line(system.name, system.pending, what, near=True))
        else:
            lines.append(Line(system.name, None, "can be reached"))
    if status.begun:
        hint = f"   (syncline quarantine {file})" if status.quarantined else ""
        lines.append(_count("quarantine", status.quarantined, "row", hint))
        if status.mode == "two-way":
            hint = f"   (syncline conflicts {file})" if status.conflicts else ""
            lines.append(_count("conflicts", status.conflicts, "field", hint))
    lines += [_webhook(each) for each in status.webhooks]
    for line in layout(lines):
        console.print(line)
    if not status.begun:
        console.print(f"It has not run yet. Begin with: syncline sync {file} --dry-run")


def _webhook(webhook: WebhookStatus) -> Line:
    what = "change waits" if webhook.waiting == 1 else "changes wait"
    about = f"{what} for {plain(webhook.url)}"
    if webhook.waiting and webhook.failure and webhook.failed_at:
        tried = f"{counted(webhook.tries, 'try')}, last at {clock(webhook.failed_at)}"
        about += f": {plain(webhook.failure)} ({tried})"
    return Line("webhook", webhook.waiting, about, near=True)


def _count(label: str, number: int | None, noun: str, hint: str) -> Line:
    if number is None:
        return Line(label, None, "not known while a system is away")
    _, word = counted(number, noun).split()
    return Line(label, number, f"{word}{hint}", near=True)
