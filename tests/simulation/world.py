"""The world: a relay, three devices, the network between them, and what goes wrong there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, TypeAlias

from syncline.engine.errors import StoreFailed
from syncline.engine.protocol.handshake import lineage
from syncline.environment import Environment
from syncline.relay.core import RelayCore
from syncline.stores import InlineCalls, MemoryStore, Write
from syncline.testing.network import Faults, MemoryNetwork, MemoryTransport
from syncline.transports import Request
from syncline.upkeep.opener.inline import InlineOpener
from syncline.upkeep.rebuilding import rebuild_document
from syncline.upkeep.snapshots import SnapshotThread

from .device import COMPACTION, EPOCH_MS, Device
from .disk import Disk, DiskFaults, SlowRun
from .handshake import RelayTransport
from .invariants import WORKSPACE, Watch, check_the_end
from .loop import PROCESS, Process, VirtualLoop
from .page import Page
from .presence import check_presence

RELAY = "ws://relay"
NAMES = ("ada", "bob", "eve")
PAGES = ("page one", "page two", "page three")
Calamity: TypeAlias = Literal["none", "restore", "rebuild"]
PATIENCE = 600.0
"""Virtual seconds in which everything has to come together once nothing goes wrong any more."""


class World:
    """One simulation. The network of every other world is worse than a websocket ever is: it loses,
    repeats and reorders single frames. The others lose frames only with their connection, or while
    one side is cut off, as browsers do in every world. They are in every third."""

    def __init__(
        self,
        seed: str,
        loop: VirtualLoop,
        *,
        lossy: bool | None = None,
        calamity: Calamity | None = None,
        pages: bool | None = None,
    ) -> None:
        self._seed = seed
        self.rng = random.Random(f"{seed} world")
        self.lossy = self.rng.random() < 0.5 if lossy is None else lossy
        self.loop = loop
        self.deaths = 0
        self._network = MemoryNetwork(random.Random(f"{seed} network"), self._weather())
        self.relay_disk = Disk(random.Random(f"{seed} relay disk"), self._relay_commits)
        self._relay_rng = random.Random(f"{seed} relay")
        self._relay_process = Process("relay")
        self._stop_relay = asyncio.Event()
        self._deaths: dict[Process, asyncio.Future[None]] = {}
        # Not together: what is promised of a rebuilt document is less (docs/guarantees.md).
        calamities: dict[Calamity, list[Callable[[], None]]] = {
            "none": [],
            "restore": [self._restore_relay, self._copy_device],
            "rebuild": [self._rebuild_document],
        }
        chosen = self.rng.choice(list(calamities))
        self._calamities = calamities[calamity or chosen]
        self.watch = Watch(self.relay_disk, loop.fail)
        self.devices = [self._new_device(name) for name in NAMES]
        has_pages = self.rng.random() < 1 / 3 if pages is None else pages
        self.pages = [self._new_page(name) for name in PAGES] if has_pages else []
        self._calm = False
        self._backup = MemoryStore()
        self._backup.open()
        self._restoring = self._rebuilding = False
        self._restores = 0
        self._keepers = asyncio.TaskGroup()

    def _relay_commits(self, writes: Sequence[Write]) -> None:
        self.loop.note("relay", [(write.receipt, write.documents) for write in writes])

    def _device_commits(self, device: Device, writes: Sequence[Write]) -> None:
        self.loop.note(device.name, [(w.documents, w.outbox, w.acknowledged) for w in writes])
        self.watch.commit(device, writes)

    # Life and death

    async def _incarnation(self, process: Process, main: Callable[[], Awaitable[None]]) -> bool:
        """Run a process; returns whether it ended by itself, or else died."""
        died = self._deaths[process] = self.loop.create_future()

        async def run() -> None:
            await main()

        task = self.loop.spawn(process, run)
        await asyncio.wait((task, died), return_when=asyncio.FIRST_COMPLETED)
        del self._deaths[process]
        if died.done():
            return False
        process.alive = False
        try:
            task.result()
        except StoreFailed:
            return False
        return True

    def _die(self, process: Process, *, silently: bool | None = None) -> None:
        """Kill -9, or, when nobody is told that the connections are gone, a power cut."""
        died = self._deaths.get(process)
        if died is None or died.done():
            return
        self.deaths += 1
        process.alive = False
        if process.name == "relay":
            self._stop_listening(process)
        if silently is None:
            silently = self.rng.random() < 0.2
        if not silently:
            self._network.drop_connections(RELAY if process.name == "relay" else process.name)
        died.set_result(None)

    async def _keep_device(self, device: Device) -> None:
        while not device.resting.is_set():
            await asyncio.sleep(self.rng.expovariate(2.0))
            edits = 0 if self._calm else self.rng.randrange(30)
            process = device.process = Process(device.name)
            if not await self._incarnation(process, partial(device.live, edits)):
                device.replica = None
                device.marks.died()

    async def _keep_page(self, page: Page) -> None:
        while not page.resting.is_set():
            await asyncio.sleep(self.rng.expovariate(2.0))
            edits = 0 if self._calm else self.rng.randrange(30)
            process = page.process = Process(page.name)
            ended = await self._incarnation(process, partial(page.live, edits))
            if not ended or (not page.resting.is_set() and self.rng.random() < 0.5):
                page.reload()

    async def _keep_relay(self) -> None:
        while True:
            process = self._relay_process = Process("relay")
            await self._incarnation(process, partial(self._serve, process))
            if self._restoring:
                self._put_back()
            if self._rebuilding:
                self._rebuild()
            await asyncio.sleep(self.rng.expovariate(2.0))

    async def _serve(self, process: Process) -> None:
        environment = Environment(
            now=self._now,
            rng=self._relay_rng,
            store_thread=lambda: SlowRun(self.relay_disk, self._die),
            snapshots=lambda: SnapshotThread(InlineCalls()),
            opener=InlineOpener,
        )
        core = RelayCore(self.relay_disk, environment, compaction=COMPACTION)
        serving: list[MemoryTransport] = []

        async def serve(transport: MemoryTransport, request: Request) -> None:
            PROCESS.set(process)
            serving.append(transport)
            try:
                of_replica = request.subprotocol is not None
                await core.serve(RelayTransport(transport) if of_replica else transport, request)
            finally:
                serving.remove(transport)

        self._stop_relay.clear()
        await core.open()
        self._network.listen(RELAY, serve)
        self._listening = process
        await self._stop_relay.wait()
        self._stop_listening(process)
        self._network.drop_connections(RELAY)
        while serving:  # noqa: ASYNC110  # the time is virtual, and the sleep costs nothing
            await asyncio.sleep(0.1)
        await core.close()

    _listening: Process | None = None

    def _stop_listening(self, process: Process) -> None:
        if self._listening is process:
            self._listening = None
            self._network.stop_listening(RELAY)

    # What goes wrong

    def _weather(self) -> Faults:
        """How the network is for a while."""
        slowest = self.rng.choice([0.001, 0.05, 0.3])
        if not self.lossy:
            return Faults(max_delay=slowest)
        drop, duplicate = self.rng.choice([0.02, 0.1, 0.2]), self.rng.choice([0.0, 0.1])
        return Faults(drop, duplicate, 0.0, slowest, reorder=True)

    def _disk_weather(self) -> DiskFaults:
        latency = self.rng.choice([0.001, 0.02, 0.2, 1.0])
        before, after = self.rng.choice([0.0, 0.0, 0.03]), self.rng.choice([0.0, 0.0, 0.03])
        fail = self.rng.choice([0.0, 0.0, 0.3])
        return DiskFaults(before, after, fail, latency)

    async def _nemesis(self) -> None:
        mischief: list[Callable[[], None]] = [
            lambda: self._die(self._relay_process),
            lambda: self._die(self.rng.choice(self._people()).process),
            self._stop_relay.set,
            self._partition,
            lambda: self._network.drop_connections(
                *self.rng.choice([(), (RELAY,), NAMES[:1], PAGES[:2]])
            ),
            self._change_weather,
            self._change_disk,
            self._change_clock,
        ]
        if self.pages:
            mischief.append(lambda: self.rng.choice(self.pages).lose_connection(silently=True))
        # Not everything in every world: what goes wrong often would hide what goes wrong beside it.
        mischief = self.rng.sample(mischief, self.rng.randrange(1, len(mischief)))
        for _ in range(self.rng.randrange(3, 11)):
            await asyncio.sleep(self.rng.expovariate(0.5))
            if self.rng.random() < 0.3:
                self._back_up()
            if self._calamities and self.rng.random() < 0.3:
                self.rng.choice(self._calamities)()
            else:
                self.rng.choice(mischief)()

    def _back_up(self) -> None:
        self._backup = self.relay_disk.copy()
        self._backup.open()

    def _restore_relay(self) -> None:
        """The relay's disk is lost, and a backup put in its place."""
        self._restoring = True
        self._die(self._relay_process)

    def _put_back(self) -> None:
        self._restoring = False
        identity = self._backup.meta("").get("relay")
        if identity is None:
            return  # it was made before the relay had ever run
        self.relay_disk.become(self._backup)
        self._restores += 1
        rotated = f"{lineage(identity)}.{self._restores}"
        MemoryStore.write(self.relay_disk, [Write("", meta={"relay": rotated})])
        self.watch.restored()
        for page in self.pages:
            page.restored = True

    def _rebuild_document(self) -> None:
        """The operator stops the relay and rebuilds a document."""
        self._rebuilding = True
        self._die(self._relay_process)

    def _rebuild(self) -> None:
        self._rebuilding = False
        documents = list(MemoryStore.documents(self.relay_disk, WORKSPACE))
        if documents:
            address = self.rng.choice(documents).address
            faults, self.relay_disk.faults = self.relay_disk.faults, DiskFaults()
            rebuild_document(self.relay_disk, WORKSPACE, address, self._now)
            self.relay_disk.faults = faults

    def _now(self) -> int:
        return EPOCH_MS + int(self.loop.time() * 1000)

    def _copy_device(self) -> None:
        """Somebody copies a device's database, and uses both."""
        if len(self.devices) > len(NAMES):
            return
        original = self.rng.choice(self.devices)
        twin = self._new_device("twin")
        twin.disk.become(original.disk)
        twin.checked = original.checked
        self.devices.append(twin)
        self._keepers.create_task(self._keep_device(twin))

    def _partition(self) -> None:
        self._network.partition(self.rng.choice([RELAY, *NAMES, *NAMES, *PAGES]))
        self.loop.call_later(self.rng.uniform(0.1, 4), self._heal_if_it_goes_on)

    def _heal_if_it_goes_on(self) -> None:
        # Whoever calmed down has healed everything, and is to find everybody connected at the end.
        if not self._calm:
            self._heal()

    def _heal(self) -> None:
        self._network.heal()
        # A stream that has lost something ends.
        self._network.drop_connections(*(PAGES if self.lossy else ()))

    def _change_weather(self) -> None:
        self._network.faults = self._weather()

    def _change_disk(self) -> None:
        disks = [self.relay_disk, *(device.disk for device in self.devices)]
        self.rng.choice(disks).faults = self._disk_weather()

    def _change_clock(self) -> None:
        self.rng.choice(self.devices).skew_ms = self.rng.randrange(-1_000_000, 1_000_000)

    # From the beginning to the end

    async def run(self) -> None:
        """Let it all happen, then let it calm down, then check that nothing is lost."""
        for disk in (self.relay_disk, *(device.disk for device in self.devices)):
            disk.faults = self._disk_weather()
        async with self._keepers as keepers:
            relay = keepers.create_task(self._keep_relay())
            for device in self.devices:
                keepers.create_task(self._keep_device(device))
            for page in self.pages:
                keepers.create_task(self._keep_page(page))
            await self._nemesis()
            self._calm_down()
            async with asyncio.timeout(PATIENCE):
                await self._settle_pages()
                await self._settle(self.devices)
                # A replica that comes fresh to it gets everything too.
                fresh = self._new_device("new")
                fresh.calm.set()
                keepers.create_task(self._keep_device(fresh))
                await self._settle([fresh])
                await self._settle_pages()
            everyone = [*self.devices, fresh]
            check_the_end(everyone, self.relay_disk, self.pages)
            shown = fresh.content()
            if self.pages:
                await check_presence(self.pages, self.rng, self._kill_silently, self._open_page)
            for each in self._people(fresh):
                each.leave.set()
            relay.cancel()
        for device in everyone:
            on_disk = await device.content_of_disk()
            assert on_disk == shown, f"{device.name} shows what is not on its disk"

    async def _settle(self, devices: list[Device]) -> None:
        for device in devices:
            await device.resting.wait()
        for _ in range(2):  # what one sends, the others fetch
            for device in devices:
                await self.loop.spawn(device.process, device.settle)

    async def _settle_pages(self) -> None:
        for page in self.pages:
            await page.resting.wait()
        while not all(page.settled() for page in self.pages):  # noqa: ASYNC110  virtual time
            await asyncio.sleep(0.1)
        for page in self.pages:
            page.rest()

    def _open_page(self) -> Page:
        page = self._new_page("page new")
        self.pages.append(page)
        page.calm.set()
        self._keepers.create_task(self._keep_page(page))
        return page

    def _kill_silently(self, page: Page) -> None:
        self._die(page.process, silently=True)

    def _people(self, *more: Device) -> list[Device | Page]:
        return [*self.devices, *more, *self.pages]

    def _new_page(self, name: str) -> Page:
        return Page(
            name,
            self._seed,
            self._network,
            self.relay_disk,
            self.loop.fail,
            marks_texts=self._rebuild_document not in self._calamities,
            # What a page alone had, and a relay that is restored has lost, is lost.
            persistent=self._restore_relay in self._calamities,
        )

    def _new_device(self, name: str) -> Device:
        return Device(
            name,
            self._seed,
            self._network,
            self._die,
            self._device_commits,
            self.watch.message,
            # Where a text is put that was written on an old history is a guess.
            texts=self._rebuild_document not in self._calamities,
        )

    def _calm_down(self) -> None:
        self._calm = True
        self._heal()
        self._network.faults = Faults(max_delay=0.01)
        for device in self.devices:
            device.disk.faults = DiskFaults(latency=0.005)
        # Slow, so that batches of several devices share a transaction.
        self.relay_disk.faults = DiskFaults(latency=self.rng.choice([0.01, 0.2]))
        for each in self._people():
            each.calm.set()
