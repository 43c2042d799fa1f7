"""``syncline demo``: three replicas go offline, edit the same records, and merge."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, track
from rich.table import Table

from syncline import Relay, Replica

from .demo_data import Customer, Row, read_customers
from .demo_story import SCENES, Customers, Scene

DEVICES = ("laptop", "phone", "tablet")


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="A Chinook SQLite database; without it, a small built-in set."),
    ] = None,
) -> None:
    """Start a relay and three replicas, edit the same records offline, and show what merges how."""
    asyncio.run(_demo(Console(highlight=False), read_customers(data)))


async def _demo(console: Console, rows: list[Row]) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncline-demo-")))
        relay = await stack.enter_async_context(Relay(folder / "relay.db", port=0))
        url = f"{relay.url}/shop"
        replicas = {
            device: await stack.enter_async_context(
                Replica.open(folder / f"{device}.db", models=[Customer], relay=url)
            )
            for device in DEVICES
        }
        console.print(
            Panel(
                f"A relay at [bold]{url}[/] and three replicas: {', '.join(DEVICES)}.\n"
                "Each has a SQLite store of its own; they know each other only through the relay.",
                title="Syncline demo",
            )
        )
        _import(console, replicas["laptop"], rows)
        await _sync(console, replicas, f"Bringing {len(rows)} customers to all three")
        scenes = list(zip(SCENES, _customers(replicas["laptop"]), strict=False))
        before = _shown(scenes, replicas["laptop"])

        console.print("\n[bold]Offline.[/] Each device edits the same customers:\n")
        for replica in replicas.values():
            await replica.disconnect()
        await _edit(scenes, replicas)
        console.print(_table_of_edits(scenes))
        _compare(console, replicas)

        console.print("\n[bold]Online again.[/]\n")
        for replica in replicas.values():
            await replica.connect(url)
        await _sync(console, replicas, "Exchanging what each one missed")
        console.print(_table_of_merges(scenes, before, _shown(scenes, replicas["laptop"])))
        _compare(console, replicas)


def _customers(replica: Replica) -> list[str]:
    return [customer.key for customer in replica.collection(Customer)]


def _import(console: Console, replica: Replica, rows: list[Row]) -> None:
    customers = replica.collection(Customer)
    with replica.transaction("import"):
        for key, name, email, phone, city, country in track(
            rows, description="Importing on the laptop", console=console
        ):
            customers.create(
                key=key.zfill(3),
                name=name,
                email=email,
                phone=phone,
                city=city,
                country=country,
                tags=["customer"],
                wishlist=["Big Ones", "Facelift", "Jagged Little Pill"],
            )


async def _sync(console: Console, replicas: Mapping[str, Replica], title: str) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=2 * len(replicas))
        for _ in range(2):  # at first all send; then each has what the others sent
            for replica in replicas.values():
                await replica.synced()
                progress.advance(task)


async def _edit(scenes: list[tuple[Scene, str]], replicas: Mapping[str, Replica]) -> None:
    for scene, key in scenes:
        for step in scene.steps:
            step.edit(replicas[step.device].collection(Customer), key)
            await asyncio.sleep(0.005)  # so that clocks of milliseconds agree on which was later


def _shown(scenes: list[tuple[Scene, str]], replica: Replica) -> list[str]:
    customers: Customers = replica.collection(Customer)
    return [scene.show(customers, key) for scene, key in scenes]


def _table_of_edits(scenes: list[tuple[Scene, str]]) -> Table:
    table = Table("what", "customer", *DEVICES)
    for scene, key in scenes:
        words = {step.device: step.words for step in scene.steps}
        table.add_row(scene.title, key, *(words.get(device, "") for device in DEVICES))
    return table


def _table_of_merges(scenes: list[tuple[Scene, str]], before: list[str], after: list[str]) -> Table:
    table = Table("what", "before", "merged", "rule")
    for (scene, _), old, new in zip(scenes, before, after, strict=True):
        table.add_row(scene.title, old, f"[bold]{new}[/]", scene.rule)
    return table


def _compare(console: Console, replicas: Mapping[str, Replica]) -> None:
    """Say by the digest of everything that it holds whether each device equals the others."""
    contents = {device: replica.to_dict() for device, replica in replicas.items()}
    digests = {
        device: hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
        for device, content in contents.items()
    }
    for device, digest in digests.items():
        count = len(replicas[device].collection(Customer))
        pending = replicas[device].pending
        console.print(f"  {device:7} {count:3} customers, pending {pending}, content {digest[:16]}")
    if len(set(digests.values())) == 1:
        console.print("  [bold green]All three are equal.[/]")
    else:
        console.print("  [yellow]They differ, until they meet again.[/]")
