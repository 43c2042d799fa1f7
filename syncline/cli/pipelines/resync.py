"""``syncline resync``: all rows of a table are compared again."""

from __future__ import annotations

from typing import Annotated

import typer

from .command import PipelineFile, opened, output, waiting_for


def resync(
    file: PipelineFile,
    table: Annotated[
        str, typer.Argument(help="A table, or a record of a two-way pipeline.", show_default=False)
    ],
) -> None:
    """Let the next sync compare all rows of a table, not only those known to have changed.

    For when something changed a database unseen: triggers were switched off, a backup was restored.
    """
    with opened(file) as run, waiting_for("Preparing …"):
        run.resync(table)
    output().print(f"The next pass compares all rows of {table}: syncline sync {file}")
