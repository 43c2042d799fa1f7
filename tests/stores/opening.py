"""What tests of opening share: something at once in many threads, tasks cancelled at each await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(*works: Callable[[], T]) -> list[T | BaseException]:
    """Do all in threads that begin at the same moment; what each returned or raised."""
    start = threading.Barrier(len(works))
    outcomes: list[Any] = [None] * len(works)

    def run(number: int) -> None:
        start.wait(60)
        try:
            outcomes[number] = works[number]()
        except BaseException as error:  # noqa: BLE001  it is what is looked at
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class CancelledAt:
    """Awaits ``work``, and is cancelled at its ``step``-th await (the first is 1).

    ``before`` runs just before that, while the work waits, and ``otherwise`` at every other await.
    ``reached`` says whether it came so far.
    """

    def __init__(
        self,
        work: Coroutine[Any, Any, Any],
        step: int,
        before: Callable[[], None] = lambda: None,
        otherwise: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._step = step
        self._before = before
        self._otherwise = otherwise
        self._steps = 0

    @property
    def reached(self) -> bool:
        return self._steps >= self._step

    async def run(self) -> BaseException | None:
        """In this task, which outlives it: what the work raised, None if it returned."""
        try:
            await self
        except BaseException as error:  # noqa: BLE001  it is what is looked at
            return error
        return None

    def __await__(self) -> Generator[Any, Any, Any]:
        # As ``yield from`` does it, and counts.
        work = self._work.__await__()
        error: BaseException | None = None
        while True:
            try:
                awaited = work.send(None) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            self._steps += 1
            if self._steps == self._step:
                self._before()
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            else:
                self._otherwise()
            try:
                yield awaited
            except BaseException as raised:  # noqa: BLE001  it belongs to the work
                error = raised


def store_threads() -> list[threading.Thread]:
    """The threads of stores that are alive."""
    return [each for each in threading.enumerate() if each.name == "syncline-store"]
