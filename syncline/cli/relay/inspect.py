"""``syncline inspect``: what is in a store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from syncline.replica.replica import LOCAL
from syncline.stores import SqlStore


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """The documents of one collection; ``bytes`` is the size of their logs."""

    collection: str
    documents: int
    updates: int
    bytes: int


@dataclass(frozen=True, slots=True)
class WorkspaceSummary:
    """One workspace. ``head`` counts the updates stored, ``cursor`` is how far a replica has
    followed its relay, ``pending`` are its batches not acknowledged, ``refused`` its changes that
    were not taken."""

    workspace: str
    role: str
    head: int
    cursor: int | None
    pending: int
    refused: int
    collections: list[CollectionSummary]


def inspect(
    store: Annotated[str, typer.Argument(help="A path or a SQLAlchemy URL.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show the workspaces and documents of a store, also while it is in use."""
    opened = SqlStore(store, exclusive=False)
    opened.open()
    try:
        summaries = summarize(opened)
    finally:
        opened.close()
    if json:
        rows: list[dict[str, Any]] = [asdict(summary) for summary in summaries]
        text = orjson.dumps({"store": store, "workspaces": rows}, option=orjson.OPT_INDENT_2)
        typer.echo(text.decode())
    else:
        _print(store, summaries)


def summarize(store: SqlStore) -> list[WorkspaceSummary]:
    """What an opened store holds, by workspace."""
    role = store.meta("").get("role", "unknown")
    return [_summarize(store, name, role) for name in store.workspaces()]


def _summarize(store: SqlStore, name: str, role: str) -> WorkspaceSummary:
    totals: dict[str, list[int]] = {}
    for info in store.documents(name):
        total = totals.setdefault(info.address.collection, [0, 0, 0])
        total[0] += 1
        total[1] += info.updates
        total[2] += info.size
    meta = store.meta(name)
    return WorkspaceSummary(
        workspace=meta.get("joined", "not joined yet") if name == LOCAL else name,
        role=role,
        head=store.head(name),
        cursor=int(meta.get("cursor", "0")) if role == "replica" else None,
        pending=store.outbox_count(name),
        refused=len(store.refused(name)),
        collections=[
            CollectionSummary(collection, *total) for collection, total in sorted(totals.items())
        ],
    )


def _print(store: str, summaries: list[WorkspaceSummary]) -> None:
    console = Console(highlight=False)
    if not summaries:
        console.print(f"{store} is an empty store.")
    for summary in summaries:
        table = Table(title=_title(summary), title_justify="left", title_style="bold")
        table.add_column("collection")
        for column in ("documents", "updates", "bytes"):
            table.add_column(column, justify="right")
        for item in summary.collections:
            table.add_row(
                item.collection, f"{item.documents:,}", f"{item.updates:,}", f"{item.bytes:,}"
            )
        console.print(table)


def _title(summary: WorkspaceSummary) -> str:
    if summary.role != "replica":
        return f"workspace {summary.workspace} (relay), head {summary.head:,}"
    return (
        f"workspace {summary.workspace} (replica), cursor {summary.cursor:,}, "
        f"pending {summary.pending:,}, refused {summary.refused:,}"
    )
