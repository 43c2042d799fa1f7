"""``syncline rebuild-document``: the content of documents, without their history."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from syncline.engine.errors import UsageError
from syncline.engine.names import Address
from syncline.environment import Environment
from syncline.stores import SqlStore
from syncline.upkeep.opener.documents import OpenedElsewhere
from syncline.upkeep.rebuilding import rebuild_document as rebuild

REBUILD_SECONDS = 120.0
"""How long rebuilding one document may take."""


def rebuild_document(
    store: Annotated[str, typer.Argument(help="A relay's store: a path or a SQLAlchemy URL.")],
    addresses: Annotated[list[str], typer.Argument(help="Documents, as collection/key.")],
    workspace: Annotated[str, typer.Option(help="The workspace that they are in.")],
) -> None:
    """Give documents a new history that holds only what they hold now.

    For a document whose history has grown too large or does harm. Replicas take the new history
    over when they connect, and make the edits again that the relay did not have. The store must not
    be in use.
    """
    console = Console(highlight=False)
    there = SqlStore(store, exclusive=False)  # opening it to write would create one
    there.open()
    there.close()
    opened = SqlStore(store)
    opened.open()
    try:
        if opened.meta("").get("role") != "relay":
            raise UsageError(
                "This is no relay's store.",
                hint="Documents are rebuilt at the relay; its replicas follow.",
            )
        environment = Environment()
        documents = OpenedElsewhere(environment.opener(REBUILD_SECONDS))
        with closing(documents):
            for text in addresses:
                address = Address.parse(text)
                before = opened.log_size(workspace, address)
                rebuild(opened, workspace, address, environment.now, documents.rebuilt)
                after = opened.log_size(workspace, address)
                console.print(
                    f"{escape(text)}: {before.size if before else 0:,} bytes of history, now "
                    f"{after.size if after else 0:,}"
                )
    finally:
        opened.close()
    console.print("Back up the store now: an older backup would bring the old histories back.")
