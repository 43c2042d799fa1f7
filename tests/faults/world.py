"""A relay that is killed again and again, and the replicas that write through it all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from syncline import Replica, SynclineError
from syncline.environment import Environment
from syncline.stores import MemoryStore, SqlStore

from .models import MODELS, Note, Tally
from .processes import PATIENCE, RelayProcess
from .witness import Violation, Witness, check_store

WORKSPACE = "crm"
REPLICAS = 3
WRITES = 20
"""Changes of each replica in each round."""


class Impatient(random.Random):
    """Draws what a replica draws, but for the waits before it connects again: shorter ones."""

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, b) / 20


@dataclass(slots=True)
class Device:
    """A replica, its witness, and what it has written."""

    name: str
    replica: Replica
    witness: Witness
    increments: int = 0
    notes: int = 0

    def write(self, rng: random.Random) -> None:
        tallies = self.replica.collection(Tally)
        tally = tallies.get("shared") or tallies.create(key="shared")
        with self.replica.transaction():
            tally.count += 1
            self.increments += 1
            match rng.randrange(4):
                case 0:
                    tally.marks.add(f"{self.name}{self.increments}")
                case 1:
                    tally.words.insert(rng.randint(0, len(tally.words)), self.name)
                case 2:
                    tally.last = f"{self.name} {self.increments}"
                case _:
                    title = f"{self.name} {self.notes}"
                    self.replica.collection(Note).create(
                        key=f"{self.name}{self.notes}", title=title
                    )
                    self.notes += 1


class World:
    """``relay`` keeps its workspace in ``store``, a URL. Everything is drawn from ``seed``, except
    for how the processes and the network interleave."""

    def __init__(self, seed: int, store: str, relay: RelayProcess) -> None:
        self.rng = random.Random(seed)
        self.devices: list[Device] = []
        self.kills = 0
        self._store = store
        self._relay = relay
        self._killed = asyncio.Event()
        self._deadly = ""
        self._left = 0

    # Killing

    def notice(self, event: str) -> None:
        """A frame passed at a replica; the relay may have to die of it, at once."""
        if event == self._deadly:
            self._left -= 1
            if self._left == 0:
                self._kill()

    def _arm(self) -> asyncio.TimerHandle | None:
        """Choose the moment: after so many frames of a kind, or some time from now."""
        self._killed.clear()
        self._deadly = self.rng.choice(["pushed", "acknowledged", "shown", "time"])
        self._left = self.rng.randint(1, WRITES)
        if self._deadly == "time":
            loop = asyncio.get_running_loop()
            return loop.call_later(self.rng.uniform(0, 0.05), self._kill)
        return None

    def _kill(self) -> None:
        self._deadly = ""
        self._relay.kill()
        self._killed.set()

    # A round

    async def round(self, url: str) -> None:
        """Write, kill, look at what the dead relay leaves, start it again, settle, compare."""
        writers = [asyncio.create_task(self._write(device)) for device in self.devices]
        try:
            for _ in range(self.rng.choice([1, 1, 2])):
                await self._one_life(writers)
            await self._settled(writers)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
        await self._compare(url)

    async def _one_life(self, writers: list[asyncio.Task[None]]) -> None:
        timer = self._arm()
        killed = asyncio.create_task(self._killed.wait())
        settled = asyncio.create_task(self._settled(writers))
        try:
            await asyncio.wait([killed, settled], return_when=asyncio.FIRST_COMPLETED)
            if settled.done():
                settled.result()
        finally:
            if timer is not None:
                timer.cancel()
            killed.cancel()
            settled.cancel()
            await asyncio.gather(killed, settled, return_exceptions=True)
        if not self._killed.is_set():
            self._kill()
        await self._relay.ended()
        self.kills += 1
        await self.examine()
        await self._relay.start()

    async def _write(self, device: Device) -> None:
        for _ in range(WRITES):
            device.write(self.rng)
            if self.rng.random() < 0.7:
                await device.replica.flushed()
            else:
                await asyncio.sleep(0)

    async def _settled(self, writers: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*(asyncio.shield(writer) for writer in writers))
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(device.replica.synced() for device in self.devices))
        except SynclineError as error:
            raise Violation(f"a replica gave up on the relay: {error}") from error
        except TimeoutError:
            states = [str(device.replica.status) for device in self.devices]
            raise Violation("the replicas do not get in sync:\n" + "\n".join(states)) from None

    async def examine(self) -> None:
        """Look into the store of the dead relay."""
        await asyncio.to_thread(self._examine)

    def _examine(self) -> None:
        store = SqlStore(self._store, exclusive=False)
        store.open()
        try:
            check_store(store, WORKSPACE, [device.witness for device in self.devices])
        finally:
            store.close()

    async def _compare(self, url: str) -> None:
        fresh = Witness("a fresh replica", lambda _event: None)
        environment = Environment(connect=fresh.connect)
        async with Replica.open(
            MemoryStore(), models=MODELS, relay=url, environment=environment
        ) as replica:
            try:
                async with asyncio.timeout(PATIENCE):
                    await replica.synced()
            except TimeoutError:
                raise Violation(f"a fresh replica stays behind: {replica.status}") from None
            content = replica.to_dict()
        for device in self.devices:
            await device.replica.synced()
            if device.replica.to_dict() != content:
                raise Violation(f"{device.name} and a fresh replica differ")
        # The replicas have all lived on, so it is known exactly what there is.
        count = content["tallies"]["shared"]["count"]
        if count != (expected := sum(device.increments for device in self.devices)):
            raise Violation(f"the counter is {count} after {expected} increments")
        notes = set(content.get("notes", {}))
        written = {f"{device.name}{n}" for device in self.devices for n in range(device.notes)}
        if notes != written:
            raise Violation(f"the notes differ from what was written: {notes ^ written}")


@asynccontextmanager
async def world(
    seed: int, store: str, relay: RelayProcess, url: str, folder: Path
) -> AsyncGenerator[World]:
    """A world whose relay runs and whose replicas, in files in ``folder``, are connected."""
    made = World(seed, store, relay)
    await relay.start()
    try:
        async with AsyncExitStack() as stack:
            for name in "abcdefgh"[:REPLICAS]:
                witness = Witness(name, made.notice)
                environment = Environment(rng=Impatient(f"{seed} {name}"), connect=witness.connect)
                replica = await stack.enter_async_context(
                    Replica.open(
                        folder / f"{name}.db", models=MODELS, relay=url, environment=environment
                    )
                )
                made.devices.append(Device(name, replica, witness))
            yield made
    finally:
        relay.kill()
        await relay.ended()
