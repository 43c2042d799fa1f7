"""What catching up costs: a replica with many records comes back after few of them have changed.

    python benchmarks/catchup.py [RECORDS ...]

For each number of records: how many payload bytes the changes are, how many the relay sends, what
CPU time that takes it, and how long opening the replica takes. The relay is a process of its own,
whose CPU time the kernel counts; nothing else runs in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from syncline import Record, Replica, Text, col
from syncline.engine.protocol.codec import decode
from syncline.engine.protocol.messages import Updates
from syncline.environment import Environment
from syncline.transports import Frame, Transport, connect_websocket

CHANGED = 100
SERVE = "from syncline.cli import main; main()"


class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    notes: Text


class Counted:
    """A transport that counts what comes: bytes of frames, and of the updates in them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.received = 0
        self.payload = 0

    @property
    def peer(self) -> str:
        return self._transport.peer

    async def send(self, frame: Frame) -> None:
        await self._transport.send(frame)

    async def receive(self) -> Frame:
        frame = await self._transport.receive()
        self.received += len(frame)
        message = decode(frame)
        if isinstance(message, Updates):
            self.payload += sum(len(entry.update) for entry in message.entries)
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.close(code, reason)


@contextlib.asynccontextmanager
async def relay(store: Path) -> AsyncGenerator[tuple[int, str]]:
    """A relay process: its process id and its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, "serve", "--port", "0", "--store", f"sqlite:///{store}"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = ""
    while not url:
        line = (await process.stdout.readline()).decode()
        url = next((word for word in line.split() if word.startswith("ws://")), "")
    try:
        yield process.pid, url
    finally:
        process.terminate()
        await process.communicate()


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(records: int, folder: Path) -> None:
    async with relay(folder / "relay.db") as (pid, url):
        address = f"{url}/crm"
        async with Replica.open(folder / "a.db", models=[Contact], relay=address) as ada:
            contacts = ada.collection(Contact)
            for number in range(records):
                contacts.create(key=f"{number:07}", name=f"Person {number}", notes="Called back.")
                if number % 5000 == 4999:
                    await ada.synced()
            await ada.synced()
            async with Replica.open(folder / "b.db", models=[Contact], relay=address) as bob:
                await bob.synced()
            changes = 0
            for number in range(0, records, records // CHANGED):
                record = contacts[f"{number:07}"]
                before = _size(folder / "a.db")
                record.phone = f"+44 20 7946 {number % 10000:04}"
                await ada.flushed()
                changes += _size(folder / "a.db") - before
            await ada.synced()
            await _come_back(folder / "b.db", address, pid, records, changes)


def _size(path: Path) -> int:
    """The bytes of all updates in a store's log."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        (size,) = database.execute("SELECT sum(size) FROM syncline_documents").fetchone()
    return int(size)


async def _come_back(store: Path, url: str, pid: int, records: int, changes: int) -> None:
    counted: list[Counted] = []

    async def connect(to: str) -> Transport:
        counted.append(Counted(await connect_websocket(to)))
        return counted[-1]

    before = time.perf_counter()
    async with Replica.open(
        store, models=[Contact], environment=Environment(connect=connect)
    ) as bob:
        opened = time.perf_counter() - before
        used = cpu_seconds(pid)
        await bob.connect(url)
        await bob.synced()
        used = cpu_seconds(pid) - used
        phones = bob.collection(Contact).where(col(Contact.phone).is_not(None)).count()
        assert phones == CHANGED, phones
    (link,) = counted
    print(
        f"{records:>9,} records: {CHANGED} changes of {changes:,} bytes, sent as "
        f"{link.payload:,} ({link.payload / changes:.2f}x) in {link.received:,} bytes of frames; "
        f"relay CPU {used * 1000:.0f} ms; opening the replica {opened:.2f} s"
    )


async def main() -> None:
    for records in [int(each) for each in sys.argv[1:]] or [10_000, 100_000]:
        with tempfile.TemporaryDirectory() as folder:
            await measure(records, Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
