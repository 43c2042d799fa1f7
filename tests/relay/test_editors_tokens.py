"""The tokens of Hocuspocus clients: what comes before one, and another one later."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from syncline import Relay
from syncline.access.access import Access
from syncline.engine.updates.parse import encode_state_vector
from syncline.engine.yjs.hocuspocus import encode as about
from syncline.engine.yjs.messages import (
    Authenticated,
    Awareness,
    Client,
    Stateless,
    SyncStep1,
    SyncStep2,
    Update,
)
from syncline.relay.editors import hocuspocus as hocuspocus_editor
from tests.access.rules import Rules
from tests.relay.clients import Author
from tests.relay.editors import (
    EMPTY,
    NOT_STORED,
    NOTHING,
    STORED,
    A,
    frame_about,
    hocuspocus_at,
    opened,
)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[tuple[str, Rules]]:
    """The workspace of a relay that asks who comes, and its rules."""
    rules = Rules({"ada": {"*": Access.WRITE}, "bob": {"*": Access.READ}, "eve": {}})
    async with Relay(
        tmp_path / "guarded.db", port=0, authenticator=rules, authorizer=rules
    ) as relay:
        yield f"{relay.url}/crm", rules


async def test_what_comes_before_the_token_is_taken_up_with_it(
    guarded: tuple[str, Rules],
) -> None:
    url, _ = guarded
    async with hocuspocus_at(url) as client, hocuspocus_at(url) as other:
        await opened(other, A, "ada")
        author = Author()
        for attempt in ("mallory", "eve"):
            await client.authenticate(A, attempt)
            assert (await client.hear()).startswith(frame_about(A, 2, 1))
        update = author.type("typed meanwhile")
        await client.say(A, SyncStep1(encode_state_vector({7: 1})))  # an earlier attempt
        await client.say(A, EMPTY)
        await client.say(A, Awareness((Client(5, 1, '{"name": "Ada"}'),)))
        await client.say(A, Update(update))
        await client.authenticate(A, "ada")
        assert await client.hear() == about(A, Authenticated(read_only=False))
        assert await client.hear() == about(A, EMPTY)
        assert await client.hear() == about(A, SyncStep2(NOTHING))
        await client.say(A, SyncStep2(update))
        # One acknowledgement for the answer, one for the update that it brought.
        await client.hear_until(about(A, STORED))
        assert await client.hear() == about(A, STORED)
        await other.hear_until(about(A, Awareness((Client(5, 1, '{"name": "Ada"}'),))))
        await other.hear_until(about(A, Update(update)))


async def test_a_client_is_not_asked_twice_for_one_answer(guarded: tuple[str, Rules]) -> None:
    url, _ = guarded
    async with hocuspocus_at(url) as client:
        await client.authenticate(A, "mallory")
        await client.hear()
        await client.say(A, EMPTY)
        await client.authenticate(A, "ada")
        await client.say(A, EMPTY)
        await client.say(A, Stateless("a mark"))
        assert await client.hear() == about(A, Authenticated(read_only=False))
        assert await client.hear() == about(A, EMPTY)
        assert await client.hear() == about(A, SyncStep2(NOTHING))
        await client.say(A, SyncStep2(NOTHING))
        rest = await client.hear_until(about(A, STORED))
        assert about(A, EMPTY) not in rest


async def test_little_waits_for_a_token(
    guarded: tuple[str, Rules], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hocuspocus_editor, "MAX_WAITING_BYTES", 30)
    url, _ = guarded
    async with hocuspocus_at(url) as client:
        for number in range(5):
            await client.say(f"pages/{number}", EMPTY)
            assert (await client.hear()).startswith(frame_about(f"pages/{number}", 2, 1))
        for number in range(5):
            await client.authenticate(f"pages/{number}", "ada")
        frames = [await client.hear() for _ in range(5 + 2 * 2)]
        assert sum(frame.endswith(about("", EMPTY)[1:]) for frame in frames) == 2


async def test_a_token_is_renewed_on_an_open_document(guarded: tuple[str, Rules]) -> None:
    url, rules = guarded
    async with hocuspocus_at(url) as client:
        await opened(client, A, "ada")
        await client.authenticate(A, "bob")
        assert await client.hear() == about(A, Authenticated(read_only=True))
        await client.say(A, Update(Author().type("x")))
        assert await client.hear() == about(A, NOT_STORED)
        await client.authenticate(A, "ada")
        assert await client.hear() == about(A, Authenticated(read_only=False))
        await client.say(A, Update(Author().type("x")))
        assert await client.hear() == about(A, STORED)
        # The same token is looked at again, too.
        del rules.rules["ada"]
        rules.rules["mallory"] = {"*": Access.WRITE}
        await client.authenticate(A, "ada")
        assert (await client.hear()).startswith(frame_about(A, 2, 1))
        assert (await client.hear()).startswith(frame_about(A, 7))
        await client.say(A, EMPTY)
        await client.authenticate(A, "mallory")
        assert await client.hear() == about(A, Authenticated(read_only=False))
        assert rules.asked == ["ada", "bob", "ada", "ada", "mallory"]
