"""What the database does not take costs nobody else anything."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from syncline import Relay
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack, CaughtUp, Entry, Push, Updates
from syncline.stores.tables import schema
from tests.relay.clients import NOTE, Author, connected, text_of

POISON = Address("notes", "poison")


async def _relay_with_a_picky_database(path: Path) -> Relay:
    async with Relay(path, port=0):
        pass
    database = sqlite3.connect(path)
    database.execute(
        f"CREATE TRIGGER picky BEFORE INSERT ON {schema.documents.name} "
        "WHEN NEW.key = 'poison' BEGIN SELECT RAISE(ABORT, 'no poison here'); END"
    )
    database.close()
    return Relay(path, port=0)


async def test_an_update_that_the_database_does_not_take_is_refused_alone(tmp_path: Path) -> None:
    relay = await _relay_with_a_picky_database(tmp_path / "relay.db")
    author, other = Author(), Author(2**41)
    async with (
        relay,
        connected(relay.url, "a" * 32) as ada,
        connected(relay.url, "b" * 32) as bob,
    ):
        for client in (ada, bob):
            await client.greet()
            await client.hear(CaughtUp)
        good = author.type("good")
        entries = (Entry(POISON, Author(2**42).type("bad")), Entry(NOTE, good))
        # Both on their way before either is committed: they may share the transaction.
        await asyncio.gather(
            ada.say(Push(1, entries)), bob.push(1, other.type("fine"), address=Address("n", "1"))
        )
        ack = await ada.hear(Ack)
        assert ack.batch == 1
        (refusal,) = ack.refused
        assert refusal.address == POISON
        assert "no poison here" in refusal.message
        assert (await bob.hear(Ack)).refused == ()
        await ada.say(Push(1, entries))  # as after a lost acknowledgement
        assert await ada.hear(Ack) == ack
    async with Relay(tmp_path / "relay.db", port=0) as again, connected(again.url) as fresh:
        await fresh.greet()
        news = await fresh.hear(Updates)
        held = {entry.address: text_of(entry.update) for entry in news.entries}
        assert held == {NOTE: "good", Address("n", "1"): "fine"}
