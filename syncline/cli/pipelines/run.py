"""``syncline run``: keeps a pipeline going."""

from __future__ import annotations

import signal
import threading
from datetime import datetime
from types import FrameType

import orjson
import typer
from rich.console import Console
from rich.text import Text

from syncline.cli.plain import plain
from syncline.connectors.file.spec import OneWay, TwoWay
from syncline.connectors.report import PassReport
from syncline.connectors.running.runner import PipelineRunner
from syncline.environment import wall_clock

from .command import AsJson, PipelineFile, as_json, opened, output
from .output import layout, report_lines
from .sync import report_as_json


def run(file: PipelineFile, json: AsJson = False) -> None:
    """Keep the databases of a pipeline in step, until Ctrl-C or SIGTERM.

    A change goes on within a second where triggers note it. A system that is down is waited for.
    With --json, one line for each pass that did something.
    """
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    console = output()
    with opened(file) as running:
        shown = ShownPasses(console, running.pipeline, json=json)
        if not json:
            names = ", ".join(running.systems)
            console.print(f"{running.pipeline.name}: {names}. Stop with Ctrl-C.")
        runner = PipelineRunner(running, reported=shown.report, failed=shown.failure)
        runner.keep_going(stop)
    if not json:
        console.print("Stopped. What was written is whole; the rest waits where it is.")


class ShownPasses:
    """Prints what passes do, each line with the time, and what is wrong once until it changes."""

    def __init__(self, console: Console, pipeline: OneWay | TwoWay, *, json: bool) -> None:
        self._console = console
        self._pipeline = pipeline
        self._json = json
        self._waiting: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        self._notices: list[str] = []
        self._failure = ""
        self._begun = False

    def report(self, report: PassReport) -> None:
        """Print a pass, if it did something or something is new."""
        back = [name for name in self._waiting if name not in report.waiting]
        known = self._waiting == report.waiting and self._notices == report.notices
        self._waiting, self._notices = dict(report.waiting), list(report.notices)
        if not report.waiting:
            self._failure = ""
        did = report.changed or report.conflict_count or report.refused_count
        known = known and self._left_out == report.left_out
        self._left_out = dict(report.left_out)
        if self._begun and known and not did:
            return
        if self._json:
            typer.echo(orjson.dumps(report_as_json(report), as_json))
        else:
            self._print(report, back)
        self._begun = True

    def _print(self, report: PassReport, back: list[str]) -> None:
        for name in back:
            self._line(Text(f"{plain(name)} is back."))
        lines = report_lines(report, self._pipeline)
        for line in layout(lines):
            self._line(line)
        for notice in report.notices:
            self._line(Text(plain(notice)))
        if not lines and not self._begun:
            self._line(Text("Everything is in step."))

    def failure(self, message: str) -> None:
        """Print what went wrong, unless that is known."""
        if message == self._failure:
            return
        self._failure = message
        if self._json:
            typer.echo(orjson.dumps({"pipeline": self._pipeline.name, "error": message}))
        else:
            self._line(Text(plain(message), style="red"))

    def _line(self, line: Text) -> None:
        time = datetime.fromtimestamp(wall_clock() / 1000).astimezone().strftime("%H:%M:%S")
        self._console.print(Text(f"{time}  ", style="dim").append_text(line))
