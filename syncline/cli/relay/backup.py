"""``syncline backup``: a copy of a store, also while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from syncline.upkeep import backup as backups


def backup(
    store: Annotated[str, typer.Argument(help="A path or a SQLAlchemy URL.")],
    file: Annotated[Path, typer.Argument(help="Where to save the copy, a SQLite file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Save a copy of a store as it is at one moment, also while a relay runs on it.

    Everything acknowledged before is in it. The copy is read through before it takes its name.
    """
    console = Console(highlight=False)
    with Console(stderr=True).status("Copying and checking …"):
        copy = backups.backup(store, file, force=force)
    console.print(
        f"[bold green]Saved[/] {escape(str(file))}, {file.stat().st_size:,} bytes, checked:",
        soft_wrap=True,
    )
    print_heads(console, copy)
    console.print(f"Bring it back with: syncline restore {escape(str(file))} STORE", soft_wrap=True)


def print_heads(console: Console, copy: backups.StoreCopy) -> None:
    """One line for each workspace."""
    for name, head in copy.heads.items():
        console.print(f"  workspace {escape(name)}, head {head:,}", soft_wrap=True)
    if not copy.heads:
        console.print("  an empty store")
