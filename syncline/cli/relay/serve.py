"""``syncline serve``: run a relay until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.syntax import Syntax

from syncline.access.token_file import TokenFile
from syncline.cli.models import load_models
from syncline.cli.plain import plain
from syncline.engine.errors import UsageError
from syncline.relay.quotas import QuotaLimits
from syncline.relay.relay import Relay
from syncline.relay.web.home_page import connect_snippet
from syncline.stores.databases.from_url import readable
from syncline.transports import MAX_CONNECTIONS
from syncline.transports.loopback import is_loopback

from .collector import quiet_collections


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
    token_file: Annotated[
        Path | None,
        typer.Option(help="A TOML file of tokens: who may connect, and may read or write what."),
    ] = None,
    allow_anonymous: Annotated[
        bool,
        typer.Option(
            "--allow-anonymous",
            help="Let everybody who reaches --host do everything, without tokens.",
        ),
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Where web pages may connect from, as https://app.example.com; may be given "
            "several times."
        ),
    ] = None,
    static: Annotated[
        Path | None, typer.Option(help="A folder of files to serve to browsers.")
    ] = None,
    path_prefix: Annotated[
        str,
        typer.Option(help="The path, as /sync, that a proxy leaves before what is for the relay."),
    ] = "",
    awareness_user: Annotated[
        bool,
        typer.Option(
            "--awareness-user", help="Set the user's name in editors' awareness to the token's."
        ),
    ] = False,
    audit_log: Annotated[
        Path | None,
        typer.Option(help="A file for one line of JSON about each decision: who may do what."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="A certificate with its chain, in PEM: speak TLS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its private key, if that is in another file.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="Address or network of a proxy that says where clients are (X-Forwarded-For); "
            "may be given several times."
        ),
    ] = None,
    max_connections_of_one: Annotated[
        int,
        typer.Option(min=1, help="Connections of one token; without tokens, from one address."),
    ] = QuotaLimits().max_connections,
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
    if tls_key is not None and tls_cert is None:
        raise UsageError("A key needs a certificate.", hint="Give it with --tls-cert.")
    _check_access(host, token_file, allow_anonymous=allow_anonymous)
    relay = Relay(
        store,
        host=host,
        port=port,
        models=classes,
        max_connections=max_connections,
        authenticator=None if token_file is None else TokenFile(token_file),
        allow_origins=allow_origin or (),
        static=static,
        path_prefix=path_prefix,
        awareness_user=awareness_user,
        audit_log=audit_log,
        tls_certificate=tls_cert,
        tls_key=tls_key,
        trusted_proxies=trusted_proxy or (),
        quotas=QuotaLimits(max_connections=max_connections_of_one),
    )
    _run(_serve(console, relay, store, token=token_file is not None))


def _check_access(host: str, token_file: Path | None, *, allow_anonymous: bool) -> None:
    if token_file is not None and allow_anonymous:
        raise UsageError(
            "With --token-file nobody is anonymous.",
            hint="Leave out --allow-anonymous, or the token file.",
        )
    if token_file is None and not allow_anonymous and not is_loopback(host):
        raise UsageError(
            f"At {host or 'every address'} others could reach this relay, and without tokens each "
            "of them could read and change everything.",
            hint="Say who may: --token-file tokens.toml (docs/security.md). Or --allow-anonymous, "
            "if everybody who can reach it may do everything.",
        )


async def _serve(console: Console, opening: Relay, store: str, *, token: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    async with opening as relay:
        with quiet_collections():
            await _until(stopped, console, relay, store, token=token)
    console.print("Stopped. Everything acknowledged is on disk.")


async def _until(
    stopped: asyncio.Event, console: Console, relay: Relay, store: str, *, token: bool
) -> None:
    console.print(f"[bold green]Syncline relay[/] listening on [bold]{relay.url}[/]")
    console.print(f"Storing in [bold]{escape(plain(readable(store)))}[/]", soft_wrap=True)
    console.print(f"Web page at {relay.url.replace('ws', 'http', 1)}/")
    console.print("Connect from Python (the last part of the address names the workspace):\n")
    # As text, not as a block: a block is cut at the terminal's width.
    snippet = Syntax("", "python", theme="ansi_dark").highlight(
        connect_snippet(relay.url, token=token)
    )
    console.print(snippet, soft_wrap=True)
    console.print("Stop with Ctrl-C.")
    await stopped.wait()
    console.print("Stopping: closing connections and the store.")


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
