"""The relay, spoken to frame by frame over a real websocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncline import Relay
from syncline.engine.names import Address
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import (
    Ack,
    Advance,
    CaughtUp,
    DocumentUpdate,
    Entry,
    Error,
    Expected,
    Fetch,
    Hello,
    Ping,
    Pong,
    Push,
    Resume,
    Updates,
)
from syncline.engine.updates.parse import decode_state_vector
from tests.relay.clients import NOTE, Author, connected, text_of


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        yield relay


async def test_one_update_from_hello_to_another_reader(relay: Relay) -> None:
    author = Author()
    async with connected(relay.url, "a" * 32) as ada, connected(relay.url, "b" * 32) as bob:
        welcome = await ada.greet()
        assert (welcome.version, welcome.head, welcome.batch) == (1, 0, 0)
        await bob.greet()
        await bob.hear(CaughtUp)
        await ada.hear(CaughtUp)
        update = author.type("hello")
        await ada.push(1, update)
        assert await ada.hear(Ack) == Ack(1, 1)
        assert await ada.hear(Advance) == Advance(0, 1)  # its own change is no news to it
        news = await bob.hear(Updates)
        assert (news.since, news.cursor) == (0, 1)
        assert [(entry.address, entry.update) for entry in news.entries] == [(NOTE, update)]
        await bob.say(Ping(7))
        pong = await bob.hear(Pong)
        assert (pong.id, pong.position, pong.head) == (7, 1, 1)
    async with connected(relay.url, "a" * 32) as ada:
        assert (await ada.greet(cursor=1)).batch == 1
        assert (await ada.hear(CaughtUp)).cursor == 1


async def test_a_batch_sent_twice_is_stored_once(relay: Relay) -> None:
    author = Author()
    first, second = author.type("a"), author.type("b")
    async with connected(relay.url) as client:
        await client.greet()
        await client.push(1, first)
        await client.push(1, first)
        await client.push(2, second)
        acks = [await client.hear(Ack) for _ in range(3)]
        assert [(ack.batch, ack.seq) for ack in acks] == [(1, 1), (1, 1), (2, 2)]
    async with connected(relay.url) as again:
        assert (await again.greet(acknowledged=1)).batch == 2
        await again.push(2, second)
        assert await again.hear(Ack) == Ack(2, 2)
        await again.push(4, second)
        assert await again.hear(Expected) == Expected(3)


async def test_other_content_under_a_used_number_is_a_conflict(relay: Relay) -> None:
    author = Author()
    first = author.type("a")
    async with connected(relay.url) as client:
        await client.greet()
        await client.push(1, first)
        await client.hear(Ack)
        await client.push(1, author.type("other"))
        error = await client.hear(Error)
        assert error.code == "batch-conflict"
        assert "Batch 1 of this replica was stored before with other content" in error.message
        assert await client.ended() == 1008


async def test_one_bad_update_does_not_block_the_others(relay: Relay) -> None:
    author = Author()
    first, second = author.type("a"), author.type("b")
    async with connected(relay.url) as client:
        await client.greet()
        # A panic in pycrdt, an update ahead of what it follows, random bytes, and a good one.
        panic = bytes.fromhex("010105002801016d016b0000")
        await client.push(1, panic, second, b"\xff" * 20, first)
        ack = await client.hear(Ack)
        assert [refusal.code for refusal in ack.refused] == [
            "invalid-update",
            "missing-dependencies",
            "invalid-update",
        ]
        assert all(refusal.message and refusal.hint for refusal in ack.refused)
        missing = ack.refused[1].state_vector
        assert missing is not None
        assert decode_state_vector(missing) == {}
        await client.push(2, second)
        assert (await client.hear(Ack)).refused == ()
    async with connected(relay.url, "b" * 32) as reader:
        await reader.greet()
        news = await reader.hear(Updates)
        assert text_of(*(entry.update for entry in news.entries)) == "ab"


async def test_the_answer_to_a_repeated_batch_repeats_its_refusals(relay: Relay) -> None:
    async with connected(relay.url) as client:
        await client.greet()
        await client.push(1, b"\xff" * 20)
        first = await client.hear(Ack)
        await client.push(1, b"\xff" * 20)
        assert await client.hear(Ack) == first
        assert first.refused[0].code == "invalid-update"


async def test_resume_and_fetch(relay: Relay) -> None:
    author = Author()
    async with connected(relay.url, "a" * 32) as ada, connected(relay.url, "b" * 32) as bob:
        await ada.greet()
        for number in range(1, 4):
            await ada.push(number, author.type(str(number)))
            await ada.hear(Ack)
        await bob.greet(cursor=3)
        await bob.hear(CaughtUp)
        await bob.say(Resume(1))
        frames = [await bob.hear(Updates) for _ in range(2)]
        assert [(news.since, news.cursor) for news in frames] == [(1, 2), (2, 3)]
        assert (await bob.hear(CaughtUp)).cursor == 3
        await bob.say(Fetch(NOTE, 0, b"\x00"))
        assert text_of((await bob.hear(DocumentUpdate)).update) == "123"
        await bob.say(Fetch(Address("pages", "none"), 0, b"\x00"))
        assert (await bob.hear(DocumentUpdate)).update == b"\x00\x00"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type": "nonsense"}', "malformed-frame"),
        ("not json", "malformed-frame"),
        (b"\xff\xff\xff", "malformed-frame"),
        ('{"type": "ping", "id": 1}', "unexpected-message"),
        (encode(Push(1, (Entry(NOTE, b"\x00\x00"),))), "unexpected-message"),
    ],
)
async def test_whoever_does_not_say_hello_is_turned_away(
    relay: Relay, frame: str | bytes, code: str
) -> None:
    async with connected(relay.url) as client:
        await client.say(frame)
        error = await client.hear(Error)
        assert error.code == code
        assert error.message
        assert error.hint
        assert await client.ended() == 1008


async def test_versions_and_workspaces_are_checked(relay: Relay) -> None:
    async with connected(relay.url) as client:
        await client.say(Hello((7, 9), "crm", "a" * 32, 5, 0, 0, None))
        error = await client.hear(Error)
        assert error.code == "version-mismatch"
        assert "7 or 9" in error.message
    async with connected(relay.url) as client:
        await client.say(Hello((1,), "hr", "a" * 32, 5, 0, 0, None))
        assert (await client.hear(Error)).code == "workspace-mismatch"


async def test_a_silent_connection_is_closed(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.relay.replicas.connection.HELLO_SECONDS", 0.1)
    async with connected(relay.url) as client:
        assert await client.ended() == 1008


@pytest.mark.slow
async def test_a_reader_that_does_not_read_holds_nobody_up(relay: Relay) -> None:
    authors = [Author(2**40 + number) for number in range(4)]
    async with connected(relay.url, "a" * 32) as ada, connected(relay.url, "b" * 32) as stuck:
        await ada.greet()
        await stuck.greet()
        for number in range(1, 41):  # 20 MB: more than sockets, queues and the room hold together
            update = authors[number % 4].type("x" * 500_000)
            await ada.push(number, update, address=Address("pages", str(number % 4)))
            await ada.hear(Ack)
        updates: dict[Address, list[bytes]] = {}
        cursor = 0
        while cursor < 40:
            news = await stuck.hear(Updates)
            assert news.since == cursor
            cursor = news.cursor
            for entry in news.entries:
                updates.setdefault(entry.address, []).append(entry.update)
        assert [len(text_of(*each)) for each in updates.values()] == [5_000_000] * 4


async def test_workspaces_do_not_see_each_other(relay: Relay, tmp_path: Path) -> None:
    from syncline import Replica

    async with (
        Replica.open(tmp_path / "a.db", relay=f"{relay.url}/one") as one,
        Replica.open(tmp_path / "b.db", relay=f"{relay.url}/two") as two,
        asyncio.timeout(20),
    ):
        one.document("pages/x").text("body").append("one")
        two.document("pages/x").text("body").append("two")
        await one.synced()
        await two.synced()
        await one.synced()
        assert one.to_dict() == {"pages": {"x": {"body": "one"}}}
        assert two.to_dict() == {"pages": {"x": {"body": "two"}}}
