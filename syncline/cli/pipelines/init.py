"""``syncline init``: asks what to keep in sync, and writes the pipeline file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from syncline.cli.plain import plain
from syncline.cli.whole_file import written_whole
from syncline.connectors.database.system import System
from syncline.connectors.database.tables import names_of
from syncline.connectors.file.spec import SystemSpec
from syncline.connectors.proposal.propose import (
    GivenUrl,
    Mode,
    Proposal,
    check_name,
    default_name,
    propose,
    read_system,
    read_url,
)
from syncline.engine.errors import SynclineError, SystemRefused, SystemUnavailable, UsageError

T = TypeVar("T")
_DEFAULT_FILE = Path("pipeline.toml")
_MODES: tuple[Mode, Mode] = ("one-way", "two-way")
_DATABASES = (
    "A database is a URL such as postgresql://user@host/crm or mariadb://user@host/crm, the path "
    "of a SQLite file, or ${VARIABLE} for a URL in the environment."
)
_DIRECTIONS = "one-way copies the first to the second; two-way lets both change what they share."
_CHECK_URL = "Check the host, port, database, user and password in the URL."


def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = _DEFAULT_FILE,
    purpose: Annotated[str | None, typer.Option(help="What it is for, in your own words.")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="A URL, a SQLite file, or '${VARIABLE}', which holds a URL."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Likewise, the other system.")] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="one-way copies; two-way lets both sides change what they share."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the pipeline.")] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Ask nothing: take the defaults, and replace no file."),
    ] = False,
) -> None:
    """Ask what to keep in sync, look at both databases, and write a pipeline file to start from.

    Nothing is written to the databases. At most 200 rows of each table are read.
    """
    console = Console(highlight=False, soft_wrap=True)
    ask = _Dialogue(console, yes)
    replace = ask.may_replace(file)
    if purpose is None:
        purpose = ask.text("What is it for?", "purpose", default="Keep two databases in sync")
    with ExitStack() as stack:

        def opened(given: str) -> tuple[GivenUrl, System]:
            url, system = _open(given, stack, [system.name for _, system in systems])
            for _, other in systems:
                _check_different(other, system)
            return url, system

        systems: list[tuple[GivenUrl, System]] = []
        if from_ is None or to is None:
            ask.tell(_DATABASES)
        systems.append(ask.valid(from_, "From", "from", opened))
        systems.append(ask.valid(to, "To", "to", opened))
        if mode is None:
            ask.tell(_DIRECTIONS)
        how = ask.valid(mode, "one-way or two-way", "mode", _mode, default="one-way")
        default = default_name(systems[0][1].name, systems[1][1].name)
        name = ask.valid(name, "Name of the pipeline", "name", check_name, default=default)
        proposal = _propose(name, purpose, how, systems)
    write_file(file, proposal.text, replace=replace)
    _report(console, file, proposal, systems)


class _Dialogue:
    """Questions to the person at the terminal; with ``silent`` defaults answer them."""

    def __init__(self, console: Console, silent: bool) -> None:
        self._console = console
        self._silent = silent

    def may_replace(self, file: Path) -> bool:
        """Whether there is a file and it is to be replaced. Ends the command if it is not."""
        if not file.exists():
            if not file.absolute().parent.is_dir():
                raise UsageError(
                    f"There is no folder {file.absolute().parent}.", hint="Make it first."
                )
            return False
        if self._silent or not file.is_file():
            raise UsageError(
                f"{file} exists already.", hint="Name another file, or remove that one first."
            )
        if not typer.confirm(f"{file} exists already. Replace it?"):
            self._console.print("Nothing was written.")
            raise typer.Exit(1)
        return True

    def tell(self, text: str) -> None:
        """Say what helps to answer the next question."""
        if not self._silent:
            self._console.print(f"[dim]{escape(plain(text))}[/]")

    def text(self, question: str, option: str, default: str | None = None) -> str:
        """The answer, or the default. Raises UsageError if it is not to be asked for."""
        if not self._silent:
            return str(typer.prompt(question, default=default))
        if default is None:
            raise UsageError(
                f"--{option} is missing, and --yes asks nothing.",
                hint=f"Add --{option}, or leave out --yes.",
            )
        return default

    def valid(
        self,
        given: str | None,
        question: str,
        option: str,
        read: Callable[[str], T],
        default: str | None = None,
    ) -> T:
        """What ``read`` makes of the option, or of the first answer that it takes. Raises what
        ``read`` raises for an option."""
        if given is not None or self._silent:
            return read(self.text(question, option, default) if given is None else given)
        while True:
            try:
                return read(self.text(question, option, default))
            except SynclineError as error:
                self._console.print(
                    f"[yellow]{escape(plain(error.message))}[/]\n{escape(plain(error.hint))}"
                )


def _mode(text: str) -> Mode:
    for mode in _MODES:
        if text == mode:
            return mode
    raise UsageError(f"There is no mode {text!r}.", hint="Answer one-way or two-way.")


def _open(given: str, stack: ExitStack, taken: list[str]) -> tuple[GivenUrl, System]:
    """A system that can be reached. Raises InvalidUrl, SystemUnavailable, SystemRefused."""
    url = read_url(given, os.environ)
    spec = SystemSpec(url.system_name(taken), url.url.render_as_string(hide_password=False))
    system = System(spec)
    stack.callback(system.close)
    try:
        with system.reading() as connection:
            names_of(connection)  # SQLite looks into its file no sooner
    except SystemUnavailable as error:
        # What the errors advise is meant for pipelines that have run before.
        raise SystemUnavailable(
            error.message, hint=f"Check that it runs. {_CHECK_URL}", retry_after=error.retry_after
        ) from error
    except SystemRefused as error:
        hint = "Give another file." if system.dialect == "sqlite" else _CHECK_URL
        raise SystemRefused(error.message, hint=hint) from error
    return url, system


def _check_different(first: System, second: System) -> None:
    urls = [system.engine.url for system in (first, second)]
    if first.dialect == second.dialect == "sqlite":
        files = [Path(str(url.database)) for url in urls]
        # What is no file here is a file: URI.
        same = files[0].samefile(files[1]) if all(map(Path.exists, files)) else urls[0] == urls[1]
    else:
        same = urls[0] == urls[1]
    if same:
        raise UsageError(
            "Both URLs name the same database.", hint="Give the two that are to be in sync."
        )


def _propose(
    name: str, purpose: str, mode: Mode, systems: list[tuple[GivenUrl, System]]
) -> Proposal:
    with Console(stderr=True).status("Reading …") as status:

        def reading(table: str) -> None:
            status.update(f"Reading {escape(plain(table))} …")

        samples = [
            read_system(system, url.written(system.name), reading) for url, system in systems
        ]
        return propose(name, purpose, mode, samples[0], samples[1])


def write_file(file: Path, text: str, *, replace: bool) -> None:
    """Write the file: whole or not at all, and over another only if that was asked."""
    try:
        if not replace:
            with file.open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
            return
        with written_whole(file, encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            f"{file} cannot be written: {reason}.", hint="Name another file."
        ) from error


def _report(
    console: Console, file: Path, proposal: Proposal, systems: list[tuple[GivenUrl, System]]
) -> None:
    console.print(f"[bold green]Wrote[/] {escape(str(file))}.")
    for note in proposal.notes:
        console.print(f"  {escape(plain(note))}")
    for url, system in systems:
        variable = url.variable(system.name)
        if variable is not None:
            console.print(
                f"[bold]Set the environment variable {variable}[/] to the URL of "
                f"{escape(system.name)}: it has a password, which is not written to the file."
            )
    if proposal.complete:
        console.print("Read the file, then:")
    else:
        console.print("[bold yellow]The file has no record yet.[/] Complete it, then:")
    console.print(f"  syncline check {escape(str(file))}")
    console.print(f"  syncline sync {escape(str(file))} --dry-run")
