"""Whether the event loop turns while a program writes."""

from __future__ import annotations

import asyncio

HELD_SECONDS = 1.0


class LoopTurns:
    """How long the loop in which this object is made has not turned since something changed.

    By the loop's own clock, which in a simulation stands still between two turns.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None

    def changed(self) -> None:
        """Something waits for the loop to turn."""
        if self._since is None:
            self._since = self._loop.time()
            self._loop.call_soon(self._turned)

    def _turned(self) -> None:
        self._since = None

    def is_held(self) -> bool:
        """Whether it has waited for HELD_SECONDS; then the time begins anew."""
        if self._since is None or (now := self._loop.time()) - self._since < HELD_SECONDS:
            return False
        self._since = now
        return True
