"""The command line: one module for each command of ``syncline``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

import syncline
from syncline.engine.errors import SynclineError

from .exit_codes import exit_code_of

_PIPELINES = "Databases in sync, by a pipeline file"
COMMANDS = {
    "serve": ("relay", None),
    "demo": ("relay", None),
    "inspect": ("relay", None),
    "verify": ("", None),
    "documents": ("relay", None),
    "rebuild-projection": ("relay", None),
    "rebuild-document": ("relay", None),
    "compact": ("relay", None),
    "backup": ("relay", None),
    "restore": ("relay", None),
    "init": ("pipelines", _PIPELINES),
    "check": ("pipelines", _PIPELINES),
    "sync": ("pipelines", _PIPELINES),
    "run": ("pipelines", _PIPELINES),
    "status": ("pipelines", _PIPELINES),
    "conflicts": ("pipelines", _PIPELINES),
    "quarantine": ("pipelines", _PIPELINES),
    "duplicates": ("pipelines", _PIPELINES),
    "resync": ("pipelines", _PIPELINES),
}
"""The names of all commands, each with its folder and with the panel of the help that it is in.
``a-b`` is the function ``a_b`` of the module of that name."""


class LazyCommands(TyperGroup):
    """Imports a command when it is asked for: half of the time that a command takes to begin would
    go into the modules of the others."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        names: Any = dict.fromkeys(COMMANDS)
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        single = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        folder, panel = COMMANDS[cmd_name]
        module = f".{folder}.{name}" if folder else f".{name}"
        single.command(cmd_name, rich_help_panel=panel)(
            getattr(import_module(module, __package__), name)
        )
        return get_command(single)


app = typer.Typer(
    name="syncline",
    cls=LazyCommands,
    help="Local-first sync: records that merge by themselves, a durable relay, SQL stores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


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
        from .plain import plain_lines  # the stores come with it, which takes a while

        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"[bold red]Error[/] ({error.code}): {escape(plain_lines(error.message))}")
        console.print(f"[bold]Hint:[/] {escape(plain_lines(error.hint))}")
        sys.exit(exit_code_of(error))
