"""The owner of a replica: the one thread that may use it, until it closes."""

from __future__ import annotations

import asyncio
import threading

from syncline.engine.errors import ReplicaClosed, SynclineError, WrongThread

NOBODY = 0
"""The identity of no thread."""


class Owner:
    """The thread that makes this object.

    Documents, and all that stands around them, belong to one thread, and nothing in them is locked.
    So the doors of a replica compare ``thread`` with ``threading.get_ident()``, and raise what
    ``refusal`` gives when they differ. That is cheap enough for every reading of a field.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self._name = threading.current_thread().name
        self._loop = _running_loop()

    def check(self) -> None:
        """Raises WrongThread in any other thread, ReplicaClosed after ``close``."""
        if threading.get_ident() != self.thread:
            raise self.refusal()

    def check_waiting(self) -> None:
        """Raises what ``check`` does, and ReplicaClosed in any other event loop than that of the
        opening: nothing that is waited for would come there."""
        self.check()
        if _running_loop() is not self._loop:
            raise ReplicaClosed(
                "The replica was opened in another event loop than the one that waits for it.",
                hint="Open, use and close it in one asyncio.run(…), or one asyncio.Runner.",
            )

    def close(self) -> None:
        """From now on nobody may use the replica."""
        self.thread = NOBODY

    def refusal(self) -> SynclineError:
        """Why the calling thread may not use the replica."""
        if self.thread == NOBODY:
            return ReplicaClosed(
                "The replica is closed.",
                hint="Use its records and documents inside `async with Replica.open(…)`.",
            )
        return WrongThread(
            f"The replica was opened in the thread {self._name!r}, and this call comes from "
            f"{threading.current_thread().name!r}.",
            hint="Have the call made in the replica's own thread, with "
            "loop.call_soon_threadsafe(…), or asyncio.run_coroutine_threadsafe(…, loop).result() "
            "for its result; `loop` is asyncio.get_running_loop() where the replica is opened.",
        )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
