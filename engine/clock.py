"""The hybrid logical clock that orders concurrent writes of one register.

Source: Kulkarni et al., "Logical Physical Clocks" (2014). A stamp is one integer of at most 53
bits, exact in JavaScript too: milliseconds since the Unix epoch in the upper 42 bits (until the
year 2109), a counter in the lower 11. A full counter carries into the milliseconds, so stamps of
one clock always rise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

COUNTER_BITS = 11
MAX_STAMP = (1 << 53) - 1
MAX_DRIFT_MS = 5 * 60 * 1000
"""How far ahead of our own wall clock a peer's stamp may pull ours."""

Milliseconds: TypeAlias = Callable[[], int]
"""A wall clock: milliseconds since the Unix epoch."""


class HybridClock:
    """Issues stamps that rise, and that follow what was seen from others.

    ``last`` is the highest stamp issued or followed; whoever keeps the clock across restarts
    persists it, so that a wall clock that was set back never makes stamps repeat.
    """

    def __init__(self, now: Milliseconds, last: int = 0) -> None:
        self._now = now
        self.last = last
        self.skew_ms = 0
        """The furthest that a peer's stamp was ahead of our wall clock beyond MAX_DRIFT_MS."""

    def tick(self) -> int:
        """Return a stamp higher than every stamp issued or followed so far."""
        self.last = max(self.last + 1, self._now() << COUNTER_BITS)
        return self.last

    def follow(self, stamp: int) -> None:
        """Learn a stamp seen from another writer.

        A stamp more than MAX_DRIFT_MS ahead is clamped, so that one wrong device does not drag
        everyone's time along; ``skew_ms`` reports it.
        """
        if stamp <= self.last:
            return
        latest = (self._now() + MAX_DRIFT_MS) << COUNTER_BITS
        if stamp > latest:
            self.skew_ms = max(self.skew_ms, (stamp - latest) >> COUNTER_BITS)
            stamp = latest
        self.last = max(self.last, stamp)
