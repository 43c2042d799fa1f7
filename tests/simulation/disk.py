"""Disks that survive their process, and that fail or kill it at a commit."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from syncline.engine.errors import StoreFailed
from syncline.stores import MemoryStore, Write

from .loop import PROCESS, Process

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Crash(BaseException):
    """The process dies here."""


@dataclass(frozen=True, slots=True)
class DiskFaults:
    """Probabilities per commit; ``latency`` is the longest time in seconds of half a call."""

    crash_before: float = 0.0
    crash_after: float = 0.0
    fail: float = 0.0
    latency: float = 0.0


class Disk(MemoryStore):
    """The one disk of a relay or a device. ``on_commit`` sees every commit at its instant."""

    def __init__(self, rng: random.Random, on_commit: Callable[[Sequence[Write]], None]) -> None:
        super().__init__()
        self.faults = DiskFaults()
        self.rng = rng
        self._on_commit = on_commit
        self.open()

    def close(self) -> None:
        """The world looks at it at any time."""

    def become(self, other: MemoryStore) -> None:
        """Take over the content of another one, as restoring or copying a file does."""
        self._workspaces = other.copy()._workspaces

    def write(self, writes: Sequence[Write]) -> list[int]:
        fate = self.rng.random()
        faults = self.faults
        if fate < faults.crash_before:
            raise Crash
        if fate > 1 - faults.fail:
            raise StoreFailed("The disk is full.", hint="Free some space.", retry_after=0.5)
        heads = super().write(writes)
        self._on_commit(writes)
        if fate < faults.crash_before + faults.crash_after:
            raise Crash
        return heads


@dataclass(slots=True)
class _Call:
    function: Callable[[], Any]
    done: asyncio.Future[Any]


class SlowRun:
    """StoreCalls as StoreThread makes them, in virtual time: one after the other. Each takes a
    while before and after its effect, and begins or not, but is never interrupted."""

    def __init__(self, disk: Disk, die: Callable[[Process], None]) -> None:
        self._disk = disk
        self._die = die
        self._calls: deque[_Call] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def __call__(
        self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        assert not self._closed, "a store call after the store thread was closed"
        result: _T = await self._submit(lambda: function(*args, **kwargs))
        return result

    def wait(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        assert not self._closed, "a store call after the store thread was closed"
        return function(*args, **kwargs)  # no virtual time passes for who blocks

    async def close(self, last: Callable[[], object] | None = None) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.shield(self._submit(last or (lambda: None)))

    def _submit(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        call = _Call(function, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return call.done

    async def _work(self) -> None:
        while self._calls:
            call = self._calls.popleft()
            if call.done.cancelled():
                continue
            await self._pause()
            result, error = await self._make(call)
            await self._pause()
            if call.done.cancelled():
                continue
            if error is None:
                call.done.set_result(result)
            else:
                call.done.set_exception(error)

    async def _make(self, call: _Call) -> tuple[Any, Exception | None]:
        try:
            return call.function(), None
        except Crash:
            self._die(PROCESS.get())
            await asyncio.get_running_loop().create_future()  # the dead do not go on
            raise
        except Exception as error:  # noqa: BLE001  it belongs to the awaiting task
            return None, error

    async def _pause(self) -> None:
        await asyncio.sleep(self._disk.rng.uniform(0, self._disk.faults.latency))
