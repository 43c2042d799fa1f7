"""What the exit code of a command says; docs/commands-of-pipelines.md has them for people."""

from __future__ import annotations

from enum import IntEnum

from syncline.engine.errors import PipelineStopped, SynclineError, SystemUnavailable


class ExitCode(IntEnum):
    OK = 0
    ERROR = 1
    USAGE = 2
    """Of typer: the arguments of the command are wrong."""
    PROBLEMS = 3
    """The command did its work, and found differences, or problems of the file."""
    STOPPED = 4
    """A limit of the pipeline file was reached."""
    UNAVAILABLE = 5
    """A system cannot be reached; what others have was done."""


def exit_code_of(error: SynclineError) -> ExitCode:
    """The exit code of a command that ends with this error."""
    match error:
        case PipelineStopped():
            return ExitCode.STOPPED
        case SystemUnavailable():
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.ERROR
