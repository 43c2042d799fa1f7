"""``syncline documents``: documents of a relay that cannot be opened."""

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
from syncline.upkeep.cutting import Cut, cut_out, find_cut, unreadable_documents
from syncline.upkeep.opener.documents import OpenedElsewhere

OPEN_SECONDS = 10.0
"""How long opening one document may take."""


def documents(
    store: Annotated[str, typer.Argument(help="A relay's store: a path or a SQLAlchemy URL.")],
    workspace: Annotated[str, typer.Option(help="The workspace of the document.")] = "",
    show: Annotated[
        str, typer.Option(help="Say which updates of collection/key are to blame.")
    ] = "",
    cut: Annotated[
        str, typer.Option(help="Cut these updates out of collection/key, for ever.")
    ] = "",
) -> None:
    """List the documents that cannot be opened, say why, or cut out what is to blame.

    Exit code 1 means that there are such documents. Each is opened in a process of its own. To cut,
    the store must not be in use; the document goes on under a new epoch, as after
    `syncline rebuild-document`.
    """
    if bool(show or cut) != bool(workspace) or (show and cut):
        raise UsageError(
            "--show or --cut names a document, and --workspace says where it is.",
            hint="Without any of them all documents are looked at.",
        )
    console = Console(highlight=False)
    environment = Environment()
    opened = SqlStore(store, exclusive=False)
    opened.open()
    with closing(OpenedElsewhere(environment.opener(OPEN_SECONDS))) as opens:
        try:
            if not workspace:
                _list(console, opened, opens)
                return
            address = Address.parse(show or cut)
            found = find_cut(opened, workspace, address, opens)
        finally:
            opened.close()
        _tell(console, address, found)
        if cut and found.bad:
            _cut(SqlStore(store), workspace, address, found, opens, environment)
            console.print("It is cut. Back up the store now.")


def _list(console: Console, store: SqlStore, opens: OpenedElsewhere) -> None:
    count = 0
    for each in unreadable_documents(store, opens):
        count += 1
        console.print(escape(f"{each.workspace}/{each.address}: {each.why}"))
    if count:
        console.print("`--workspace W --show collection/key` says which updates are to blame.")
        raise typer.Exit(1)
    console.print("Every document can be opened.")


def _tell(console: Console, address: Address, found: Cut) -> None:
    if not found.bad:
        console.print(escape(f"{address} can be opened."))
        return
    count = len(found.bad) + len(found.lost) + len(found.kept)
    numbers = ", ".join(str(each + 1) for each in found.bad)
    console.print(escape(f"{address}: of its {count} updates these are to blame: {numbers}."))
    if found.lost:
        console.print(f"{len(found.lost)} more build on them, and would go too.")


def _cut(
    store: SqlStore,
    workspace: str,
    address: Address,
    found: Cut,
    opens: OpenedElsewhere,
    environment: Environment,
) -> None:
    store.open()
    try:
        if store.meta("").get("role") != "relay":
            raise UsageError(
                "This is no relay's store.",
                hint="Documents are cut at the relay; its replicas follow.",
            )
        cut_out(store, workspace, address, found, opens, environment.now)
    finally:
        store.close()
