"""Epochs, comparison and restored relays, frame by frame."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncline import Relay
from syncline.engine.document.digests import Digested, document_digest, range_digest
from syncline.engine.document.document import Document
from syncline.engine.history.rebuild import rebuild
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    Ack,
    CaughtUp,
    Compare,
    Digests,
    DocumentUpdate,
    Entry,
    Enumerate,
    Fetch,
    Hello,
    Push,
    Range,
    States,
    Updates,
    Welcome,
)
from syncline.engine.updates.parse import decode_state_vector, encode_state_vector
from tests.relay.clients import NOTE, Author, Client, connected, text_of

EPOCH = 1_800_000_000_000


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        yield relay


async def _greeted(client: Client) -> None:
    await client.greet()
    await client.hear(CaughtUp)


async def test_a_later_epoch_takes_the_place_and_an_earlier_one_is_refused(relay: Relay) -> None:
    author = Author()
    old = author.type("old")
    beginning = rebuild(author.document, EPOCH)
    follower = Author(2**41)
    follower.document.apply(beginning)
    follower.document.text("other").insert(0, "!")
    (part,) = follower.document.take_captured()
    async with connected(relay.url, "a" * 32) as ada, connected(relay.url, "b" * 32) as bob:
        await _greeted(ada)
        await _greeted(bob)
        await ada.push(1, old)
        assert (await ada.hear(Ack)).refused == ()
        await bob.hear(Updates)
        # A part of a later epoch is not taken for the whole of it.
        await ada.push(2, part, epoch=EPOCH)
        (refusal,) = (await ada.hear(Ack)).refused
        assert (refusal.code, refusal.state_vector) == ("missing-dependencies", b"\x00")
        await ada.push(3, beginning, part, epoch=EPOCH)
        assert (await ada.hear(Ack)).refused == ()
        (entry,) = (await bob.hear(Updates)).entries
        assert (entry.epoch, text_of(entry.update)) == (EPOCH, "old")
        await bob.push(1, author.type("er"))
        (refusal,) = (await bob.hear(Ack)).refused
        assert (refusal.code, refusal.state_vector) == ("epoch-changed", None)
        # Who has the old history gets all of the new one, who has the new one the difference.
        await bob.say(Fetch(NOTE, 0, encode_state_vector(author.document.state_vector())))
        answer = await bob.hear(DocumentUpdate)
        assert (answer.epoch, text_of(answer.update)) == (EPOCH, "old")
        have = encode_state_vector(follower.document.state_vector())
        await bob.say(Fetch(NOTE, EPOCH, have))
        assert await bob.hear(DocumentUpdate) == DocumentUpdate(NOTE, EPOCH, b"\x00\x00")


async def test_digests_and_states(relay: Relay) -> None:
    addresses = [Address("pages", f"p{number:03}") for number in range(300)]
    author = Author()
    update = author.type("hi")
    digest = document_digest(Document(1, [update]))
    async with connected(relay.url) as ada:
        await _greeted(ada)
        await ada.say(Push(1, tuple(Entry(address, update) for address in addresses)))
        assert (await ada.hear(Ack)).refused == ()
        await ada.say(Compare(None))
        first = [Digested(address, 0, digest) for address in addresses[:250]]
        rest = [Digested(address, 0, digest) for address in addresses[250:]]
        assert await ada.hear(Digests) == Digests(
            None, (Range(addresses[249], range_digest(first)), Range(None, range_digest(rest)))
        )
        await ada.say(Compare(addresses[249]))
        assert (await ada.hear(Digests)).ranges == (Range(None, range_digest(rest)),)
        await ada.say(Enumerate(addresses[1], addresses[3]))
        states = await ada.hear(States)
        assert (states.after, states.until) == (addresses[1], addresses[3])
        assert [each.address for each in states.documents] == addresses[2:4]
        assert {(each.epoch, each.digest) for each in states.documents} == {(0, digest)}
        assert decode_state_vector(states.documents[0].state_vector) == {2**40: 2}
        await ada.say(Enumerate(addresses[299], None))
        assert (await ada.hear(States)).documents == ()


async def test_a_replica_of_the_lineage_is_sent_what_follows_the_head(relay: Relay) -> None:
    author = Author()
    async with connected(relay.url, "a" * 32) as ada:
        identity = (await ada.greet()).relay
        await ada.push(1, author.type("1"))
        await ada.hear(Ack)
        async with connected(relay.url, "b" * 32) as bob:
            # Its cursor, 7, is about a log that was lost; its batches up to 4 were acknowledged.
            await bob.say(Hello((1,), "crm", bob.replica, 5, 7, 4, f"{identity}.lost"))
            welcome = await bob.hear(Welcome)
            assert (welcome.head, welcome.batch) == (1, 0)
            assert (await bob.hear(CaughtUp)).cursor == 1
            await bob.push(5, Author(2**41).type("2"))
            assert await bob.hear(Ack) == Ack(5, 2)
