"""An opener that is no process: for simulations, in which one seed gives one run."""

from __future__ import annotations

from typing import Protocol

from syncline.engine.errors import SynclineError

from .process import OpenerRefused
from .tasks import tasks


class DocumentOpener(Protocol):
    """What opens documents for a relay, as ``Opener`` does."""

    starts: int

    @property
    def running(self) -> bool: ...

    def start(self) -> None: ...

    def ask(self, task: bytes, *parts: bytes) -> list[bytes]: ...

    def kill(self) -> None: ...


class InlineOpener:
    """Does at once, in this process, what an ``Opener`` has its process do."""

    def __init__(self, _patience: float = 0.0) -> None:
        self._parts: list[bytes] = []
        self._tasks = tasks(self._parts.append)
        self.starts = 1

    @property
    def running(self) -> bool:
        return True

    def start(self) -> None: ...

    def ask(self, task: bytes, *parts: bytes) -> list[bytes]:
        """Raises OpenerRefused."""
        self._parts.clear()
        try:
            answer = self._tasks[task](parts)
        except SynclineError as error:
            raise OpenerRefused(error.message) from error
        return [*self._parts, *answer]

    def kill(self) -> None: ...
