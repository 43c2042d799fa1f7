"""What all commands of pipelines have: the file, the pipeline in it, text or JSON, progress."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from syncline.connectors.file.load import load_pipeline
from syncline.connectors.running.open import open_run
from syncline.connectors.running.run import PipelineRun

PipelineFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="A pipeline file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]


@contextmanager
def opened(file: Path) -> Generator[PipelineRun]:
    """The pipeline in a file, until the block ends. Raises InvalidPipeline, SystemRefused."""
    run = open_run(load_pipeline(file))
    try:
        yield run
    finally:
        run.close()


def output() -> Console:
    """Where people read: text as it is, one line of it on one line."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document on standard output; dates are in ISO form, bytes in hexadecimal."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    typer.echo(orjson.dumps(document, as_json, option), nl=False)


def as_json(value: Any) -> str:
    """What JSON does not have, as text."""
    return value.hex() if isinstance(value, bytes) else str(value)


class ShownProgress:
    """A Progress that draws bars on standard error, if that is a terminal."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)

    def __enter__(self) -> ShownProgress:
        if self._bars.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars.console.is_terminal:
            self._bars.stop()


@contextmanager
def waiting_for(what: str) -> Generator[None]:
    """Shows on standard error what is being done, if that is a terminal."""
    with Console(stderr=True).status(what):
        yield
