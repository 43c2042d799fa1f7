"""y-websocket at a relay with a token file: who reads, who writes, and when that ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from syncline import Relay
from syncline.access.token_file import RELOAD_SECONDS, TokenFile
from syncline.engine.yjs.messages import SyncStep1, SyncStep2, Update
from tests.access.tokens import ADMIN, NOTE, PAGES, READER, TABLES, Clock, token_file
from tests.relay.clients import Author, text_of
from tests.relay.editors import YWebsocket, y_websocket_at

WELCOME = "pages/welcome"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def relay(tmp_path: Path, clock: Clock) -> AsyncGenerator[Relay]:
    tokens = TokenFile(token_file(tmp_path), now=clock)
    async with Relay(tmp_path / "relay.db", port=0, authenticator=tokens) as relay:
        yield relay


def url(relay: Relay, token: str | None, *, workspace: str = "crm", name: str = WELCOME) -> str:
    return f"{relay.url}/{workspace}/{name}" + ("" if token is None else f"?token={token}")


async def held(editor: YWebsocket) -> str:
    """The text at the relay."""
    await editor.say(SyncStep1(b"\0"))
    assert isinstance(await editor.told(), SyncStep1)
    step_2 = await editor.told()
    assert isinstance(step_2, SyncStep2)
    return text_of(step_2.update)


@pytest.mark.parametrize(
    ("token", "workspace", "name", "code", "reason"),
    [
        (None, "crm", WELCOME, 4401, "there was none"),
        ("wrong-token", "crm", WELCOME, 4401, "does not know the token"),
        (ADMIN.upper(), "crm", WELCOME, 4401, "does not know the token"),
        (PAGES, "crm", "cards/x", 4403, "pages may not read cards/x"),
        (PAGES, "hr", WELCOME, 4403, "pages may not "),
        (NOTE, "crm", WELCOME, 4403, "note may not read pages/welcome"),
    ],
)
async def test_who_is_not_let_in_is_told_why(
    relay: Relay, token: str | None, workspace: str, name: str, code: int, reason: str
) -> None:
    async with y_websocket_at(url(relay, token, workspace=workspace, name=name)) as editor:
        await editor.say(SyncStep1(b"\0"))
        ended, words, frames = await editor.ended()
        assert ended == code
        assert reason in words
        assert [frame[:2] for frame in frames] == [b"\2\0"]  # denied, and nothing of the document
        assert token is None or token.encode() not in frames[0]


async def test_one_token_writes_and_another_reads(relay: Relay) -> None:
    ada, bob = Author(2**33), Author(2**34)
    async with (
        y_websocket_at(url(relay, ADMIN)) as writer,
        y_websocket_at(url(relay, READER)) as reader,
    ):
        await held(writer)
        await held(reader)
        await reader.say(Update(bob.type("no")))
        denied = await reader.hear()
        assert denied.startswith(b"\2\0")
        assert b"read-only" in denied
        update = ada.type("yes")
        await writer.say(Update(update))
        assert await reader.told() == Update(update)
    async with y_websocket_at(url(relay, ADMIN)) as late:
        assert await held(late) == "yes"


async def test_a_token_taken_back_writes_nothing_more(
    tmp_path: Path, relay: Relay, clock: Clock
) -> None:
    author = Author()
    async with (
        y_websocket_at(url(relay, PAGES)) as writer,
        y_websocket_at(url(relay, ADMIN)) as witness,
    ):
        await held(writer)
        await held(witness)
        before = author.type("before ")
        await writer.say(Update(before))
        assert await witness.told() == Update(before)
        token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
        clock.now = RELOAD_SECONDS
        await writer.say(Update(author.type("after")))
        code, _, frames = await writer.ended()
        assert code == 4403
        assert frames[-1].startswith(b"\2\0")
        assert await held(witness) == "before "
    async with y_websocket_at(url(relay, PAGES)) as again:
        await again.say(SyncStep1(b"\0"))
        assert (await again.ended())[0] == 4401
