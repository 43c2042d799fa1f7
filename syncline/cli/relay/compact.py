"""``syncline compact``: replace the logs of documents by snapshots."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from syncline.engine.errors import SnapshotRefused, StoreBusy, StoreError
from syncline.engine.names import Address
from syncline.stores import InlineCalls, SqlStore
from syncline.upkeep.compaction import Compacted, compact_workspace
from syncline.upkeep.snapshots import SnapshotProcess


@dataclass(slots=True)
class Gain:
    """What compacting one workspace did."""

    workspace: str
    documents: int = 0
    compacted: int = 0
    updates: int = 0
    before: int = 0
    after: int = 0
    refused: list[tuple[Address, SnapshotRefused]] = field(
        default_factory=list[tuple[Address, SnapshotRefused]]
    )

    def add(self, address: Address, done: Compacted | SnapshotRefused | None) -> None:
        self.documents += 1
        if isinstance(done, SnapshotRefused):
            self.refused.append((address, done))
        elif done is not None:
            self.compacted += 1
            self.updates += done.updates
            self.before += done.before
            self.after += done.after


def compact(
    store: Annotated[str, typer.Argument(help="A path or a SQLAlchemy URL.")],
    workspace: Annotated[
        str | None, typer.Option(help="Compact this workspace only, by its name in the store.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be gained; also while the store is in use."),
    ] = False,
) -> None:
    """Replace the log of every document by a snapshot, where that makes it smaller.

    Each snapshot is checked against the log before it takes its place. A running relay compacts by
    itself; this is for a store that nobody has open.
    """
    opened = SqlStore(store, exclusive=not dry_run)
    try:
        opened.open()
    except StoreBusy as error:
        raise StoreBusy(
            error.message,
            hint="A running relay compacts by itself, so nothing needs to be done. To look at what "
            "would be gained, add --dry-run.",
        ) from error
    try:
        gains = asyncio.run(_compact(opened, _names(opened, workspace), dry_run))
        if any(gain.compacted for gain in gains) and not dry_run:
            opened.shrink()
    finally:
        opened.close()
    _report(gains, dry_run)
    if any(gain.refused for gain in gains):
        raise typer.Exit(1)


def _names(store: SqlStore, wanted: str | None) -> list[str]:
    names = store.workspaces()
    if wanted is None:
        return names
    if wanted not in names:
        raise StoreError(
            f"The store has no workspace {wanted!r}.",
            hint=f"It has {', '.join(map(repr, names)) or 'none'}.",
        )
    return [wanted]


async def _compact(store: SqlStore, names: list[str], dry_run: bool) -> list[Gain]:
    run = InlineCalls()
    snapshots = SnapshotProcess()
    gains = [Gain(name) for name in names]
    progress = Progress(console=Console(stderr=True), transient=True)
    try:
        with progress:
            for gain in gains:
                count = sum(1 for _ in store.documents(gain.workspace))
                task = progress.add_task(escape(gain.workspace), total=count)
                async for address, done in compact_workspace(
                    store, gain.workspace, snapshots, read=run, write=None if dry_run else run
                ):
                    gain.add(address, done)
                    progress.advance(task)
    finally:
        await snapshots.close()
    return gains


def _report(gains: list[Gain], dry_run: bool) -> None:
    console = Console(highlight=False)
    title = "What compacting would gain" if dry_run else "Compacted"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("workspace")
    for column in ("documents", "compacted", "updates", "bytes before", "bytes after"):
        table.add_column(column, justify="right")
    for gain in gains:
        numbers = (gain.documents, gain.compacted, gain.updates, gain.before, gain.after)
        table.add_row(escape(gain.workspace), *(f"{number:,}" for number in numbers))
    console.print(table)
    for gain in gains:
        for address, error in gain.refused:
            console.print(
                f"[bold red]Left as it is:[/] {escape(str(address))} in "
                f"{escape(gain.workspace)}. {escape(error.message)}",
                soft_wrap=True,
            )
