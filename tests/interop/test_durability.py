"""What an editor was told is saved is there after any crash, and nothing else is lost either."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from syncline import Relay
from tests.faults.processes import ServedRelay, free_port
from tests.interop.editors import HOCUSPOCUS, Y_WEBSOCKET, Editor, Node

pytestmark = pytest.mark.npm


@pytest.fixture
async def served(location: str) -> AsyncGenerator[tuple[ServedRelay, str]]:
    """``syncline serve``, to be killed and started again, and its workspace."""
    port = free_port()
    relay = ServedRelay(location, port)
    await relay.start()
    try:
        yield relay, f"ws://127.0.0.1:{port}/crm"
    finally:
        relay.kill()
        await relay.ended()


async def saved(editor: Editor, witness: Editor, text: str) -> None:
    """Wait until an editor has proof that all it holds is durable: Hocuspocus counts; of
    y-websocket, what another sees is."""
    if editor.kind == Y_WEBSOCKET:
        await witness.shows(text)
    else:
        await editor.saved()


async def test_nothing_is_lost_when_the_relay_restarts(
    editors: Node, location: str, kind: str
) -> None:
    port = free_port()
    async with Relay(location, port=port) as relay:
        url = f"{relay.url}/crm"
        ada, bob = await editors.open(kind, url), await editors.open(kind, url)
        await ada.insert("before ")
        await bob.shows("before ")
        mark = ada.mark()
    for editor in (ada, bob):
        await editor.heard("ended", after=mark)
    await ada.append("during ")
    await bob.do("set", "meta", "title", "meanwhile")
    async with Relay(location, port=port):
        for editor in (ada, bob):
            await editor.shows("before during ")
            await editor.until({"title": "meanwhile"}, "map", "meta")
            if kind in HOCUSPOCUS:
                await editor.saved()
        await bob.append("after")
        await ada.shows("before during after")
        fresh = await editors.open(kind, url)
        await fresh.shows("before during after")
        if kind in HOCUSPOCUS:
            await bob.saved()


async def test_what_was_acknowledged_survives_kill_9(
    editors: Node, served: tuple[ServedRelay, str], kind: str
) -> None:
    relay, url = served
    ada, witness = await editors.open(kind, url), await editors.open(Y_WEBSOCKET, url)
    await ada.synced()
    await witness.synced()
    for word in ("one ", "two ", "three"):
        await ada.append(word)
    await saved(ada, witness, "one two three")
    relay.kill()
    await ada.destroy()  # nobody can bring it again
    await witness.destroy()
    await relay.ended()
    await relay.start()
    fresh = await editors.open(kind, url)
    await fresh.synced()
    await fresh.shows("one two three")


async def test_an_edit_that_was_not_acknowledged_comes_again_after_kill_9(
    editors: Node, served: tuple[ServedRelay, str], kind: str
) -> None:
    relay, url = served
    ada = await editors.open(kind, url)
    await ada.synced()
    mark = ada.mark()
    relay.kill()
    await ada.append("not yet")
    await relay.ended()
    await ada.heard("ended", after=mark)
    await relay.start()
    fresh = await editors.open(kind, url)
    await fresh.shows("not yet")
    if kind in HOCUSPOCUS:
        await ada.saved()


@pytest.mark.parametrize("kind", HOCUSPOCUS)
async def test_unsynced_changes_reach_zero(editors: Node, url: str, kind: str) -> None:
    ada, bob = await editors.open(kind, url), await editors.open(kind, url)
    await ada.saved()  # after connecting
    for word in ("a", "b", "c"):
        await ada.append(word)
    await ada.saved()
    assert await ada.text() == "abc"
    assert await ada.do("forceSync") == 1
    await ada.saved()
    await ada.disconnect()
    await ada.append("offline")
    assert await ada.do("unsynced") > 0
    await ada.connect()
    await ada.saved()
    await bob.shows("abcoffline")
    await bob.saved()
    # And without anything to say.
    await ada.disconnect()
    await ada.connect()
    await ada.synced()
    await ada.saved()
