"""What only Hocuspocus has: many documents on a connection, sessions, stateless messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline import Relay
from syncline.relay.editors.stateless import StatelessMessage
from tests.interop.editors import HOCUSPOCUS, Node

pytestmark = pytest.mark.npm


@pytest.fixture(params=HOCUSPOCUS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_many_documents_on_one_connection(editors: Node, url: str, kind: str) -> None:
    first = await editors.open(kind, url, "pages/a")
    second = await editors.open(kind, url, "pages/b", beside=first)
    other = await editors.open(kind, url, "pages/b")
    await first.insert("a")
    await second.insert("b")
    await other.shows("b")
    await other.append("!")
    await second.shows("b!")
    for editor in (first, second):
        await editor.saved()
    # One leaves, the other stays.
    await second.present({"name": "second"})
    await other.sees({"name": "second"})
    await second.destroy()
    await other.sees()
    await first.append("!")
    await first.saved()
    assert first.told("ended") == []


async def test_sessions_of_one_document_on_one_connection(editors: Node, url: str) -> None:
    v4 = "hocuspocus-v4"
    first = await editors.open(v4, url, session=True)
    second = await editors.open(v4, url, session=True, beside=first)
    third = await editors.open("hocuspocus-v3", url)
    await first.insert("one")
    await second.shows("one")
    await second.append(" two")
    await first.shows("one two")
    await third.shows("one two")
    for editor, name in ((first, "first"), (second, "second")):
        await editor.saved()
        await editor.present({"name": name})
    await first.sees({"name": "second"}, {})
    await third.sees({"name": "first"}, {"name": "second"})
    await second.destroy()
    await third.sees({"name": "first"})
    await third.append(" three")
    await first.shows("one two three")


async def test_stateless_messages(editors: Node, tmp_path: Path, kind: str) -> None:
    async def on_stateless(message: StatelessMessage) -> None:
        message.reply(f"you said {message.payload} about {message.address}")
        message.broadcast("to all: é ☕")

    async with Relay(tmp_path / "relay.db", port=0, on_stateless=on_stateless) as relay:
        url = f"{relay.url}/crm"
        ada, bob = await editors.open(kind, url), await editors.open(kind, url)
        await ada.synced()
        await bob.synced()
        await ada.do("stateless", "hi")
        assert (await bob.heard("stateless"))["payload"] == "to all: é ☕"
        await ada.received(b"\x07pages/a\x05")
        await editors.wait(ada.name, "no two", lambda: _two(ada.told("stateless")))
        assert [message["payload"] for message in ada.told("stateless")] == [
            "you said hi about pages/a",
            "to all: é ☕",
        ]


async def _two(messages: list[object]) -> bool:
    return len(messages) == 2


async def test_v2_without_a_token_never_sends_one(editors: Node, url: str) -> None:
    ada = await editors.open("hocuspocus-v2", url)
    await ada.insert("hello")
    await ada.saved()
    assert not any(frame.startswith(b"\x07pages/a\x02") for frame in ada.frames("sent"))
    bob = await editors.open("hocuspocus-v4", url)
    await bob.shows("hello")
