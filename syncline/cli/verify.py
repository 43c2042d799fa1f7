"""``syncline verify``: whether a store agrees with itself."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from syncline.stores import SqlStore


def verify(
    store: Annotated[str, typer.Argument(help="A path or a SQLAlchemy URL.")],
) -> None:
    """Read a whole store and say everything in it that does not agree; also while it is in use.

    Exit code 0 means that there is nothing. It builds every document from its log, which takes
    about a second for ten thousand small ones.
    """
    console = Console(highlight=False)
    opened = SqlStore(store, exclusive=False)
    opened.open()
    try:
        problems = opened.verify()
    finally:
        opened.close()
    for problem in problems:
        where = "/".join(str(part) for part in (problem.workspace, problem.address) if part)
        console.print(f"{escape(where)}: {escape(problem.message)}" if where else problem.message)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        console.print(f"{count}. Restore a backup, or start with an empty store and sync again.")
        raise typer.Exit(1)
    console.print("The store agrees with itself.")
