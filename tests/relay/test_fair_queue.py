"""Turns at the store: whoever has little goes before who has much, and everybody has a share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.protocol.messages import Entry
from syncline.relay.log.committer import MAX_TRANSACTION_BYTES, MAX_TRANSACTION_ENTRIES, Committer
from syncline.relay.log.fair_queue import MAX_IDLE_SENDERS, FairQueue
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.submission import Outcome, Settled, Submission
from syncline.stores import InlineCalls, MemoryStore
from tests.relay.clients import NOTE, Author

_P = ParamSpec("_P")
_T = TypeVar("_T")


def test_a_single_edit_goes_before_what_is_left_of_an_import() -> None:
    queue = FairQueue[str]()
    for number in range(5):
        queue.put(f"import {number}", 1000, account="importer", sender="importer")
    assert queue.take() == "import 0"
    queue.put("edit", 1, account="ada", sender="ada")
    assert queue.take() == "edit"
    assert [queue.take() for _ in range(4)] == [f"import {number}" for number in range(1, 5)]


def test_an_import_gets_its_share_beside_one_who_never_stops_typing() -> None:
    queue = FairQueue[str]()
    for _ in range(3):
        queue.put("import", 1000, account="importer", sender="importer")
    queue.put("edit", 65, account="ada", sender="ada")
    edits = imports = 0
    while imports < 3:
        if queue.take() == "import":
            imports += 1
        else:
            edits += 1
            queue.put("edit", 65, account="ada", sender="ada")
    assert 2 * 1000 // 65 <= edits <= 2 * 1000 // 65 + 2


def test_many_connections_of_one_account_have_one_share() -> None:
    queue = FairQueue[str]()
    for number in range(100):
        for _ in range(10):
            queue.put("crowd", 10, account="crowd", sender=number)
    for _ in range(100):
        queue.put("ada", 10, account="ada", sender="ada")
    first = Counter(queue.take() for _ in range(100))
    # At first the whole crowd is as new as ada, and takes one turn each.
    assert first["crowd"] <= 100
    later = Counter(queue.take() for _ in range(90))
    assert later["ada"] >= 40


@pytest.mark.parametrize("most", [2, MAX_IDLE_SENDERS])
def test_who_is_done_is_forgotten(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.relay.log.fair_queue.MAX_IDLE_SENDERS", most)
    queue = FairQueue[int]()
    for _ in range(2):
        queue.put(-1, 10**9, account="other", sender="other")
    for number in range(2 * most):
        queue.put(number, 1, account=number, sender=number)
        queue.take()
    assert queue.remembered <= most + 2
    while queue:
        queue.take()
    assert queue.remembered == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50), st.booleans())))
def test_nothing_is_lost_and_each_sender_keeps_its_order(
    steps: list[tuple[int, int, bool]],
) -> None:
    queue = FairQueue[tuple[int, int]]()
    put: dict[int, int] = Counter()
    taken: dict[int, int] = Counter()
    waiting = 0
    for sender, cost, takes in steps:
        queue.put((sender, put[sender]), cost, account=sender % 2, sender=sender)
        put[sender] += 1
        waiting += 1
        while takes and waiting:
            first = queue.first()
            assert queue.take() == first == (first[0], taken[first[0]])
            taken[first[0]] += 1
            waiting -= 1
        assert len(queue) == waiting
    while queue:
        sender, number = queue.take()
        assert number == taken[sender]
        taken[sender] += 1
    assert taken == put


class Stepwise(InlineCalls):
    """Makes a call when it is let, and notes the batches that came with each."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Submission]] = []
        self.may_go = asyncio.Semaphore(0)
        self.called = asyncio.Event()

    async def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        (batch,) = args
        self.batches.append(cast("list[Submission]", batch))
        self.called.set()
        await self.may_go.acquire()
        return await super().__call__(function, *args, **kwargs)


def submission(
    author: str, updates: tuple[bytes, ...], settle: Callable[[Outcome], None]
) -> Submission:
    return Submission(
        "crm", author, tuple(Entry(NOTE, update) for update in updates), settle=settle
    )


@pytest.mark.parametrize(
    ("updates", "most"),
    [
        ((b"x",) * MAX_TRANSACTION_ENTRIES, 1),
        ((b"x" * MAX_TRANSACTION_BYTES,), 1),
        ((b"x" * (MAX_TRANSACTION_BYTES // 2),), 2),
        ((b"x",) * (MAX_TRANSACTION_ENTRIES // 2), 2),
    ],
)
async def test_an_edit_waits_for_one_transaction_of_two_imports(
    updates: tuple[bytes, ...], most: int
) -> None:
    calls = Stepwise()
    settled = asyncio.Event()
    outcomes: list[Outcome] = []

    def settle(outcome: Outcome) -> None:
        outcomes.append(outcome)
        settled.set()

    store = MemoryStore()
    store.open()
    committer = Committer(Ledger(store), calls, lambda _committed: None)
    running = asyncio.create_task(committer.run())
    for _ in range(4):
        for importer in ("an import", "another import"):
            await committer.submit(submission(importer, updates, lambda _outcome: None))
    await calls.called.wait()
    await committer.submit(submission("ada", (Author().type("a"),), settle))
    calls.may_go.release()
    calls.may_go.release()
    async with asyncio.timeout(60):
        await settled.wait()
    assert isinstance(outcomes[0], Settled)
    assert [len(batch) <= most for batch in calls.batches] == [True] * len(calls.batches)
    assert "ada" in [each.author for batch in calls.batches[:2] for each in batch]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
