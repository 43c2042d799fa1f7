"""StoreThread and InlineCalls: blocking calls from asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncline.engine.errors import LimitExceeded, StoreError
from syncline.stores import InlineCalls, SqlStore, StoreCalls, StoreThread, thread
from tests.stores.numbered import assert_holds, numbered
from tests.stores.opening import store_threads


@pytest.fixture(params=[StoreThread, InlineCalls])
async def run(request: pytest.FixtureRequest) -> AsyncIterator[StoreCalls]:
    made: StoreCalls = request.param()
    yield made
    await made.close()


@pytest.fixture
async def threaded() -> AsyncIterator[StoreThread]:
    made = StoreThread()
    yield made
    await made.close()


class Gate:
    """A call that tells when it runs and ends when it is let."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.left = False

    def __call__(self) -> str:
        self.entered.set()
        assert self.leave.wait(60)
        self.left = True
        return "through"

    async def running(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 60)


async def test_results_and_errors_come_back(run: StoreCalls) -> None:
    assert await run(divmod, 7, 2) == (3, 1)
    assert await run(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]
    with pytest.raises(ZeroDivisionError):
        await run(divmod, 1, 0)
    with pytest.raises(KeyboardInterrupt):
        await run(_raise, KeyboardInterrupt())
    with pytest.raises(RuntimeError, match="StopIteration"):  # as a coroutine does
        await run(next, iter(()))
    assert await run(len, "abc") == 3


def _raise(error: BaseException) -> None:
    raise error


async def test_a_closed_one_takes_no_calls(run: StoreCalls) -> None:
    await run.close()
    await run.close()
    with pytest.raises(StoreError, match="The store thread is closed"):
        await run(len, "")


async def test_one_thread_makes_the_calls_in_order(threaded: StoreThread) -> None:
    order: list[tuple[int, int]] = []

    def note(n: int) -> None:
        order.append((n, threading.get_ident()))

    await asyncio.gather(*(threaded(note, n) for n in range(100)))
    assert [n for n, _ in order] == list(range(100))
    assert len({ident for _, ident in order}) == 1
    assert order[0][1] != threading.get_ident()


async def test_the_event_loop_goes_on_during_a_call(threaded: StoreThread) -> None:
    gate = Gate()
    call = asyncio.ensure_future(threaded(gate))
    await gate.running()
    assert not call.done()
    gate.leave.set()
    assert await call == "through"


async def test_cancelling_never_interrupts_a_call(threaded: StoreThread) -> None:
    gate, made = Gate(), list[str]()
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
    running = asyncio.ensure_future(threaded(gate))
    waiting = asyncio.ensure_future(threaded(made.append, "waiting"))
    after = asyncio.ensure_future(threaded(made.append, "after"))
    await gate.running()
    for task in (running, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    gate.leave.set()
    await after
    assert gate.left
    assert made == ["after"]
    assert problems == []


async def test_closing_waits_for_every_call(threaded: StoreThread) -> None:
    gate, made = Gate(), list[str]()
    first = asyncio.ensure_future(threaded(gate))
    second = asyncio.ensure_future(threaded(made.append, "second"))
    await gate.running()
    closing = asyncio.ensure_future(threaded.close())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.leave.set()
    await closing
    assert made == ["second"]
    assert await first == "through"
    await second


async def test_waiting_calls_are_bounded(
    threaded: StoreThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "MAX_WAITING", 3)
    gate = Gate()
    calls = [asyncio.ensure_future(threaded(gate))]
    await gate.running()
    calls += [asyncio.ensure_future(threaded(lambda: "waited")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(LimitExceeded, match="3 calls wait for the store already") as caught:
        await threaded(len, "")
    assert caught.value.retry_after == 1.0
    gate.leave.set()
    assert await asyncio.gather(*calls) == ["through", "waited", "waited", "waited"]
    assert await threaded(len, "abc") == 3


def test_a_loop_that_ended_leaves_the_thread_alive() -> None:
    made, gate = StoreThread(), Gate()

    async def leave_behind() -> None:
        task = asyncio.ensure_future(made(gate))
        await gate.running()
        task.cancel()

    async def go_on() -> int:
        result = await made(len, "abc")
        await made.close()
        return result

    asyncio.run(leave_behind())
    gate.leave.set()
    assert asyncio.run(go_on()) == 3


async def test_a_store_lives_on_the_thread(threaded: StoreThread, tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "app.db")
    await threaded(store.open)
    heads = await asyncio.gather(*(threaded(store.write, [numbered(n)]) for n in range(1, 30)))
    assert heads == [[2 * n] for n in range(1, 30)]
    assert_holds(store, 29)
    await threaded(store.close)


async def test_waiting_blocks_for_results_and_errors(run: StoreCalls) -> None:
    assert run.wait(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        run.wait(divmod, 1, 0)
    await run.close()
    with pytest.raises(StoreError, match="closed"):
        run.wait(divmod, 7, 2)


async def test_waiting_takes_its_turn(threaded: StoreThread) -> None:
    gate = Gate()
    awaited = asyncio.create_task(threaded(gate))
    await gate.running()
    left: list[bool] = []
    waiting = asyncio.create_task(asyncio.to_thread(threaded.wait, lambda: left.append(gate.left)))
    gate.leave.set()
    await waiting
    assert left == [True]
    assert await awaited == "through"


async def test_the_last_call_is_made_for_sure(threaded: StoreThread) -> None:
    gate, made = Gate(), list[str]()
    running = asyncio.ensure_future(threaded(gate))
    await gate.running()
    waiting = asyncio.ensure_future(threaded(made.append, "waiting"))
    closing = asyncio.ensure_future(threaded.close(lambda: made.append("last")))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    gate.leave.set()
    await asyncio.gather(running, waiting)
    for each in store_threads():
        each.join(60)
    assert made == ["waiting", "last"]


async def test_the_last_call_is_made_without_any_other(run: StoreCalls) -> None:
    made: list[str] = []
    await run.close(lambda: made.append("last"))
    await run.close(lambda: made.append("once more"))
    assert made == ["last"]


async def test_closing_raises_what_the_last_call_raises(run: StoreCalls) -> None:
    with pytest.raises(ZeroDivisionError):
        await run.close(lambda: divmod(1, 0))
    assert store_threads() == []


async def test_the_thread_has_ended_when_closing_returns() -> None:
    class Lingering(StoreThread):
        def _work(self) -> None:
            super()._work()
            threading.Event().wait(0.05)  # longer than closing takes

    lingering = Lingering()
    assert await lingering(len, "abc") == 3
    assert store_threads() != []
    await lingering.close()
    assert store_threads() == []


async def test_a_thread_that_cannot_be_started(
    threaded: StoreThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def start(_thread: threading.Thread) -> None:
            raise RuntimeError("no thread")

        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="no thread"):
            await threaded(len, "")
    assert await threaded(len, "abc") == 3
