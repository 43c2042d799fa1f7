"""What is written in one editor is shown in all others, and to replicas in Python."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from syncline import Record, Relay, Replica, Text
from tests.interop.editors import HOCUSPOCUS, KINDS, PATIENCE, Y_WEBSOCKET, Node
from tests.relay.editors import frame_about, hocuspocus_at, y_websocket_at

pytestmark = pytest.mark.npm

MEGABYTE = 1 << 20


class Page(Record, collection="pages"):
    title: str
    body: Text


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


async def test_every_client_in_one_room_with_a_replica(
    editors: Node, location: str, tmp_path: Path
) -> None:
    async with (
        Relay(location, port=0) as relay,
        Replica.open(tmp_path / "replica.db", relay=f"{relay.url}/crm") as replica,
    ):
        text = replica.document("pages/a").text("body")
        text.append("python ")
        everybody = [await editors.open(kind, f"{relay.url}/crm") for kind in KINDS]
        for editor in everybody:
            await editor.shows("python ")
        for editor in everybody:  # all at once
            await editor.append(f"{editor.kind} ")
        text.append("too ")
        first = everybody[0]
        words = {"python", "too", *KINDS}

        async def has_everything() -> bool:
            return set((await first.text()).split()) == words

        await editors.wait(first.name, f"it does not show {words}", has_everything)
        merged = await first.text()
        for editor in everybody:
            await editor.shows(merged)
        async with asyncio.timeout(PATIENCE):
            await replica.synced()
        assert str(text) == merged


async def test_the_text_of_a_record_is_what_an_editor_edits(
    editors: Node, location: str, tmp_path: Path
) -> None:
    async with (
        Relay(location, port=0) as relay,
        Replica.open(tmp_path / "replica.db", models=[Page], relay=f"{relay.url}/crm") as replica,
    ):
        page = replica.collection(Page).create(key="a", title="One", body="from Python")
        ada = await editors.open(Y_WEBSOCKET, f"{relay.url}/crm")
        bob = await editors.open("hocuspocus-v4", f"{relay.url}/crm")
        for editor in (ada, bob):
            await editor.shows("from Python", root="text:body")
        await ada.insert("😀 ", root="text:body")
        await bob.append(", and é", root="text:body")
        page.body.append("!")
        async with asyncio.timeout(PATIENCE):
            await replica.synced()
        for editor in (ada, bob):
            await editor.until(len("😀 from Python, and é!") + 1, "size", "text:body")
        merged = await ada.text("text:body")
        await bob.shows(merged, root="text:body")
        async with asyncio.timeout(PATIENCE):
            await replica.synced()
        assert str(page.body) == merged
        assert page.title == "One"


async def test_names_of_any_script_and_without_a_slash(
    editors: Node, url: str, kind: str, tmp_path: Path
) -> None:
    names = {"pages/日本 é": "pages/日本 é", "Überblick": "documents/Überblick", "a": "documents/a"}
    for name in names:
        ada, bob = await editors.open(kind, url, name), await editors.open(kind, url, name)
        await ada.insert(f"grüße 😀 {name}")
        await bob.shows(f"grüße 😀 {name}")
    async with Replica.open(tmp_path / "replica.db", relay=url) as replica:
        async with asyncio.timeout(PATIENCE):
            await replica.synced()
        for name, address in names.items():
            assert str(replica.document(address).text("body")) == f"grüße 😀 {name}"


async def test_a_document_of_five_megabytes(editors: Node, location: str, kind: str) -> None:
    async with Relay(location, port=0) as relay:
        url = f"{relay.url}/crm"
        ada, bob = await editors.open(kind, url), await editors.open(kind, url)
        await ada.synced()
        await ada.do("fill", "body", 5 * MEGABYTE)
        await bob.until(5 * MEGABYTE, "size", "body")
        await bob.append("!")
        await ada.until(5 * MEGABYTE + 1, "size", "body")
        if kind in HOCUSPOCUS:
            await ada.saved()
            await bob.saved()
        late = await editors.open(kind, url)
        await late.until(5 * MEGABYTE + 1, "size", "body")
        assert await late.do("digest", "body") == await ada.do("digest", "body")


async def test_a_frame_that_makes_no_sense_hurts_nobody_else(editors: Node, url: str) -> None:
    everybody = [await editors.open(kind, url) for kind in KINDS]
    for editor in everybody:
        await editor.synced()
    for frame in (b"\x00\x09", b"\x00\x02\x05abc", b"\xff" * 20, b"\x01\x01\x05"):
        async with y_websocket_at(f"{url}/pages/a") as vandal:
            await vandal.send(b"\x00\x00\x01\x00")
            await vandal.send(frame)
            await vandal.ended()
        async with hocuspocus_at(url) as vandal:
            await vandal.authenticate("pages/a")
            await vandal.send(frame_about("pages/a", frame))
            await vandal.send(b"\x7f")
            await vandal.ended()
    for editor in everybody:
        await editor.append("here ")
    for editor in everybody:
        await editor.shows("here " * len(everybody))
        assert editor.told("ended") == []
