"""A device: its disk, its clock, its user, and the replica that dies and comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from syncline import Replica
from syncline.engine.errors import SynclineError
from syncline.engine.protocol.messages import Message
from syncline.environment import Environment
from syncline.stores import Write
from syncline.testing.network import MemoryNetwork
from syncline.transports import Transport
from syncline.upkeep.compaction import CompactionPolicy
from tests.replica.models import Contact, Draft

from .actions import Editor
from .disk import Disk, SlowRun
from .handshake import DeviceTransport
from .loop import Process
from .marks import Marks

URL = "ws://relay/crm"
MODELS = (Contact, Draft)
# So that it happens all the time.
COMPACTION = CompactionPolicy(min_bytes=300, min_updates=3)
EPOCH_MS = 1_800_000_000_000


class Device:
    """``replica`` is the one that is open now, or None."""

    def __init__(
        self,
        name: str,
        seed: str,
        network: MemoryNetwork,
        die: Callable[[Process], None],
        on_commit: Callable[[Device, Sequence[Write]], None],
        on_message: Callable[[Device, Message], None],
        *,
        texts: bool,
    ) -> None:
        self.name = name
        self.rng = random.Random(f"{seed} {name}")
        self.disk = Disk(
            random.Random(f"{seed} {name} disk"), lambda writes: on_commit(self, writes)
        )
        self.marks = Marks()
        self.replica: Replica | None = None
        self.process = Process(name)
        self.process.alive = False
        self.skew_ms = 0
        self.checked = 0
        """The seq up to which the cursor on the disk was checked."""
        self.calm = asyncio.Event()
        """The world does no more harm."""
        self.resting = asyncio.Event()
        """The user has put the device down, with the replica open."""
        self.leave = asyncio.Event()
        self._editor = Editor(name, self.rng, self.marks, texts=texts)
        self._network = network
        self._die = die
        self._on_message = on_message

    def environment(self) -> Environment:
        connect = self._network.connector(self.name)

        async def connect_watched(url: str) -> Transport:
            transport = await connect(url)
            return DeviceTransport(transport, lambda message: self._on_message(self, message))

        return Environment(
            now=self._now,
            rng=self.rng,
            connect=connect_watched,
            store_thread=lambda: SlowRun(self.disk, self._die),
        )

    def _now(self) -> int:
        return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000) + self.skew_ms

    async def live(self, edits: int) -> None:
        """The main task of the device's process: the user works, with pauses, and then quits, or
        stays while the world is calm."""
        relay = URL if self.calm.is_set() or self.rng.random() < 0.9 else None
        replica = Replica.open(
            self.disk,
            models=MODELS,
            relay=relay,
            environment=self.environment(),
            compaction=COMPACTION,
        )
        async with replica:
            self.replica = replica
            pace = self.rng.choice([0.7, 3.0, 20.0])
            for _ in range(edits):
                await asyncio.sleep(self.rng.expovariate(pace))
                await self._act(replica)
            if self.calm.is_set():
                self.resting.set()
                await self.leave.wait()
            self.replica = None
        self.marks.flushed(len(self.marks.fresh))

    async def settle(self) -> None:
        """Come to hold everything, and have the relay hold everything. For the device's process."""
        assert self.replica is not None
        while self.replica.status.link in ("offline", "failed"):
            await self._connect(self.replica)
        await self.replica.synced()
        self.marks.flushed(len(self.marks.fresh))

    async def _act(self, replica: Replica) -> None:
        if replica.status.link in ("offline", "failed") and self.rng.random() < 0.3:
            await self._connect(replica)
        choice = self.rng.random()
        if choice < 0.75:
            for _ in range(self.rng.choice([1, 1, 1, 3])):
                self._editor.edit(replica)
        elif choice < 0.85:
            count = len(self.marks.fresh)
            await replica.flushed()
            self.marks.flushed(count)
        elif choice < 0.95:
            await self._sync(replica)
        elif choice < 0.97:
            await replica.disconnect()

    async def _sync(self, replica: Replica) -> None:
        count = len(self.marks.fresh)
        try:
            async with asyncio.timeout(self.rng.choice([5, None])):
                await replica.synced()
        except (TimeoutError, SynclineError):
            return
        self.marks.flushed(count)

    async def _connect(self, replica: Replica) -> None:
        try:
            async with asyncio.timeout(20):
                await replica.connect(URL)
        except (TimeoutError, SynclineError):
            return

    def content(self) -> dict[str, dict[str, Any]]:
        """What the open replica shows."""
        assert self.replica is not None
        return self.replica.to_dict()

    async def content_of_disk(self) -> dict[str, dict[str, Any]]:
        """What a replica shows that has nothing but the disk."""
        environment = self.environment()
        async with Replica.open(self.disk, models=MODELS, environment=environment) as replica:
            return replica.to_dict()
