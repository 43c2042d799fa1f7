"""How long a replica holds the event loop at a stretch.

    python benchmarks/loop_holds.py [RECORDS ...]

For each number of records: a first sync from a relay, a catch-up after every record was edited
elsewhere, reading all rows with ``async for``, and opening again. A task that does nothing but to
come back every 5 ms notes the longest stretch between two of its turns: in seconds of the clock,
and in seconds of CPU time of the loop's thread, which other programs on the machine lengthen less.
Of both, how much Python's garbage collector took in one go, which looks through all that the whole
program has in memory.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from syncline import Record, Replica, SetOf, Text

SERVE = "from syncline.cli import main; main()"


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    notes: Text
    tags: SetOf[str]


class Ticker:
    """The longest stretches, while ``async with`` is open."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.collecting = 0.0
        self._begun = 0.0

    async def __aenter__(self) -> Ticker:
        gc.callbacks.append(self._collect)
        self._task = asyncio.create_task(self._tick())
        self._start = time.perf_counter()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        gc.callbacks.remove(self._collect)

    async def _tick(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.005)
            self.wall = max(self.wall, time.perf_counter() - wall - 0.005)
            self.cpu = max(self.cpu, time.thread_time() - cpu)

    def _collect(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._begun = time.thread_time()
        else:
            self.collecting = max(self.collecting, time.thread_time() - self._begun)


async def held(what: str, doing: Awaitable[object]) -> None:
    async with Ticker() as ticker:
        await doing
    print(
        f"  {what:12} {ticker.seconds:7.2f} s, longest hold {ticker.wall * 1000:6.1f} ms, "
        f"CPU {ticker.cpu * 1000:6.1f} ms, of a collection {ticker.collecting * 1000:6.1f} ms"
    )


async def edit(url: str, path: Path, count: int) -> None:
    """Create ``count`` records on another device, or edit them all."""
    async with Replica.open(path, models=[Contact], relay=url) as replica:
        contacts = replica.collection(Contact)
        keys = list(contacts.values("key"))
        for start in range(0, count, 500):
            with replica.transaction():
                for number in range(start, min(start + 500, count)):
                    if keys:
                        contacts[keys[number]].phone = "2"
                    else:
                        contacts.create(name=f"n {number}", phone="1", notes="hello", tags={"a"})
            await replica.flushed()
        await replica.synced()


async def serve(store: Path) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, "serve", "--port", "0", "--store", f"sqlite:///{store}"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        for word in line.split():
            if word.startswith("ws://"):
                return process, f"{word.rstrip('/')}/holds"
    raise SystemExit("the relay did not start")


async def measure(folder: Path, count: int) -> None:
    process, url = await serve(folder / "relay.db")
    try:
        await edit(url, folder / "a.db", count)
        print(f"{count:,} records")
        async with Replica.open(folder / "b.db", models=[Contact]) as replica:
            await replica.connect(url)
            await held("first sync", replica.synced())
            await replica.disconnect()
            await edit(url, folder / "a.db", count)
            await replica.connect(url)
            await held("catch-up", replica.synced())

            async def read() -> int:
                return len([row async for row in replica.collection(Contact).rows()])

            await held("rows()", read())

        async def reopen() -> None:
            async with Replica.open(folder / "b.db", models=[Contact]) as replica:
                assert len(replica.collection(Contact)) == count

        await held("opening", reopen())
    finally:
        process.terminate()
        await process.wait()


async def main() -> None:
    for count in [int(argument) for argument in sys.argv[1:]] or [20_000, 100_000]:
        with tempfile.TemporaryDirectory() as folder:
            await measure(Path(folder), count)


if __name__ == "__main__":
    asyncio.run(main())
