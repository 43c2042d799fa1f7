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
"""How far ahead of our time a peer's stamp may pull ours, and our wall clock may be off the
reference."""

Milliseconds: TypeAlias = Callable[[], int]
"""A wall clock: milliseconds since the Unix epoch."""


class HybridClock:
    """Issues stamps that rise, and that follow what was seen from others.

    ``last`` is the highest stamp issued or followed; whoever keeps the clock across restarts
    persists it, so that a wall clock that was set back by a little makes no stamp a second time.
    """

    def __init__(self, now: Milliseconds, last: int = 0) -> None:
        self._now = now
        self.last = last
        self.skew_ms = 0
        """The furthest that a stamp of somebody else was ahead beyond MAX_DRIFT_MS."""
        self.offset_ms = 0
        """How far our wall clock is ahead of the reference, negative if behind; 0 within
        MAX_DRIFT_MS."""

    def now(self) -> int:
        """The time, in milliseconds since the Unix epoch: that of our wall clock, or of the
        reference where they differ by more than MAX_DRIFT_MS."""
        return min(max(self._now() - self.offset_ms, 0), MAX_STAMP >> COUNTER_BITS)

    def compare(self, reference: int) -> None:
        """Learn the time of a clock that all writers can ask, in milliseconds since the epoch."""
        offset = self._now() - reference
        self.offset_ms = offset if abs(offset) > MAX_DRIFT_MS else 0

    def tick(self) -> int:
        """Return a stamp higher than every one issued or followed so far.

        But for those that are more than twice MAX_DRIFT_MS ahead, once for following and once for a
        wall clock that was set back: they came of a clock that was wrong.
        """
        if self.last > self.latest + (MAX_DRIFT_MS << COUNTER_BITS):
            self.last = 0
        self.last = min(max(self.last + 1, self.now() << COUNTER_BITS), MAX_STAMP)
        return self.last

    def follow(self, stamp: int) -> None:
        """Learn a stamp seen from another writer.

        A stamp more than MAX_DRIFT_MS ahead is clamped, so that one wrong device does not drag
        everyone's time along; ``skew_ms`` reports it.
        """
        if stamp > self.last:
            self.observe(stamp)
            self.last = max(self.last, min(stamp, self.latest))

    def observe(self, stamp: int) -> None:
        """Report in ``skew_ms`` a stamp that is too far ahead; it changes nothing else."""
        ahead = stamp - self.latest
        if ahead > 0:
            self.skew_ms = max(self.skew_ms, ahead >> COUNTER_BITS)

    @property
    def latest(self) -> int:
        """The highest stamp that another clock, which may be off by MAX_DRIFT_MS, makes by now."""
        return min((self.now() + MAX_DRIFT_MS) << COUNTER_BITS, MAX_STAMP)
