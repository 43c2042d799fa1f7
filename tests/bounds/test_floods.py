"""One peer asks and asks and takes no answer: the relay reads it no further.

In memory and without threads, so that the loop comes to rest exactly when nothing can go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import pytest

from syncline.engine.names import Address
from syncline.engine.protocol.codec import decode, encode
from syncline.engine.protocol.messages import (
    SUBPROTOCOL,
    Ack,
    Entry,
    Fetch,
    Hello,
    Message,
    Ping,
    Push,
    Welcome,
)
from syncline.environment import Environment
from syncline.relay.core import RelayCore
from syncline.relay.log.committed import Committed
from syncline.relay.log.committer import (
    MAX_QUEUED,
    MAX_QUEUED_BYTES,
    MAX_SENDER_BYTES,
    Committer,
)
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.submission import PushedBatch
from syncline.relay.replicas.connection import MAX_PENDING_REPLIES
from syncline.stores import InlineCalls, MemoryStore, StoredDocument
from syncline.testing.network import MemoryTransport, memory_pair
from syncline.transports import Request
from tests.relay.clients import NOTE, Author

_P = ParamSpec("_P")
_T = TypeVar("_T")

CAPACITY = 4
"""Frames that each direction of a connection holds."""
FLOOD = 5000


class CountingStore(MemoryStore):
    """Counts how often a document is read."""

    loads = 0

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        self.loads += 1
        return super().load(workspace, address)


@asynccontextmanager
async def relay(store: MemoryStore) -> AsyncGenerator[RelayCore]:
    core = RelayCore(store, Environment(store_thread=InlineCalls))
    await core.open()
    try:
        yield core
    finally:
        await core.close()


@asynccontextmanager
async def greeted(core: RelayCore, replica: str) -> AsyncGenerator[MemoryTransport]:
    ours, theirs = memory_pair(CAPACITY)
    serving = asyncio.create_task(core.serve(theirs, Request("/crm", subprotocol=SUBPROTOCOL)))
    await ours.send(encode(Hello((1,), "crm", replica, 5, 0, 0, None)))
    assert isinstance(decode(await ours.receive()), Welcome)
    try:
        yield ours
    finally:
        await ours.close()
        await serving


async def at_rest() -> None:
    """Until nothing in this loop goes on by itself: it has no threads, and no timer is due."""
    for _ in range(20 * FLOOD):
        await asyncio.sleep(0)


async def taken(transport: MemoryTransport, message: Callable[[int], Message]) -> int:
    """Flood without receiving; how many messages the other end took."""
    sent = 0

    async def flood() -> None:
        nonlocal sent
        for number in range(FLOOD):
            await transport.send(encode(message(number)))
            sent += 1

    flooding = asyncio.create_task(flood())
    await at_rest()
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    return sent


@pytest.mark.slow
async def test_pings_without_end() -> None:
    async with relay(MemoryStore()) as core, greeted(core, "a" * 32) as peer:
        assert (
            await taken(peer, lambda number: Ping(number + 1))
            <= 2 * MAX_PENDING_REPLIES + 4 * CAPACITY
        )


@pytest.mark.slow
async def test_fetches_without_end() -> None:
    """A fetch costs some bytes and its answer may have megabytes: each is made when it is sent."""
    store = CountingStore()
    async with relay(store) as core, greeted(core, "a" * 32) as peer:
        await peer.send(encode(Push(1, (Entry(NOTE, Author().type("x" * 100_000)),))))
        while not isinstance(decode(await peer.receive()), Ack):
            pass
        before = store.loads
        sent = await taken(peer, lambda _number: Fetch(NOTE, 0, b"\0"))
        assert sent <= MAX_PENDING_REPLIES + 4 * CAPACITY
        assert store.loads - before <= 4 * CAPACITY


@pytest.mark.slow
async def test_one_batch_pushed_without_end() -> None:
    async with relay(MemoryStore()) as core, greeted(core, "a" * 32) as peer:
        push = Push(1, (Entry(NOTE, Author().type("x")),))
        assert await taken(peer, lambda _number: push) <= 2 * MAX_PENDING_REPLIES + 4 * CAPACITY


@pytest.mark.slow
async def test_a_flood_holds_up_nobody_else() -> None:
    async with (
        relay(MemoryStore()) as core,
        greeted(core, "a" * 32) as flooding,
        greeted(core, "b" * 32) as other,
    ):
        await taken(flooding, lambda number: Ping(number + 1))
        await other.send(encode(Push(1, (Entry(NOTE, Author().type("x")),))))
        while not isinstance(decode(await other.receive()), Ack):
            pass
        # And the one who flooded finds every answer, once it listens.
        assert decode(await flooding.receive()).name in ("caught-up", "pong")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "of_many", "most"),
    [
        (8 << 20, True, MAX_QUEUED_BYTES // (8 << 20)),
        (1 << 20, False, MAX_SENDER_BYTES // (1 << 20)),
        (1, True, MAX_QUEUED),
    ],
)
async def test_what_waits_for_the_store_is_bounded(size: int, of_many: bool, most: int) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    class Stuck(InlineCalls):
        async def __call__(
            self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> _T:
            begun.set()
            await release.wait()
            return await super().__call__(function, *args, **kwargs)

    def publish(_committed: Committed) -> None:
        pass

    committer = Committer(Ledger(MemoryStore()), Stuck(), publish)
    running = asyncio.create_task(committer.run())
    update = b"x" * size

    def batch(sender: int) -> PushedBatch:
        return PushedBatch("crm", f"{sender:032x}", (Entry(NOTE, update),), 1, b"")

    await committer.submit(batch(0))
    await begun.wait()
    submitted = 0

    async def submit() -> None:
        nonlocal submitted
        for sender in range(2 * MAX_QUEUED):
            await committer.submit(batch(sender if of_many else 0))
            submitted += 1

    submitting = asyncio.create_task(submit())
    await at_rest()
    assert submitted == most
    running.cancel()
    submitting.cancel()
    await asyncio.gather(running, submitting, return_exceptions=True)
