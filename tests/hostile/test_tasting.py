"""What would harm the readers of a document is refused to its author, and disturbs nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.access.token_file import TokenFile
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack, CaughtUp, Error, Updates
from syncline.engine.yjs.messages import Update
from syncline.environment import Environment
from syncline.relay import core as relay_core
from syncline.upkeep.opener.process import Opener, OpenerUnavailable
from tests.access.tokens import token_file
from tests.engine.update_bytes import item, section, text, update
from tests.hostile.harmful import EVIL, HARMFUL, large, quadratic
from tests.relay.clients import PATIENCE, Author, Client, connected, text_of
from tests.relay.editors import hocuspocus_at, opened, synced, y_websocket_at

GOOD = Address("pages", "good")
REFUSALS = {"update-harmful", "invalid-update"}
"""The parser may have learnt to refuse some of them."""


class GoodClient:
    """Edits a document of its own all the time, and measures how long acknowledgements take."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._author = Author(2**41)
        self.waits: list[float] = []

    async def edit(self) -> None:
        began = time.monotonic()
        await self._client.push(len(self.waits) + 1, self._author.type("x"), address=GOOD)
        ack = await self._client.hear(Ack)
        assert ack.refused == ()
        self.waits.append(time.monotonic() - began)

    async def go_on(self) -> None:
        while True:
            await self.edit()


@asynccontextmanager
async def beside(url: str) -> AsyncGenerator[GoodClient]:
    """A well-behaved client in the same workspace."""
    async with connected(url, "9" * 32) as client:
        await client.greet()
        good = GoodClient(client)
        await good.edit()
        going_on = asyncio.create_task(good.go_on())
        try:
            yield good
            assert not going_on.done()
        finally:
            going_on.cancel()
            await asyncio.gather(going_on, return_exceptions=True)


async def read_by_a_replica(url: str, path: Path) -> str:
    async with Replica.open(path, relay=f"{url}/crm") as replica:
        async with asyncio.timeout(PATIENCE):
            await replica.synced()
        replica.document(str(EVIL)).to_dict()
        return str(replica.document(str(GOOD)).text("body"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_core, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(relay_core, "CAREFUL_PATIENCE_SECONDS", 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HARMFUL)
async def test_a_replica_is_refused_what_harms(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "relay.db"
    async with Relay(path, port=0) as relay, beside(relay.url) as good:
        async with connected(relay.url) as mallory:
            await mallory.greet()
            *first, last = HARMFUL[kind]
            codes: set[str] = set()
            for number, each in enumerate(first, start=1):
                await mallory.push(number, each, address=EVIL)
                codes |= {refusal.code for refusal in (await mallory.hear(Ack)).refused}
            await mallory.push(len(first) + 1, last, address=EVIL)
            codes |= {refusal.code for refusal in (await mallory.hear(Ack)).refused}
            # Which of several updates is the harmful one depends on the library; what follows it
            # lacks it.
            assert codes & REFUSALS
            # The others wait once. What comes from a suspect next, they do not notice.
            before = len(good.waits)
            await mallory.push(len(first) + 2, last, address=EVIL)
            await mallory.hear(Ack)
            assert max(good.waits[before:], default=0) < 1.0
        assert max(good.waits) < PATIENCE / 4
    async with Relay(path, port=0) as again:
        assert set(await read_by_a_replica(again.url, tmp_path / "bob.db")) == {"x"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kills", "is refused"])
async def test_an_editor_is_denied_what_harms(tmp_path: Path, kind: str) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay, beside(relay.url):
        async with y_websocket_at(f"{relay.url}/crm/{EVIL}") as mallory:
            await synced(mallory)
            for each in HARMFUL[kind]:
                await mallory.say(Update(each))
            code, reason, _ = await mallory.ended()
            assert code == 4403
            assert "update" in reason
        async with hocuspocus_at(relay.url + "/crm") as mallory:
            await opened(mallory, str(EVIL))
            await mallory.say(str(EVIL), Update(HARMFUL[kind][-1]))
            frame = await mallory.hear()
            while b"update" not in frame:
                frame = await mallory.hear()
        # The document goes on without it.
        async with y_websocket_at(f"{relay.url}/crm/{EVIL}") as bob:
            await synced(bob)
            await bob.say(Update(update(section(77, 0, item(4, text("fine"))))))
            assert isinstance(await bob.told(), Update)


@pytest.mark.slow
async def test_what_takes_the_square_of_its_length_is_refused(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay, connected(relay.url) as mallory:
        await mallory.greet()
        await mallory.push(1, *quadratic(10_000), address=EVIL)
        (refusal,) = (await mallory.hear(Ack)).refused
        assert refusal.code == "update-harmful"
        assert "takes more than 1 seconds" in refusal.message


@pytest.mark.slow
async def test_what_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    environment = replace(Environment(), opener=partial(Opener, memory=160 << 20))
    relay = Relay(tmp_path / "relay.db", port=0, environment=environment)
    async with relay, connected(relay.url) as mallory:
        await mallory.greet()
        await mallory.push(1, large(480_000), address=EVIL)
        (refusal,) = (await mallory.hear(Ack)).refused
        assert refusal.code == "update-harmful"
        await mallory.push(2, large(1_000), address=EVIL)
        assert (await mallory.hear(Ack)).refused == ()


async def test_of_a_batch_only_the_harmful_update_is_refused(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay, connected(relay.url) as ada:
        await ada.greet()
        await ada.hear(CaughtUp)
        good = Author().type("good")
        await ada.push(1, good, *HARMFUL["kills"], address=EVIL)
        (refusal,) = (await ada.hear(Ack)).refused
        assert refusal.code in REFUSALS
        async with connected(relay.url, "b" * 32) as bob:
            await bob.greet()
            (entry,) = (await bob.hear(Updates)).entries
            assert text_of(entry.update) == "good"


TOKENS = {
    "token-one": 'name = "ours"\naccess = "write"\ntrusted = true\n',
    "token-two": 'name = "theirs"\naccess = "write"\n',
}


class NoOpener(Opener):
    """There is no process to be had."""

    def start(self) -> None:
        raise OpenerUnavailable("there are too many processes")


async def test_without_a_taster_nothing_is_stored_but_what_is_trusted(tmp_path: Path) -> None:
    environment = replace(Environment(), opener=NoOpener)
    tokens = TokenFile(token_file(tmp_path, TOKENS))
    relay = Relay(tmp_path / "relay.db", port=0, environment=environment, authenticator=tokens)
    async with relay:
        async with connected(relay.url) as stranger:
            await stranger.greet(token="token-two")
            await stranger.push(1, Author().type("x"))
            error = await stranger.hear(Error)
            assert error.code == "tasting-unavailable"
            assert error.retry_after
        async with connected(relay.url, "b" * 32) as trusted:
            await trusted.greet(token="token-one")
            await trusted.push(1, Author().type("x"))
            assert (await trusted.hear(Ack)).refused == ()
