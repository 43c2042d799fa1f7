"""An event loop with a virtual clock, in which processes can die.

Theory of operation. No sockets, no threads, no waiting: when nothing is ready, the clock jumps to
the next timer. Task steps that are ready at the same time run in an order drawn from the seed;
plain callbacks keep theirs, because asyncio relies on it. So one seed gives one run.

Every task belongs to a process, which it inherits from whoever made it (a context variable). A dead
process is frozen: none of its steps ever runs again, neither ``except`` nor ``finally`` nor
``__aexit__``, as with kill -9.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, NamedTuple, TypeVar, TypeVarTuple, Unpack, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_STEPS = 20_000
"""Callbacks run without the clock moving: more are a busy loop."""


class Runaway(Exception):
    """The program spins, or waits for what never comes."""


class Process:
    """What dies together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True


_NOBODY = Process("nobody")
PROCESS: ContextVar[Process] = ContextVar("process", default=_NOBODY)


class _Ready(NamedTuple):
    handle: asyncio.Handle
    context: Context
    task: asyncio.Task[Any] | None
    """The task of which this is a step."""


class VirtualLoop(asyncio.BaseEventLoop):
    """``trace`` identifies the run; ``failures`` are the exceptions that nobody handled."""

    def __init__(self, seed: str) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.steps = 0
        self._rng = random.Random(seed)
        self._trace = hashlib.sha256()
        self._now = 0.0
        self._idle_at = 0  # the step at which the clock last moved
        self._soon: list[_Ready] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle, _Ready]] = []
        self._timer_count = 0
        self._burying = False
        self._failure: Exception | None = None
        self._frozen: list[_Ready] = []
        # Strong references in the order of creation: a task of a dead process is nobody else's.
        self._tasks: dict[asyncio.Task[Any], int] = {}
        factory: Any = self._make_task
        self.set_task_factory(factory)
        self.set_exception_handler(self._on_exception)

    # What asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(_Ready(handle, context, _task_of(callback)))
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        ready = _Ready(handle, context, _task_of(callback))
        heapq.heappush(self._timers, (when, self._timer_count, handle, ready))
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        raise Runaway("A thread was used inside the simulation.")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # it is dropped when its time comes

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], **options: Any
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(coro, loop=loop, **options)
        self._tasks[task] = len(self._tasks)
        return task

    def _on_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    # Running

    def _run_once(self) -> None:
        """One turn, in the place of BaseEventLoop's, which polls sockets."""
        if not self._soon:
            self._advance()
        batch, self._soon = self._soon, []
        for ready in self._shuffled(batch):
            if ready.handle.cancelled():
                continue
            process = ready.context.get(PROCESS, _NOBODY)
            if not (process.alive or self._burying):
                self._frozen.append(ready)
                continue
            self.steps += 1
            self.note(process.name, -1 if ready.task is None else self._tasks[ready.task])
            ready.handle._run()
        if self._failure is not None and not self._burying:
            raise self._failure
        if self.steps - self._idle_at > MAX_STEPS:
            raise Runaway(f"{MAX_STEPS} steps were run at the instant {self._now}.")

    def _advance(self) -> None:
        while self._timers and not self._soon:
            self._now = max(self._now, self._timers[0][0])
            self._idle_at = self.steps
            while self._timers and self._timers[0][0] <= self._now:
                *_, handle, ready = heapq.heappop(self._timers)
                if not handle.cancelled():
                    self._soon.append(ready)
        if not self._soon:
            raise Runaway("Everything waits, and nothing is due.")

    def _shuffled(self, batch: list[_Ready]) -> list[_Ready]:
        places = [index for index, ready in enumerate(batch) if ready.task is not None]
        # Sorted first: asyncio.TaskGroup cancels its tasks in the order of a set of addresses.
        steps = sorted((batch[index] for index in places), key=self._birth)
        self._rng.shuffle(steps)
        for index, ready in zip(places, steps, strict=True):
            batch[index] = ready
        return batch

    def _birth(self, ready: _Ready) -> int:
        return -1 if ready.task is None else self._tasks[ready.task]

    # For the simulation

    def fail(self, error: Exception) -> None:
        """End the run with ``error`` at this turn's end, whatever the program makes of it."""
        self._failure = self._failure or error

    def note(self, *what: object) -> None:
        """Make ``what`` part of the trace."""
        self._trace.update(repr((self._now, what)).encode())

    @property
    def trace(self) -> str:
        return self._trace.hexdigest()

    def spawn(
        self, process: Process, main: Callable[[], Coroutine[Any, Any, T]]
    ) -> asyncio.Task[T]:
        """Start ``main`` as the main task of ``process``."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context.run(lambda: self.create_task(main()))

    def defects(self, expected: Callable[[BaseException], bool]) -> list[str]:
        """What tasks ended with, if it was not expected, and what nobody caught."""
        found = list(self.failures)
        for task in self._tasks:
            if task.done() and not task.cancelled():
                error = task.exception()
                if error is not None and not expected(error):
                    found.append(f"{getattr(task.get_coro(), '__qualname__', 'a task')}: {error!r}")
        return found

    def simulate(self, main: Awaitable[T]) -> T:
        """Run ``main`` to its end, then everything else to its end, and close."""
        try:
            return self.run_until_complete(main)
        finally:
            self._bury()
            self.close()

    def _bury(self) -> None:
        """End what is left, the frozen included, so that nothing is destroyed pending."""
        self._burying = True
        self.set_exception_handler(lambda _loop, _context: None)
        self._soon.extend(self._frozen)
        with suppress(Runaway):
            for _round in range(100):
                left = [task for task in self._tasks if not task.done()]
                for task in left:
                    task.cancel()
                if not left:
                    break
                self.run_until_complete(asyncio.sleep(10))
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()  # marked as seen


def _task_of(callback: Callable[..., object]) -> asyncio.Task[Any] | None:
    owner = getattr(callback, "__self__", None)
    return cast("asyncio.Task[Any]", owner) if isinstance(owner, asyncio.Task) else None
