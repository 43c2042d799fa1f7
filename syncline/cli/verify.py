"""``syncline verify``: whether a store agrees with itself, or the systems of a pipeline do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from syncline.stores import SqlStore
from syncline.upkeep.opener.documents import OpenedElsewhere
from syncline.upkeep.opener.process import Opener

from .pipelines.command import AsJson, print_json
from .pipelines.verify_pipeline import verify_pipeline
from .plain import plain

OPEN_SECONDS = 60.0
"""How long opening one document may take."""


def verify(
    store: Annotated[
        str, typer.Argument(help="A path or a SQLAlchemy URL; or a pipeline file, FILE.toml.")
    ],
    json: AsJson = False,
) -> None:
    """Say whether a store agrees with itself, or whether the systems of a pipeline are equal.

    A store is read whole, also while it is in use; building every document from its log, in a
    process of its own, takes some seconds for ten thousand small ones. Exit code 1 means that
    something does not agree, or that a document cannot be opened.

    Of a pipeline all rows of all systems are compared. Exit code 3 means that they are not equal.
    """
    if store.endswith(".toml"):
        file = Path(store)
        if not file.is_file():
            raise typer.BadParameter(f"There is no file {store}.")
        verify_pipeline(file, json=json)
    else:
        _verify_store(store, json=json)


def _verify_store(store: str, *, json: bool) -> None:
    opened = SqlStore(store, exclusive=False)
    opened.open()
    # Not here: a document may have been made to hang or kill whoever opens it.
    documents = OpenedElsewhere(Opener(OPEN_SECONDS))
    try:
        problems = opened.verify(documents.state_vector)
    finally:
        documents.close()
        opened.close()
    places = [
        "/".join(str(part) for part in (each.workspace, each.address) if part) for each in problems
    ]
    if json:
        found = [
            {"where": where, "message": problem.message}
            for where, problem in zip(places, problems, strict=True)
        ]
        print_json({"ok": not found, "problems": found})
    else:
        console = Console(highlight=False)
        for where, problem in zip(places, problems, strict=True):
            text = plain(f"{where}: {problem.message}" if where else problem.message)
            console.print(escape(text))
        if problems:
            count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
            console.print(
                f"{count}. Restore a backup, or start with an empty store and sync again."
            )
        else:
            console.print("The store agrees with itself.")
    if problems:
        raise typer.Exit(1)
