"""Who makes snapshots: a process of its own, or a thread of this one.

A relay does not trust what it stores. A document made to hang or to crash the CRDT library does so
to whoever reads its content, and the library holds Python's lock while it works, so a relay has a
process beside it read documents (opener/): a hanging one is ended after a while, and the commits
go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from syncline.engine.errors import SnapshotRefused
from syncline.engine.history.snapshot import make_snapshot

from .opener.outcomes import SNAPSHOT
from .opener.process import Opener, OpenerEnded, OpenerRefused, OpenerUnavailable

if TYPE_CHECKING:
    from syncline.stores import StoreCalls

PATIENCE_SECONDS = 60
"""How long one snapshot may take; a log of 5 MB in 100,000 updates takes 8 seconds."""
_LOOK_SECONDS = 0.05


class Snapshots(Protocol):
    """Makes snapshots, one at a time."""

    async def make(self, updates: tuple[bytes, ...], state_vector: bytes) -> bytes | None:
        """As ``syncline.engine.history.snapshot.make_snapshot``."""
        ...

    async def close(self) -> None:
        """Let go of what it needs for that; ``make`` takes hold of it again."""
        ...


class SnapshotThread:
    """Makes them in this process: for a replica, which reads its documents anyway."""

    def __init__(self, store_thread: StoreCalls) -> None:
        self._store_thread = store_thread

    async def make(self, updates: tuple[bytes, ...], state_vector: bytes) -> bytes | None:
        return await self._store_thread(make_snapshot, updates, state_vector)

    async def close(self) -> None:
        """Its thread is its maker's to close."""


class SnapshotProcess:
    """Makes them in a process that starts with the first one and ends with ``close``."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._opener = Opener(patience)

    async def make(self, updates: tuple[bytes, ...], state_vector: bytes) -> bytes | None:
        asking = asyncio.create_task(
            asyncio.to_thread(self._opener.ask, SNAPSHOT, state_vector, *updates)
        )
        try:
            made = await asyncio.shield(asking)
        except asyncio.CancelledError:
            while not asking.done():  # the process may be just about to start
                self._opener.kill()
                await asyncio.wait((asking,), timeout=_LOOK_SECONDS)
            asking.exception()
            raise
        except OpenerRefused as error:
            raise SnapshotRefused(
                str(error), hint="Nothing was changed; look at the disk if updates are missing."
            ) from None
        except (OpenerEnded, OpenerUnavailable) as error:
            raise SnapshotRefused(
                f"The log is not compacted: {error}.",
                hint="The document may have been made to harm its readers; nothing was changed.",
            ) from error
        return made[0] if made else None

    async def close(self) -> None:
        self._opener.kill()
