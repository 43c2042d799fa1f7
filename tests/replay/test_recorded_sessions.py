"""Sessions that people recorded while they typed, replayed to the last byte."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from examples.replay_trace import replay
from syncline import Replica
from syncline.engine.names import Address
from syncline.engine.protocol.codec import decode
from syncline.engine.protocol.messages import Updates
from syncline.engine.updates.parse import decode_state_vector
from syncline.environment import Environment
from syncline.relay.core import RelayCore
from syncline.replica.replica import LOCAL
from syncline.stores import InlineCalls, MemoryStore
from syncline.testing.network.memory import MemoryTransport
from syncline.testing.network.network import MemoryNetwork
from syncline.transports import Transport
from tests.profiles import scaled
from tests.replay.recordings import Turn, load, turns_of

RELAY, WORKSPACE = "ws://relay", "pad"
PAD = Address("pages", "pad")
PATIENCE = 60.0
PAPER_SECONDS = 300.0  # half a minute where nothing else runs


@pytest.mark.slow
@pytest.mark.scaled
async def test_one_author_over_websockets(tmp_path: Path) -> None:
    paper = load("automerge-paper")
    keystrokes = scaled(259_778)
    async with asyncio.timeout(PAPER_SECONDS):
        result = await replay(paper, tmp_path, keystrokes)
    assert len(paper["txns"]) == 259_778
    assert result.keystrokes == keystrokes
    assert result.content.encode() == typed(paper, keystrokes).encode()


def typed(recording: dict[str, Any], keystrokes: int) -> str:
    """The text of one author after so many keystrokes; after all it is what the recording says."""
    patches = [patch for txn in recording["txns"] for patch in txn["patches"]]
    if keystrokes == len(patches):
        return str(recording["endContent"])
    text = list(str(recording["startContent"]))
    for position, deleted, inserted in patches[:keystrokes]:
        text[position : position + deleted] = inserted
    return "".join(text)


async def until(condition: Callable[[], bool]) -> None:
    """Let the others work until ``condition`` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing signals what is seen from outside
            await asyncio.sleep(0)


class Author:
    """A replica that sees of the other's typing what the test lets through, and nothing more."""

    def __init__(self, number: int, network: MemoryNetwork) -> None:
        self._network = network
        self._name = f"author {number}"
        self._store = MemoryStore()
        self._wires: list[MemoryTransport] = []
        self.replica = Replica.open(
            self._store,
            relay=f"{RELAY}/{WORKSPACE}",
            environment=Environment(
                rng=random.Random(number), connect=self._connect, store_thread=InlineCalls
            ),
        )
        self.received = 0  # turns of the other that were let through

    async def _connect(self, url: str) -> Transport:
        wire = await self._network.connect(url, client=self._name)
        self._wires.append(wire)
        return wire

    @property
    def wire(self) -> MemoryTransport:
        (wire,) = self._wires  # it has connected once, and was never cut off
        return wire

    @property
    def text(self) -> str:
        return str(self.replica.document(str(PAD)).text("body"))

    @property
    def client_id(self) -> int:
        return int(self._store.meta(LOCAL)["client_id"])

    async def hold(self) -> None:
        await self.replica.synced()
        self.wire.hold()

    async def see(self, turns: int) -> None:
        """Let through what the relay sends, up to the other's turn of that number."""
        while self.received < turns:
            await until(lambda: bool(self.wire.held))
            message = decode(self.wire.held[0])
            self.wire.release(1)
            if isinstance(message, Updates):
                assert message.cursor == message.since + 1, "several turns came in one frame"
                await self._applied(message.cursor)
                self.received += 1

    async def _applied(self, cursor: int) -> None:
        await until(lambda: self.replica.status.cursor >= cursor)

    async def state(self) -> dict[int, int]:
        """The state vector of the document, as stored."""
        await self.replica.flushed()
        stored = self._store.load(LOCAL, PAD)
        return decode_state_vector(stored.state_vector) if stored else {}

    async def type(self, turn: Turn) -> None:
        text = self.replica.document(str(PAD)).text("body")
        with self.replica.transaction():
            for position, deleted, inserted in turn.patches:
                text.delete(position, deleted)
                text.insert(position, inserted)
        await self.replica.flushed()


async def committed(log: MemoryStore, head: int) -> None:
    await until(lambda: log.head(WORKSPACE) == head)


@pytest.mark.slow
@pytest.mark.scaled
async def test_two_authors_who_see_each_other_late() -> None:
    recording = load("friendsforever")
    recorded = turns_of(recording)
    assert len(recorded) == 3727
    assert sum(len(turn.patches) for turn in recorded) == 26_078
    turns = recorded[: scaled(len(recorded))]
    log = MemoryStore()
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(MemoryNetwork(random.Random(0)))
        core = RelayCore(log, Environment(rng=random.Random(0), store_thread=InlineCalls))
        await core.open()
        stack.push_async_callback(core.close)
        network.listen(RELAY, core.serve)
        authors = [Author(number, network) for number in range(2)]
        for author in authors:
            await stack.enter_async_context(author.replica)
            await author.hold()

        # By author, how many operations their first n turns make: one for each character typed.
        clocks = [[0], [0]]
        for number, turn in enumerate(turns, 1):
            author = authors[turn.author]
            await author.see(turn.seen[1 - turn.author])
            expected = {
                each.client_id: clocks[index][seen]
                for index, (each, seen) in enumerate(zip(authors, turn.seen, strict=True))
                if seen
            }
            assert await author.state() == expected
            await author.type(turn)
            typed = sum(len(inserted) for _, _, inserted in turn.patches)
            clocks[turn.author].append(clocks[turn.author][-1] + typed)
            # A commit of its own makes a frame of its own, which can be let through alone.
            await committed(log, number)

        for author in authors:
            author.wire.release()
        for author in authors:
            await author.replica.synced()
        # What a part of it ends with is not recorded: there it has to be the same for all.
        content = recording["endContent"] if len(turns) == len(recorded) else authors[0].text
        for author in authors:
            assert author.text.encode() == content.encode()
        fresh = Author(2, network)
        async with fresh.replica:
            await fresh.replica.synced()
            assert fresh.text.encode() == content.encode()
