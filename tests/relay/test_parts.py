"""A large batch is committed in parts, so that others have their turns, and acknowledged whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from syncline.engine.errors import PeerError, StoreFailed, SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.relay.log.committed import Committed
from syncline.relay.log.committer import MAX_TRANSACTION_ENTRIES, Committer
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.submission import Outcome, PushedBatch, Settled
from syncline.stores import InlineCalls, MemoryStore, Write
from tests.relay.clients import Author

REPLICA = "a" * 32


class FailingStore(MemoryStore):
    """Fails at the writes of these numbers, as a full disk does for a while."""

    def __init__(self, *failing: int) -> None:
        super().__init__()
        self.failing = failing
        self.sizes: list[int] = []

    def write(self, writes: Sequence[Write]) -> list[int]:
        self.sizes.append(sum(len(write.documents) for write in writes))
        if len(self.sizes) in self.failing:
            raise StoreFailed("The disk is full.", hint="Make room.", retry_after=1.0)
        return super().write(writes)


def entries(count: int) -> list[Entry]:
    update = Author().type("x")
    return [Entry(Address("pages", f"{number}"), update) for number in range(count)]


async def outcome_of(store: MemoryStore, told: list[Committed], pushed: PushedBatch) -> Outcome:
    settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    committer = Committer(Ledger(store), InlineCalls(), told.append)
    running = asyncio.create_task(committer.run())
    await committer.submit(
        PushedBatch(
            pushed.workspace,
            pushed.author,
            pushed.entries,
            pushed.batch,
            pushed.digest,
            settle=settled.set_result,
        )
    )
    try:
        return await asyncio.wait_for(settled, 60)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def batch(number: int, contents: list[Entry], digest: bytes = b"1" * 32) -> PushedBatch:
    return PushedBatch("crm", REPLICA, tuple(contents), number, digest)


@pytest.mark.parametrize("most", [2, MAX_TRANSACTION_ENTRIES])
async def test_the_parts_are_small_and_the_whole_is_acknowledged(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.relay.log.committer.MAX_TRANSACTION_ENTRIES", most)
    store, told = FailingStore(), list[Committed]()
    store.open()
    contents = entries(2 * most + 1)
    contents[0] = Entry(contents[0].address, b"no update")
    contents[-1] = Entry(contents[-1].address, b"nor this")
    outcome = await outcome_of(store, told, batch(1, contents))
    assert isinstance(outcome, Settled)
    assert store.sizes == [most - 1, most, 0]
    assert outcome.seq == store.head("crm") == 2 * most - 1
    refused = [refusal.address for refusal in outcome.refusals]
    assert refused == [contents[0].address, contents[-1].address]
    assert sum(len(each.entries) for each in told) == 2 * most - 1
    # Sent again it is answered the same, and nothing is stored.
    again = await outcome_of(store, told, batch(1, contents))
    assert again == outcome
    assert store.head("crm") == outcome.seq


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_a_part_that_fails_leaves_the_batch_to_come_again(failing: int) -> None:
    store = FailingStore(failing)
    store.open()
    contents = entries(2 * MAX_TRANSACTION_ENTRIES + 1)
    outcome = await outcome_of(store, [], batch(1, contents))
    assert isinstance(outcome, StoreFailed)
    assert store.last_batch("crm", REPLICA) == 0
    assert isinstance(await outcome_of(store, [], batch(1, contents)), Settled)
    assert len(list(store.documents("crm"))) == len(contents)


async def test_nothing_is_stored_of_a_batch_that_may_not_come_now() -> None:
    store = FailingStore()
    store.open()
    contents = entries(MAX_TRANSACTION_ENTRIES + 1)
    outcome = await outcome_of(store, [], batch(2, contents))
    assert isinstance(outcome, PeerError)
    assert outcome.code == "batch-gap"
    assert store.head("crm") == 0
    assert isinstance(await outcome_of(store, [], batch(1, contents)), Settled)
    head = store.head("crm")
    conflict = await outcome_of(store, [], batch(1, contents, b"2" * 32))
    assert isinstance(conflict, SynclineError)
    assert conflict.code == "batch-conflict"
    assert store.head("crm") == head
