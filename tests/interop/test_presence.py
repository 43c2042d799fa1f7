"""Who is at a document, as the editors there see it."""

from __future__ import annotations

from typing import Any

import pytest

from syncline import Relay
from tests.faults.processes import free_port
from tests.interop.editors import KINDS, Editor, Node

pytestmark = pytest.mark.npm

ADA, BOB = {"user": {"name": "Ada"}}, {"user": {"name": "Bob", "color": "#f0f"}, "cursor": None}


async def met(editors: Node, kind: str, url: str) -> tuple[Editor, Editor]:
    """Two editors that see each other."""
    ada, bob = await editors.open(kind, url), await editors.open(kind, url)
    await ada.synced()
    await bob.synced()
    await ada.present(ADA)
    await bob.present(BOB)
    await ada.sees(BOB)
    await bob.sees(ADA)
    return ada, bob


async def gone(of: Editor, at: Editor, *, after: int) -> bool:
    """Whether ``at`` was told, at any moment, that ``of`` has gone."""
    id_ = await of.do("clientId")
    changes: list[dict[str, Any]] = at.told("awareness", after=after)
    return any(id_ in change["removed"] for change in changes)


async def test_awareness_is_seen_changes_and_ends_when_a_client_leaves(
    editors: Node, url: str, kind: str
) -> None:
    ada, bob = await met(editors, kind, url)
    await ada.present({**ADA, "cursor": {"anchor": 3, "head": 5}})
    await bob.sees({**ADA, "cursor": {"anchor": 3, "head": 5}})
    late = await editors.open(kind, url)
    await late.present({"user": {"name": "Late"}})
    await late.sees({**ADA, "cursor": {"anchor": 3, "head": 5}}, BOB)
    await late.destroy()
    await bob.sees({**ADA, "cursor": {"anchor": 3, "head": 5}})
    await ada.present(None)  # hides, and stays
    await bob.sees()
    await ada.present(ADA)
    await bob.sees(ADA)
    await ada.destroy()
    await bob.sees()


async def test_every_client_sees_every_other(editors: Node, url: str) -> None:
    everybody = [await editors.open(kind, url) for kind in KINDS]
    for editor in everybody:
        await editor.synced()
        await editor.present({"name": editor.kind})
    for editor in everybody:
        await editor.sees(*({"name": kind} for kind in KINDS if kind != editor.kind))


async def test_awareness_ends_when_a_socket_breaks_and_returns_with_it(
    editors: Node, url: str, kind: str
) -> None:
    ada, bob = await met(editors, kind, url)
    await ada.do("cut")
    await bob.sees()
    await ada.sees()
    clocks = [await editor.do("clock") for editor in (ada, bob)]
    await ada.connect()
    await bob.sees(ADA)
    await ada.sees(BOB)
    # Not by the renewals that come up to 15 s later: the relay saw to it.
    assert [await editor.do("clock") for editor in (ada, bob)] == [clock + 1 for clock in clocks]


async def test_awareness_when_a_client_returns_before_the_relay_has_noticed(
    editors: Node, url: str, kind: str
) -> None:
    ada, bob = await met(editors, kind, url)
    mark = ada.mark()
    await ada.do("vanish")
    await ada.heard("sent", after=mark)  # on a new connection
    await ada.synced()
    await ada.present({**ADA, "back": True})
    await bob.sees({**ADA, "back": True})
    await ada.sees(BOB)
    mark = bob.mark()
    await ada.do("bury")
    await ada.present({**ADA, "back": 2})
    await bob.sees({**ADA, "back": 2})
    await bob.present({**BOB, "still": "here"})
    await ada.sees({**BOB, "still": "here"})
    assert not await gone(ada, bob, after=mark)


async def test_awareness_returns_when_the_relay_restarts(
    editors: Node, location: str, kind: str
) -> None:
    port = free_port()
    async with Relay(location, port=port) as relay:
        url = f"{relay.url}/crm"
        ada, bob = await met(editors, kind, url)
        mark = ada.mark()
    for editor in (ada, bob):
        await editor.heard("ended", after=mark)
        await editor.sees()
    clocks = [await editor.do("clock") for editor in (ada, bob)]
    async with Relay(location, port=port):
        await ada.sees(BOB)
        await bob.sees(ADA)
        assert [await editor.do("clock") for editor in (ada, bob)] == [c + 1 for c in clocks]


async def test_awareness_is_renewed(editors: Node, url: str) -> None:
    everybody = [await editors.open(kind, url) for kind in KINDS]
    for editor in everybody:
        await editor.present({"name": editor.kind})
    for editor in everybody:
        await editor.sees(*({"name": kind} for kind in KINDS if kind != editor.kind))
    ids = {editor.kind: await editor.do("clientId") for editor in everybody}
    mark = everybody[0].mark()
    # The clients look at the time every 3 s; theirs is put forward to when they renew.
    await everybody[0].do("later", 16)
    for editor in everybody:
        others = {id_ for kind, id_ in ids.items() if kind != editor.kind}

        async def renewed(editor: Editor = editor, others: set[int] = others) -> bool:
            heard: list[dict[str, list[int]]] = editor.told("awareness", after=mark)
            return others <= {id_ for change in heard for id_ in change["updated"]}

        await editors.wait(editor.name, "it does not hear that the others are there", renewed)
        await editor.sees(*({"name": kind} for kind in KINDS if kind != editor.kind))
