"""A relay with 1,000 replicas is killed and started again: when are all back and up to date?

Run: ``python benchmarks/reconnect_storm.py [REPLICAS]``. One ``syncline serve`` with a SQLite
store, real websockets, and the sessions of the replicas in this one process: they keep cursor and
outbox and wait as a replica does before they connect again, but hold no documents, for which one
process would not do. While the relay is away each makes a change, so each has something to send
and everything to get.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from syncline.engine.document.document import Document
from syncline.engine.errors import SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import Entry, Push
from syncline.engine.protocol.replica_session import (
    Acknowledged,
    Advanced,
    Missed,
    ReplicaSession,
    Rewind,
    UpdatesReceived,
    Welcomed,
)
from syncline.replica.sync.conversation import HANDSHAKE_SECONDS
from syncline.replica.sync.link import backoff_seconds
from syncline.transports import Transport, connect_websocket
from syncline.transports.tasks import until_first_failure

DOCUMENTS = 100
PATIENCE = 300.0
AWAY_SECONDS = 5.0
"""Long enough that the replicas have spread over their back-off."""


class Device:
    """A replica without documents: its identity, its outbox, its cursor, its connection."""

    def __init__(self, number: int, url: str, rng: random.Random) -> None:
        self.cursor = 0
        self.acknowledged = 0
        self.outbox: list[bytes] = []
        self.attempts = 0
        self.failures = Counter[str]()
        self.changed = asyncio.Event()
        self._number = number
        self._url = url
        self._rng = rng
        self._relay: str | None = None
        self._document = Document(2**40 + number)
        self._wake = asyncio.Event()

    def write(self) -> None:
        """One change of one document, into the outbox."""
        self._document.text("body").insert(0, f"{self._number} ")
        address = Address("items", str(self._number % DOCUMENTS))
        (update,) = self._document.take_captured()
        frame = encode(Push(len(self.outbox) + 1, (Entry(address, update),)))
        assert isinstance(frame, bytes)
        self.outbox.append(frame)
        self._wake.set()

    async def up_to_date(self, head: int) -> None:
        """Return when the relay has all of our changes, and we its first ``head``."""
        while self.acknowledged < len(self.outbox) or self.cursor < head:
            self.changed.clear()
            await self.changed.wait()

    async def run(self) -> None:
        """Stay connected, as syncline/replica/sync/link.py does."""
        failed = 0
        while True:
            self.attempts += 1
            before = self.cursor, self.acknowledged
            try:
                transport = await connect_websocket(self._url)
                try:
                    await self._converse(transport)
                finally:
                    await transport.close()
            except (SynclineError, TimeoutError) as error:
                self.failures[f"{type(error).__name__}"] += 1
            failed = 0 if (self.cursor, self.acknowledged) != before else failed + 1
            await asyncio.sleep(backoff_seconds(failed, self._rng))

    async def _converse(self, transport: Transport) -> None:
        session = ReplicaSession(
            workspace="crm",
            replica=f"{self._number:032x}",
            client_id=2**40 + self._number,
            cursor=self.cursor,
            acknowledged=self.acknowledged,
            relay=self._relay,
        )
        session.start()
        await until_first_failure(self._receive(transport, session), self._send(transport, session))

    async def _receive(self, transport: Transport, session: ReplicaSession) -> None:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            self._take(await transport.receive(), session)
        while True:
            self._take(await transport.receive(), session)

    def _take(self, frame: str | bytes, session: ReplicaSession) -> None:
        for event in session.receive(frame):
            match event:
                case Welcomed(relay):
                    self._relay = relay
                case UpdatesReceived(since, cursor) | Advanced(since, cursor):
                    if since <= self.cursor:
                        self.cursor = max(self.cursor, cursor)
                    else:
                        session.resume(self.cursor)
                case Acknowledged(batch):
                    self.acknowledged = batch
                case Missed() | Rewind():
                    raise AssertionError("a websocket loses nothing")
                case _:
                    pass
        session.cursor = self.cursor
        self._wake.set()
        self.changed.set()

    async def _send(self, transport: Transport, session: ReplicaSession) -> None:
        pushed = self.acknowledged
        while True:
            self._wake.clear()
            if session.window_open and pushed < len(self.outbox):
                pushed += 1
                session.push(pushed, self.outbox[pushed - 1])
            frames = session.frames_to_send()
            for frame in frames:
                await transport.send(frame)
            if not frames:
                await self._wake.wait()


class Storm:
    """The devices of one workspace. ``head`` counts their changes: the relay's last seq."""

    def __init__(self, devices: list[Device]) -> None:
        self.devices = devices
        self.head = 0

    def write(self) -> None:
        """One change by each device."""
        for device in self.devices:
            device.write()
        self.head += len(self.devices)

    async def all_up_to_date(self) -> float:
        """Return when each device has sent everything and has everything; how long it took."""
        begun = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(device.up_to_date(self.head) for device in self.devices))
        return time.perf_counter() - begun

    @property
    def attempts(self) -> int:
        """Connections tried so far."""
        return sum(device.attempts for device in self.devices)


@asynccontextmanager
async def storm(url: str, count: int, seed: int = 1) -> AsyncGenerator[Storm]:
    """``count`` devices that connect to ``url`` until the block ends."""
    made = Storm([Device(n, url, random.Random(f"{seed} {n}")) for n in range(count)])
    running = [asyncio.create_task(device.run()) for device in made.devices]
    try:
        yield made
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    for task in running:
        if not task.cancelled():
            task.result()


# The relay's process


@dataclass(slots=True)
class Served:
    """``syncline serve`` on one store and one port."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from syncline.cli import main; main()", "serve"),
            *("--store", f"sqlite:///{self.folder / 'relay.db'}", "--port", str(self.port)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        while b"Stop with" not in (line := await self.process.stdout.readline()):
            assert line, "serve ended early"

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.communicate()

    def usage(self) -> tuple[float, int]:
        """Seconds of CPU, and the peak of resident memory in MiB, so far."""
        assert self.process is not None
        proc = Path(f"/proc/{self.process.pid}")
        times = proc.joinpath("stat").read_text().rpartition(")")[2].split()
        peak = re.search(r"VmHWM:\s+(\d+)", proc.joinpath("status").read_text())
        assert peak
        ticks = int(times[11]) + int(times[12])
        return ticks / os.sysconf("SC_CLK_TCK"), int(peak[1]) >> 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def main(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        relay = Served(Path(folder), free_port())
        await relay.start()
        _, idle = relay.usage()
        async with storm(f"ws://127.0.0.1:{relay.port}/crm", count) as devices:
            devices.write()
            seconds = await devices.all_up_to_date()
            cpu, peak = relay.usage()
            print(
                f"{count} replicas connect, each with a change: {seconds:.1f} s, "
                f"relay CPU {cpu:.1f} s, peak {peak} MiB ({idle} MiB before)"
            )
            tried = devices.attempts
            await relay.kill()
            devices.write()
            await asyncio.sleep(AWAY_SECONDS)
            await relay.start()
            seconds = await devices.all_up_to_date()
            cpu, peak = relay.usage()
            print(
                f"killed, away for {AWAY_SECONDS:g} s, started again, each with a change: all up "
                f"to date after {seconds:.1f} s, {devices.attempts - tried} attempts, "
                f"relay CPU {cpu:.1f} s, peak {peak} MiB"
            )
            failures = sum((device.failures for device in devices.devices), Counter[str]())
            print(f"what ended connections: {dict(failures)}")
        await relay.kill()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
