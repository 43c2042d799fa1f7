"""The command line: one module for each command of ``syncline``."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

import syncline
from syncline.engine.errors import SynclineError

from .backup import backup
from .check import check
from .compact import compact
from .conflicts import conflicts
from .demo import demo
from .duplicates import duplicates
from .exit_codes import exit_code_of
from .init import init
from .inspect import inspect
from .quarantine import quarantine
from .rebuild import rebuild_projection
from .rebuild_document import rebuild_document
from .restore import restore
from .resync import resync
from .run import run
from .serve import serve
from .status import status
from .sync import sync
from .verify import verify

app = typer.Typer(
    name="syncline",
    help="Local-first sync: records that merge by themselves, a durable relay, SQL stores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(serve)
app.command()(demo)
app.command()(inspect)
app.command()(verify)
app.command()(rebuild_projection)
app.command()(rebuild_document)
app.command()(compact)
app.command()(backup)
app.command()(restore)
for each in (init, check, sync, run, status, conflicts, quarantine, duplicates, resync):
    app.command(rich_help_panel="Databases in sync, by a pipeline file")(each)


def _show_version(wanted: bool) -> None:
    if wanted:
        Console().print(f"syncline {syncline.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command line; an expected error ends it with its sentence and its exit code."""
    try:
        app()
    except SynclineError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]Error[/] ({error.code}): {escape(error.message)}")
        console.print(f"[bold]Hint:[/] {escape(error.hint)}")
        sys.exit(exit_code_of(error))
