"""Garbage collections that do not hold up the relay.

A full collection looks at every object that there is, which takes a relay with 50,000 documents in
its caches a fifth of a second each time, and meanwhile nobody is acknowledged anything. Nearly all
of these objects are still in use the next time. So what survives a full collection is left out of
the next ones, but for one that looks at everything now and then.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

LOOK_AT_ALL_SECONDS = 600.0
"""How often a full collection looks at what survived earlier ones."""


class QuietCollector:
    """One of ``gc.callbacks``. ``now`` gives seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._looked_at = now()

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < 2:
            return
        if phase == "stop":
            gc.freeze()
        elif self._now() - self._looked_at >= LOOK_AT_ALL_SECONDS:
            self._looked_at = self._now()
            gc.unfreeze()


@contextmanager
def quiet_collections(now: Callable[[], float] = time.monotonic) -> Generator[None]:
    """Collect like this within the block; what is there at its beginning is left out at once."""
    collector = QuietCollector(now)
    gc.callbacks.append(collector)
    try:
        gc.collect()
        yield
    finally:
        gc.callbacks.remove(collector)
        gc.unfreeze()
