"""Blocking store calls from an asyncio program, or at once in a simulation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, ParamSpec, Protocol, TypeVar

from syncline.engine.errors import LimitExceeded, StoreError

_P = ParamSpec("_P")
_T = TypeVar("_T")

MAX_WAITING = 10_000
"""Calls that may wait for the thread, those that were cancelled meanwhile included."""


class StoreCalls(Protocol):
    """Makes blocking calls one after the other, in the order in which they were asked for.

    ``await run(function, *args, **kwargs)`` gives the function's result or raises its exception.
    """

    async def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...

    def wait(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """The same without ``await``: blocks the caller until its turn has come and passed."""
        ...

    async def close(self, last: Callable[[], object] | None = None) -> None:
        """Wait for every call asked for so far; no more are taken. Closing twice is allowed.

        ``last`` is called after them, and for sure: cancelling the awaiting task does not keep it
        from that. Raises what it raises.
        """
        ...


class InlineCalls:
    """Makes each call at once, where it is awaited: for simulations."""

    def __init__(self) -> None:
        self._closed = False

    async def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Raises what ``function`` raises, and StoreError after ``close``."""
        return self.wait(function, *args, **kwargs)

    def wait(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._closed:
            raise _closed()
        return function(*args, **kwargs)

    async def close(self, last: Callable[[], object] | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        if last is not None:
            last()


@dataclass(slots=True, eq=False)
class _Call:
    """A call for which somebody waits, blocked."""

    function: Callable[[], Any]
    result: Any = None
    error: BaseException | None = None
    made: threading.Event = field(default_factory=threading.Event)

    @property
    def cancelled(self) -> bool:
        return False

    def settle(self) -> None:
        """Wake who waits, from the thread."""
        self.made.set()

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


@dataclass(slots=True, eq=False, kw_only=True)
class _AwaitedCall(_Call):
    """A call that a task awaits."""

    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    certain: bool
    """Whether it is made although nobody awaits it any more."""

    @property
    def cancelled(self) -> bool:
        return self.done.cancelled() and not self.certain

    def settle(self) -> None:
        with suppress(RuntimeError):  # its event loop was closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if not self.done.cancelled():
            self.done.set_result(None)


class StoreThread:
    """Makes the calls on a thread of its own: from the first one on, until ``close``.

    Cancelling the awaiting task never interrupts a call: one that runs, runs to its end, and its
    result is dropped; one that still waits does not begin. To be used from one event loop.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Raises what ``function`` raises, StoreError after ``close``, and LimitExceeded while
        MAX_WAITING calls wait."""
        self._check_open()
        call = self._await(lambda: function(*args, **kwargs))
        await call.done
        result: _T = call.outcome()
        return result

    def wait(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Raises as a call that is awaited does."""
        self._check_open()
        call = _Call(lambda: function(*args, **kwargs))
        self._submit(call)
        call.made.wait()
        result: _T = call.outcome()
        return result

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()
        if self._calls.qsize() >= MAX_WAITING:
            raise LimitExceeded(
                f"{MAX_WAITING} calls wait for the store already.",
                hint="The disk cannot keep up or hangs; try again when it has caught up.",
                retry_after=1.0,
            )

    async def close(self, last: Callable[[], object] | None = None) -> None:
        """Wait for every call asked for so far, call ``last``, and end the thread."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None and last is None:
            return
        call = self._await(last or _nothing, certain=True)
        self._calls.put(None)
        await call.done
        if self._thread is not None:
            self._thread.join()  # at once: it has nothing else to do
        call.outcome()

    def _await(self, function: Callable[[], Any], *, certain: bool = False) -> _AwaitedCall:
        loop = asyncio.get_running_loop()
        call = _AwaitedCall(function, loop=loop, done=loop.create_future(), certain=certain)
        self._submit(call)
        return call

    def _submit(self, call: _Call) -> None:
        if self._thread is None:
            # A daemon: a program that never closes it can end. A write that dies with it was not
            # acknowledged, and is rolled back.
            thread = threading.Thread(target=self._work, name="syncline-store", daemon=True)
            thread.start()  # may fail, and then there is none
            self._thread = thread
        self._calls.put(call)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if call.cancelled:
                continue
            try:
                call.result = call.function()
            except BaseException as error:  # noqa: BLE001  it belongs to the awaiting task
                call.error = error
            call.settle()
            del call  # hold neither a result nor an error while waiting for the next one


def _nothing() -> None:
    pass


def _closed() -> StoreError:
    return StoreError(
        "The store thread is closed.", hint="Make every store call before closing it."
    )
