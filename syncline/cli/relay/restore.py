"""``syncline restore``: a backup becomes a store again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from syncline.stores.databases.from_url import readable
from syncline.upkeep import backup as backups

from .backup import print_heads


def restore(
    file: Annotated[Path, typer.Argument(help="A backup, as `syncline backup` saves it.")],
    store: Annotated[str, typer.Argument(help="A path or a SQLAlchemy URL; new or empty.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace everything that the store has.")
    ] = False,
) -> None:
    """Put a backup into a store that nobody has open.

    All or nothing: a restore that fails leaves the store as it was.
    """
    console = Console(highlight=False)
    with Console(stderr=True).status("Checking and copying …"):
        copy = backups.restore(file, store, force=force)
    console.print(
        f"[bold green]Restored[/] {escape(readable(store))} from {escape(str(file))}:",
        soft_wrap=True,
    )
    print_heads(console, copy)
    if copy.relay is not None:
        console.print(f"The relay has a new identity, {copy.relay}.", soft_wrap=True)
        console.print(
            "Start it: each replica notices, compares its documents with the relay's, and offers "
            "what it has that the backup had not.",
            soft_wrap=True,
        )
    elif copy.role == "replica":
        console.print(
            "The replica takes a new identity when it is opened, and fetches from its relay what "
            "came after the backup.",
            soft_wrap=True,
        )
