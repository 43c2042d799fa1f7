"""``syncline serve``: run a relay until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.syntax import Syntax

from syncline.page import connect_snippet
from syncline.relay import Relay
from syncline.transports import MAX_CONNECTIONS

from .models import load_models


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8765,
    store: Annotated[
        str, typer.Option(help="Where to keep the data: a path or a SQLAlchemy URL.")
    ] = "sqlite:///syncline.db",
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="A record class, as module:Name, of which to keep an SQL table; may be given "
            "several times."
        ),
    ] = None,
    max_connections: Annotated[
        int, typer.Option(min=1, help="Connections served at once; more are told to come back.")
    ] = MAX_CONNECTIONS,
    verbose: Annotated[bool, typer.Option(help="Log every connection.")] = False,
) -> None:
    """Run the relay: it orders, stores and forwards what replicas send.

    SIGINT or SIGTERM stops it; nothing acknowledged is lost.
    """
    console = Console(highlight=False)
    handler = RichHandler(
        logging.INFO if verbose else logging.WARNING,
        console=Console(stderr=True),
        show_path=False,
    )
    logging.basicConfig(level=handler.level, format="%(message)s", handlers=[handler])
    classes = load_models(models or [])
    relay = Relay(store, host=host, port=port, models=classes, max_connections=max_connections)
    _run(_serve(console, relay, store))


async def _serve(console: Console, opening: Relay, store: str) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    async with opening as relay:
        console.print(f"[bold green]Syncline relay[/] listening on [bold]{relay.url}[/]")
        console.print(f"Storing in [bold]{escape(store)}[/]", soft_wrap=True)
        console.print(f"Web page at {relay.url.replace('ws', 'http', 1)}/")
        console.print("Connect from Python (the last part of the address names the workspace):\n")
        # As text, not as a block: a block is cut at the terminal's width.
        snippet = Syntax("", "python", theme="ansi_dark").highlight(connect_snippet(relay.url))
        console.print(snippet, soft_wrap=True)
        console.print("Stop with Ctrl-C.")
        await stopped.wait()
        console.print("Stopping: closing connections and the store.")
    console.print("Stopped. Everything acknowledged is on disk.")


def _run(main: Coroutine[Any, Any, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop  # does not exist on Windows

        _allow_many_files()
        uvloop.run(main)


def _allow_many_files() -> None:
    """Each connection is a file, and the soft limit is often 1,024, for the sake of select()."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # macOS refuses what is above its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
