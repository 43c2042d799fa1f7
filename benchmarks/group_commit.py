"""What group commit is worth: acknowledged batches per second, many writers against one.

Run: ``python benchmarks/group_commit.py``. Figures are ratios within one run, on one relay over
memory transports with a SQLite store on disk (synchronous=FULL).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from syncline.engine.document.document import Document
from syncline.engine.errors import SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.relay.log.committer import Committer
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.submission import Outcome, PushedBatch
from syncline.stores import SqlStore, StoreThread

SECONDS = 2.0


async def acknowledged(writers: int, folder: Path) -> float:
    """Batches per second that ``writers`` get acknowledged, each waiting for its last one."""
    store = SqlStore(folder / f"{writers}.db")
    run = StoreThread()
    await run(store.open)
    committer = Committer(Ledger(store), run, lambda committed: None)
    task = asyncio.create_task(committer.run())
    stop = time.perf_counter() + SECONDS
    counts = await asyncio.gather(*(write(committer, number, stop) for number in range(writers)))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await run(store.close)
    await run.close()
    return sum(counts) / SECONDS


async def write(committer: Committer, number: int, stop: float) -> int:
    document = Document((1 << 40) + number)
    text = document.text("body")
    batch = 0
    while time.perf_counter() < stop:
        text.insert(0, "x")
        (update,) = document.take_captured()
        batch += 1
        settled = asyncio.Event()

        def settle(outcome: Outcome, settled: asyncio.Event = settled) -> None:
            if isinstance(outcome, SynclineError):
                raise outcome
            settled.set()

        entry = Entry(Address("notes", str(number)), update)
        await committer.submit(
            PushedBatch("bench", f"{number:032x}", (entry,), batch, bytes(32), settle=settle)
        )
        await settled.wait()
    return batch


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        alone = await acknowledged(1, Path(folder))
        print(f"{1:5} writer   {alone:9,.0f} batches/s    1.0x")
        for writers in (10, 100, 1000):
            rate = await acknowledged(writers, Path(folder))
            print(f"{writers:5} writers  {rate:9,.0f} batches/s  {rate / alone:5.1f}x")


if __name__ == "__main__":
    asyncio.run(main())
