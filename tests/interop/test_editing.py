"""What is written in one editor is shown in all others."""

from __future__ import annotations

from syncline import Relay
from tests.interop.editors import Node


async def test_two_editors_edit_one_document(editors: Node, location: str, kind: str) -> None:
    async with Relay(location, port=0) as relay:
        url = f"{relay.url}/crm"
        ada, bob = await editors.open(kind, url), await editors.open(kind, url)
        await ada.synced()
        await bob.synced()
        await ada.insert("hello")
        await bob.shows("hello")
        await bob.append(" world")
        await ada.shows("hello world")
        await ada.do("erase", "body", 0, 6)
        await bob.shows("world")
        # Both at once, and of another type.
        await ada.insert("A")
        await bob.append("B")
        await ada.do("set", "meta", "title", "One")
        await bob.do("set", "meta", "done", True)
        for editor in (ada, bob):
            await editor.shows("AworldB")
            await editor.until({"title": "One", "done": True}, "map", "meta")
        late = await editors.open(kind, url)
        await late.shows("AworldB")
        await late.synced()
