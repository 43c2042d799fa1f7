"""What a replica or a relay takes from the world around it. A simulation passes its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from syncline.engine.clock import Milliseconds
from syncline.stores import StoreCalls, StoreThread
from syncline.transports import Connect, connect_websocket
from syncline.upkeep.opener.inline import DocumentOpener
from syncline.upkeep.opener.process import Opener
from syncline.upkeep.snapshots import SnapshotProcess, Snapshots


def wall_clock() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Environment:
    """``now`` is the wall clock, ``rng`` draws identities and jitter, ``connect`` opens transports,
    ``store_thread`` makes what runs the blocking store calls, ``snapshots`` what reads documents
    for a relay, which does not trust them, and ``opener`` what opens them for anything else, each
    time for so many seconds at most."""

    now: Milliseconds = wall_clock
    rng: random.Random = field(default_factory=random.SystemRandom)
    connect: Connect = connect_websocket
    store_thread: Callable[[], StoreCalls] = StoreThread
    snapshots: Callable[[], Snapshots] = SnapshotProcess
    opener: Callable[[float], DocumentOpener] = Opener
