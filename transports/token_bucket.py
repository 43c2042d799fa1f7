"""A token bucket: so much a second in the long run, and more at once now and then."""

from __future__ import annotations


class TokenBucket:
    """Holds up to ``burst`` tokens, and gets ``rate`` new ones each second. One may take more than
    there are, and is in debt then. Times are seconds of a clock that does not go back."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = float("-inf")

    def take(self, tokens: float, now: float) -> float:
        """Take tokens; returns after how many seconds the debt is paid, 0 if there is none."""
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate) - tokens
        self._at = now
        return max(0.0, -self._tokens / self.rate)

    def spend(self, tokens: float, now: float) -> bool:
        """Take tokens if there are enough; whether there were."""
        missing = self.take(tokens, now) > 0
        if missing:
            self._tokens += tokens
        return not missing

    @property
    def debt(self) -> float:
        """By how much too many were taken, the last time that any were."""
        return max(0.0, -self._tokens)
