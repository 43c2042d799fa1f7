"""The taster between connections and the committer, with an opener that is no process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.updates.parse import UpdateLimits
from syncline.relay.log.committed import Committed
from syncline.relay.log.committer import Committer
from syncline.relay.log.ledger import INCOMING, Ledger
from syncline.relay.log.submission import Outcome, Settled, Submission
from syncline.relay.log.taste import TASTE_AGAIN
from syncline.relay.tasting import lane as lane_module
from syncline.relay.tasting import queue as queue_module
from syncline.relay.tasting import taster as taster_module
from syncline.relay.tasting.lane import Lane
from syncline.relay.tasting.taster import Taster
from syncline.stores import InlineCalls, MemoryStore, StoredDocument
from syncline.upkeep.opener.inline import InlineOpener
from tests.engine.update_bytes import section, typed, update
from tests.relay.clients import NOTE, PATIENCE, Author

OTHER = Address("pages", "other")


class CountingStore(MemoryStore):
    """Counts how often a document is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[Address] = []

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        self.loads.append(address)
        return super().load(workspace, address)


class Bench:
    """A taster, a committer and a store."""

    def __init__(self, limits: UpdateLimits) -> None:
        self.store = CountingStore()
        self.store.open()
        lanes = [
            Lane(self.store, InlineOpener(), limits, reader=InlineCalls(), calls=InlineCalls())
            for _ in range(2)
        ]
        self.committer = Committer(Ledger(self.store, (), limits), InlineCalls(), self._publish)
        self.taster = Taster(self.committer, *lanes)

    def _publish(self, committed: Committed) -> None:
        self.taster.committed(committed)

    async def offer(
        self, *updates: bytes, author: str = "editor:1", address: Address = NOTE
    ) -> asyncio.Future[Outcome]:
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        entries = tuple(Entry(address, each) for each in updates)
        submission = Submission("crm", author, entries, settle=settled.set_result)
        await self.taster.submit(submission, author)
        return settled


@asynccontextmanager
async def bench(limits: UpdateLimits = INCOMING) -> AsyncGenerator[Bench]:
    made = Bench(limits)
    tasks = [asyncio.create_task(each.run()) for each in (made.committer, made.taster)]
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_document_is_loaded_once_and_follows_what_is_stored() -> None:
    author = Author()
    async with bench() as made:
        for _ in range(3):
            assert isinstance(await (await made.offer(author.type("x"))), Settled)
        trusted = Submission("crm", "trusted", (Entry(NOTE, author.type("y")),))
        await made.committer.submit(trusted)
        # It builds on what was not tasted.
        settled = await (await made.offer(author.type("z")))
        assert settled == Settled(5)
        assert made.store.loads == [NOTE]


async def test_what_was_not_integrated_is_heard_of_when_it_is_stored_after_all() -> None:
    author = Author()
    first, second, third = (author.type(each) for each in "abc")
    async with bench() as made:
        settled = await (await made.offer(second))
        assert isinstance(settled, Settled)
        assert settled.refusals[0].code == "missing-dependencies"
        for each in (first, second):
            await made.committer.submit(Submission("crm", "trusted", (Entry(NOTE, each),)))
        assert await (await made.offer(third)) == Settled(3)


@pytest.mark.parametrize("most", [2, queue_module.MAX_PART_UPDATES])
async def test_a_large_batch_is_tasted_in_parts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(queue_module, "MAX_PART_UPDATES", most)
    author, other = Author(), Author(2**41)
    async with bench() as made:
        large = await made.offer(*[author.type("x") for _ in range(2 * most + 1)])
        beside = await made.offer(other.type("y"), author="editor:2", address=OTHER)
        after = await made.offer(author.type("z"))
        assert await beside == Settled(1)  # which does not wait for all of it
        assert await large == Settled(2 * most + 2)
        assert await after == Settled(2 * most + 3)


async def test_documents_let_go_are_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MAX_DOCUMENTS", 1)
    authors = {NOTE: Author(), OTHER: Author(2**41)}
    async with bench() as made:
        for _ in range(3):
            for address, author in authors.items():
                settled = await (await made.offer(author.type("x"), address=address))
                assert isinstance(settled, Settled)
                assert settled.refusals == ()
        assert made.store.loads == [NOTE, OTHER] * 3
        both = [
            await made.offer(author.type("x"), author=str(address), address=address)
            for address, author in authors.items()
        ]
        assert [type(each) for each in await asyncio.gather(*both)] == [Settled, Settled]


async def test_what_the_ledger_refuses_spoils_nothing_for_others() -> None:
    one, two = (update(section(client, 0, typed("x"))) for client in (1, 2))
    more = update(section(1, 1, typed("y")))
    async with bench(replace(INCOMING, max_clients=1)) as made:
        first = await made.offer(one)
        refused = await made.offer(two, author="editor:2")
        tasted_on_it = await made.offer(more, author="editor:3")
        assert await first == Settled(1)
        settled = await refused
        assert isinstance(settled, Settled)
        assert settled.refusals[0].code == "limit-exceeded"
        assert await tasted_on_it == Settled(2)


async def test_it_is_tasted_three_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as made:
        ledger_commit = made.committer._ledger.commit  # pyright: ignore[reportPrivateUsage]
        tried = 0

        def never(submissions: list[Submission]) -> tuple[list[Outcome], list[Committed]]:
            nonlocal tried
            tried += 1
            return [TASTE_AGAIN for _ in submissions], []

        monkeypatch.setattr(made.committer._ledger, "commit", never)  # pyright: ignore[reportPrivateUsage]
        assert await (await made.offer(Author().type("x"))) is TASTE_AGAIN
        assert tried == taster_module.MAX_TRIES == 3
        monkeypatch.setattr(made.committer._ledger, "commit", ledger_commit)  # pyright: ignore[reportPrivateUsage]
        assert await (await made.offer(Author().type("x"))) == Settled(1)


async def test_who_offers_too_much_at_once_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taster_module, "MAX_WAITING_BYTES", 2)
    author = Author()
    async with bench() as made:
        first = await made.offer(author.type("x"))
        second = asyncio.create_task(made.offer(author.type("y")))
        await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        assert await first == Settled(1)
        assert await (await second) == Settled(2)
