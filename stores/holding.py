"""A store is taken and let go, whatever becomes of the task that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from .base import Store


class Holding:
    """Whether this program has opened ``store``: the same one may be open for another.

    To be used on the thread that makes the store's calls, so that an opening whose task was
    cancelled has ended, one way or the other, when the store is let go.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held = False

    def take(self) -> None:
        """Open the store. Raises what that raises."""
        self._store.open()
        self._held = True

    def let_go(self) -> None:
        """Close it, if ``take`` opened it."""
        held, self._held = self._held, False
        if held:
            self._store.close()


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await ``work`` until it has ended, also when the awaiting task is cancelled meanwhile.

    Cancellation is raised afterwards; what ``work`` raised is then its context.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        task.result()
    finally:
        if cancelled is not None:
            raise cancelled
