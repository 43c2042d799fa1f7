"""Who may do what, at editors that speak Yjs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from syncline import Relay
from syncline.access.access import Access
from syncline.engine.yjs.hocuspocus import encode as about
from syncline.engine.yjs.messages import (
    Authenticated,
    Awareness,
    Client,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Update,
)
from tests.access.rules import Rules
from tests.relay.clients import Author, text_of
from tests.relay.editors import NOTHING, YWebsocket, frame_about, hocuspocus_at, y_websocket_at

A = "pages/a"
EMPTY = SyncStep1(b"\0")
STORED, NOT_STORED = SyncStatus(stored=True), SyncStatus(stored=False)


@pytest.fixture
def rules() -> Rules:
    return Rules({"ada": {"*": Access.WRITE}, "bob": {"pages": Access.READ}})


@pytest.fixture
async def relay(tmp_path: Path, rules: Rules) -> AsyncGenerator[Relay]:
    path = tmp_path / "relay.db"
    async with Relay(path, port=0, authenticator=rules, authorizer=rules) as relay:
        yield relay


async def held(editor: YWebsocket) -> str:
    await editor.say(EMPTY)
    assert isinstance(await editor.told(), SyncStep1)
    step_2 = await editor.told()
    assert isinstance(step_2, SyncStep2)
    return text_of(step_2.update)


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("", 4401, "This token is not known."),
        ("?token=mallory", 4401, "This token is not known."),
        ("?token=crash", 1013, "cannot tell at present"),  # it tries again
    ],
)
async def test_y_websocket_without_access(relay: Relay, query: str, code: int, reason: str) -> None:
    async with y_websocket_at(f"{relay.url}/crm/{A}{query}") as editor:
        await editor.say(EMPTY)
        ended, why, frames = await editor.ended()
        assert (ended, reason in why) == (code, True)
        # The sentence stands in the browser's console too, if there is something to be done.
        assert [frame[:2] for frame in frames] == ([] if code == 1013 else [b"\2\0"])


async def test_y_websocket_that_may_not_read_the_document(relay: Relay) -> None:
    async with y_websocket_at(f"{relay.url}/crm/notes/a?token=bob") as editor:
        await editor.say(EMPTY)
        ended, why, _ = await editor.ended()
        assert (ended, why) == (4403, "bob may not read notes/a.")


async def test_hocuspocus_without_access_may_try_again(relay: Relay) -> None:
    async with hocuspocus_at(f"{relay.url}/crm") as editor:
        for token in ("", "mallory"):
            await editor.authenticate(A, token)
            await editor.say(A, EMPTY)  # it does not wait
            await editor.say(A, Awareness((Client(1, 1, "{}"),)))
            denied = await editor.hear()
            assert denied.startswith(frame_about(A, 2, 1))
            assert b"This token is not known." in denied
        await editor.authenticate(A, "ada")
        assert await editor.hear() == about(A, Authenticated(read_only=False))


async def test_hocuspocus_v2_without_a_token_sends_none(relay: Relay) -> None:
    async with hocuspocus_at(f"{relay.url}/crm") as editor:
        await editor.say(A, EMPTY)
        assert (await editor.hear()).startswith(frame_about(A, 2, 1))


async def test_the_token_may_stand_in_the_handshake(relay: Relay) -> None:
    headers = {"Authorization": "Bearer ada"}
    async with y_websocket_at(f"{relay.url}/crm/{A}", headers) as editor:
        assert await held(editor) == ""
    async with hocuspocus_at(f"{relay.url}/crm", headers) as editor:
        await editor.authenticate(A, "")
        assert await editor.hear() == about(A, Authenticated(read_only=False))


async def test_who_may_only_read_reads_and_changes_nothing(relay: Relay) -> None:
    url, ada, bob = f"{relay.url}/crm", Author(2**33), Author(2**34)
    async with (
        y_websocket_at(f"{url}/{A}?token=ada") as writer,
        y_websocket_at(f"{url}/{A}?token=bob") as reader,
        hocuspocus_at(url) as other,
    ):
        await held(writer)
        await held(reader)
        await other.authenticate(A, "bob")
        assert await other.hear() == about(A, Authenticated(read_only=True))
        await other.say(A, EMPTY)
        for _ in range(2):
            await other.hear()
        await other.say(A, SyncStep2(NOTHING))
        assert await other.hear() == about(A, STORED)  # it brought nothing
        await other.say(A, SyncStep2(bob.type("no")))
        assert await other.hear() == about(A, NOT_STORED)
        await other.say(A, Update(bob.type("no")))
        assert await other.hear() == about(A, NOT_STORED)
        for _ in range(2):
            await reader.say(Update(bob.type("no")))
        assert (await reader.hear()).startswith(b"\2\0")  # said once
        update = ada.type("yes")
        await writer.say(Update(update))
        assert await reader.told() == Update(update)
        assert await other.hear() == about(A, Update(update))
        # What a reader has from the document is nothing that it may not bring back.
        await other.say(A, SyncStep2(ada.everything()))
        assert await other.hear() == about(A, STORED)
    async with y_websocket_at(f"{url}/{A}?token=ada") as late:
        assert await held(late) == "yes"


async def test_access_that_is_taken_back_ends_with_the_next_frame(
    relay: Relay, rules: Rules
) -> None:
    url, ada = f"{relay.url}/crm", Author()
    async with (
        y_websocket_at(f"{url}/{A}?token=ada") as writer,
        y_websocket_at(f"{url}/{A}?token=bob") as reader,
        hocuspocus_at(url) as other,
    ):
        await held(writer)
        await held(reader)
        await other.authenticate(A, "ada")
        await other.say(A, EMPTY)
        for _ in range(3):
            await other.hear()
        rules.rules["bob"] = {}
        await writer.say(Update(ada.type("x")))
        assert (await reader.ended())[0] == 4403  # before it was sent the change
        await other.hear()
        rules.rules["ada"] = {}
        await other.say(A, Update(Author(2**34).type("y")))
        denied = await other.hear()
        assert denied.startswith(frame_about(A, 2, 1))
        assert b"ada may not read pages/a." in denied
        await writer.say(Update(ada.type("z")))
        assert (await writer.ended())[0] == 4403
    rules.rules["ada"] = {"*": Access.WRITE}
    async with y_websocket_at(f"{url}/{A}?token=ada") as late:
        assert await held(late) == "x"


async def test_who_connects_is_asked_for_once_for_many_documents(
    relay: Relay, rules: Rules
) -> None:
    async with hocuspocus_at(f"{relay.url}/crm") as editor:
        for number in range(3):
            await editor.authenticate(f"pages/{number}", "ada")
            await editor.hear()
    assert rules.asked == ["ada"]
