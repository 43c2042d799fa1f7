"""``syncline rebuild-projection``: make the SQL tables of a store anew from its documents."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from syncline.cli.models import load_models
from syncline.engine.records.projection import projected
from syncline.stores import SqlStore
from syncline.upkeep.opener.documents import OpenedElsewhere
from syncline.upkeep.opener.process import Opener

OPEN_SECONDS = 60.0
"""How long opening one document may take."""


def rebuild_projection(
    store: Annotated[str, typer.Argument(help="A path or a SQLAlchemy URL.")],
    models: Annotated[
        list[str] | None,
        typer.Option(help="A record class, as module:Name; may be given several times."),
    ] = None,
) -> None:
    """Make the SQL tables of a store anew from its documents, which are the truth.

    Without --models: the tables that the store has. The store must not be in use.
    """
    console = Console(highlight=False)
    classes = load_models(models or [])
    there = SqlStore(store, exclusive=False)  # opening it to write would create one
    there.open()
    there.close()
    opened = SqlStore(store)
    opened.open()
    documents = OpenedElsewhere(Opener(OPEN_SECONDS))
    try:
        by_workspace = opened.meta("").get("role") == "relay"
        tables = [projected(each.__schema__, by_workspace=by_workspace) for each in classes]
        rows = opened.project(
            tables if models else opened.projected(), anew=True, row_of=documents.row
        )
    finally:
        documents.close()
        opened.close()
    for collection, count in sorted(rows.items()):
        console.print(f"{escape(collection)}: {count:,} rows")
    if not rows:
        console.print("The store has no tables. Name record classes: --models module:Name.")
