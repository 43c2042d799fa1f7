"""What tasting costs: acknowledgements of editors' updates with it and without it.

Run: ``python benchmarks/tasting.py``. Figures are ratios within one run, on one relay over memory
transports with a SQLite store on disk (synchronous=FULL). ``rooms`` are documents in which so many
people type.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from syncline.access.access import Principal
from syncline.engine.document.document import Document
from syncline.engine.errors import SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.environment import Environment
from syncline.relay.core import RelayCore
from syncline.relay.log.submission import Outcome, Submission
from syncline.stores import SqlStore

SECONDS = 3.0
WARM_UP = 0.5


async def typing(
    core: RelayCore, principal: Principal, writers: int, rooms: int
) -> tuple[float, float]:
    """Updates per second that are acknowledged, and the median of how long that takes."""
    began = time.perf_counter() + WARM_UP
    end = began + SECONDS
    waits: list[float] = []

    async def write(number: int) -> None:
        document = Document((1 << 40) + number)
        text = document.text("body")
        typed = 0
        while time.perf_counter() < end:
            text.insert(typed, "x")
            typed += 1
            (update,) = document.take_captured()
            sent = time.perf_counter()
            settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            entry = Entry(Address("pages", str(number % rooms)), update)
            await core.submit(
                Submission("bench", f"editor:{number}", (entry,), settle=settled.set_result),
                principal,
            )
            outcome = await settled
            if isinstance(outcome, SynclineError):
                raise outcome
            if sent > began:
                waits.append(time.perf_counter() - sent)

    await asyncio.gather(*(write(number) for number in range(writers)))
    return len(waits) / SECONDS, statistics.median(waits)


async def measured(
    folder: Path, principal: Principal, writers: int, rooms: int
) -> tuple[float, float]:
    store = SqlStore(folder / f"{principal.name} {writers} {rooms}.db")
    core = RelayCore(store, Environment())
    await core.open()
    try:
        return await typing(core, principal, writers, rooms)
    finally:
        await core.close()


async def main() -> None:
    trusted, stranger = Principal("trusted", trusted=True), Principal("stranger")
    with tempfile.TemporaryDirectory() as folder:
        for writers, rooms in ((1, 1), (10, 10), (100, 100), (100, 1)):
            rate, wait = await measured(Path(folder), trusted, writers, rooms)
            tasted_rate, tasted_wait = await measured(Path(folder), stranger, writers, rooms)
            print(
                f"{writers:4} writers, {rooms:3} rooms: "
                f"{rate:7,.0f} -> {tasted_rate:7,.0f} updates/s ({tasted_rate / rate:4.2f}x), "
                f"{1000 * wait:6.2f} -> {1000 * tasted_wait:6.2f} ms ({tasted_wait / wait:4.2f}x)"
            )


if __name__ == "__main__":
    asyncio.run(main())
