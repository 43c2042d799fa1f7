"""A page in a browser, with one Yjs provider: it types, goes offline, is closed and opened again.

It does what y-websocket 3.1.0 and @hocuspocus/provider 4.8.0 do, counts included.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from syncline.engine.document.document import Document
from syncline.engine.errors import TransportClosed, TransportError
from syncline.engine.lib0 import Reader, write_string
from syncline.engine.names import Address
from syncline.engine.protocol.messages import EPOCH_CHANGED
from syncline.engine.records.schema import LIVE, REGISTERS
from syncline.engine.updates.parse import (
    covers,
    decode_state_vector,
    encode_state_vector,
    parse_update,
)
from syncline.engine.yjs import hocuspocus, y_websocket
from syncline.engine.yjs.messages import (
    Awareness,
    Close,
    Denied,
    Message,
    QueryAwareness,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Update,
)
from syncline.stores import Store
from syncline.testing.network import MemoryNetwork
from syncline.transports import Request, Transport

from .actions import WIKI, mark_spans
from .awareness import TabAwareness
from .invariants import WORKSPACE, state_of
from .loop import Process
from .marks import Edit, Marks

RELAY_URL = "ws://relay/crm"
NOTES = "contacts/x"
ROOTS = {WIKI: "page", NOTES: "text:notes"}
BACKOFF_SECONDS = 2.5
BEAT_SECONDS = 3.0
WATCHDOG_SECONDS = 30.0
"""Quiet after which a provider gives its connection up."""
LAST_FRAMES_SECONDS = 0.5
"""In which what was sent leaves: a process that has ended sends nothing more."""
GARBLED = b"\xff"


class Tab:
    """One document that the page has open."""

    def __init__(self, name: str, client: int, now: float, log: list[bytes]) -> None:
        self.name = name
        self.address = Address.parse(name)
        self.document = Document(client, log)
        self.awareness = TabAwareness(client, now)
        self.marks = Marks()
        self.unsynced = 0
        self.synced = False
        self.denied = ""
        self.garbled = False
        """It has sent what is no update, over this connection."""
        self.epoch = 0

    @property
    def client(self) -> int:
        return self.document.client_id


class Page:
    """One or two documents over one connection. ``persistent`` ones outlive the page, as with
    y-indexeddb; ``fail`` is called with what must not be."""

    def __init__(
        self,
        name: str,
        seed: str,
        network: MemoryNetwork,
        relay: Store,
        fail: Callable[[Exception], None],
        *,
        marks_texts: bool,
        persistent: bool,
    ) -> None:
        self.name = name
        self.rng = random.Random(f"{seed} {name}")
        self.speaks_hocuspocus = self.rng.random() < 0.5
        names = [WIKI, NOTES] if marks_texts else [WIKI]
        if not self.speaks_hocuspocus:
            names = [self.rng.choice(names)]
        self.persistent = persistent or self.rng.random() < 0.5
        self.process = Process(name)
        self.process.alive = False
        self.calm = asyncio.Event()
        self.resting = asyncio.Event()
        self.leave = asyncio.Event()
        self.restored = False
        """The relay has lost what came after a backup."""
        self.given_up = 0
        """Connections over which nothing came for too long."""
        self._network = network
        self._relay = relay
        self._fail = fail
        self._count = 0
        self._out: asyncio.Queue[bytes] | None = None  # while connected
        self._watchdog: asyncio.Timeout | None = None
        self.tabs = [Tab(each, self._draw_client(), 0.0, []) for each in names]

    def _draw_client(self) -> int:
        return self.rng.randrange(1, 1 << 32)

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self._fail(AssertionError(f"{self.name}: {otherwise}"))

    # Life

    def reload(self) -> None:
        """The page was closed, or died: what is not persistent is gone."""
        now = asyncio.get_running_loop().time()
        self._out = None
        for index, tab in enumerate(self.tabs):
            keeps = self.persistent and not _is_former(tab.denied)
            log = [tab.document.diff({})] if keeps else []
            self.tabs[index] = fresh = Tab(tab.name, self._draw_client(), now, log)
            fresh.marks = tab.marks
            if not keeps:
                fresh.marks.died()
            tab.document.close()

    async def live(self, edits: int) -> None:
        """The main task of the page's process."""
        tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._beat())]
        try:
            pace = self.rng.choice([0.7, 3.0, 20.0])
            for _ in range(edits):
                await asyncio.sleep(self.rng.expovariate(pace))
                self._edit()
            if self.calm.is_set():
                self.resting.set()
                await self.leave.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(LAST_FRAMES_SECONDS)

    def _edit(self) -> None:
        tab = self.rng.choice(self.tabs)
        if self.rng.random() < 0.3:
            self._aware(tab, tab.awareness.say(f'{{"at":{self._count}}}', self._now()), local=True)
        fields = tab.document.map(REGISTERS).items()
        if tab.name == NOTES and not any(key.startswith(f"{LIVE}/") for key in fields):
            return  # a form shows no record that does not exist
        root = tab.document.text(ROOTS[tab.name])
        content = root.content()
        self._count += 1
        if tab.name == NOTES:
            self._edit_notes(tab)
        elif content and self.rng.random() < 0.2:
            root.delete(self.rng.randrange(len(content)), 1)
        else:
            root.insert(self.rng.randrange(len(content) + 1), self.rng.choice("abé😀"))
        for update in tab.document.take_captured():
            tab.unsynced += 1
            garbled = self._out is not None and self.rng.random() < 0.01
            tab.garbled = tab.garbled or garbled
            self._say(tab, Update(GARBLED if garbled else update))

    def _edit_notes(self, tab: Tab) -> None:
        root = tab.document.text(ROOTS[NOTES])
        content = root.content()
        spans = mark_spans(content)
        if spans and self.rng.random() < 0.15:
            start, end = self.rng.choice(spans)
            tab.marks.fresh.append(Edit(content[start:end], removes=True))
            root.delete(start, end - start)
        else:
            mark = f"<{self.name}{self._count}>"
            tab.marks.fresh.append(Edit(mark))
            root.insert(self.rng.choice([0, *(end for _, end in spans)]), mark)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # The connection

    async def _stay_connected(self) -> None:
        while True:
            with suppress(TransportError):
                await self._converse()
            self._out = None
            for tab in self.tabs:
                tab.synced = False
                tab.awareness.forget_the_others()
                if tab.denied:
                    self._deny(tab)
            await asyncio.sleep(self.rng.uniform(0.1, BACKOFF_SECONDS))

    def _deny(self, tab: Tab) -> None:
        """The person was told, and loads the page anew."""
        self._expect(tab.garbled or _is_former(tab.denied), tab.denied)
        self.reload()

    def lose_connection(self, *, silently: bool) -> None:
        """Lose the connection, ``silently`` without the relay's noticing, as when a laptop changes
        networks."""
        for tab in self.tabs:
            tab.synced = False
        if not silently:
            self._network.drop_connections(self.name)
        elif self._watchdog is not None:
            self._watchdog.reschedule(self._now())

    async def _converse(self) -> None:
        path = "/crm" if self.speaks_hocuspocus else f"/crm/{self.tabs[0].name}"
        transport = await self._network.connect(
            RELAY_URL, client=self.name, request=Request(path), reliable=True
        )
        out = self._out = asyncio.Queue()
        for tab in self.tabs:
            self._open(tab)
        sending = asyncio.create_task(self._send(transport, out))
        reachable = True
        try:
            await self._listen(transport)
        except TransportClosed as closed:
            if closed.close_code in range(4400, 4500):
                self.tabs[0].denied = str(closed)
            raise
        except TimeoutError:
            self.given_up += 1
            reachable = False
        finally:
            self._watchdog = None
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if reachable:
                await transport.close()

    async def _listen(self, transport: Transport) -> None:
        """Take what comes, until a document is denied. Raises TransportClosed, and TimeoutError if
        nothing comes for too long."""
        async with asyncio.timeout(WATCHDOG_SECONDS) as self._watchdog:
            while not any(tab.denied for tab in self.tabs):
                frame = await transport.receive()
                self._watchdog.reschedule(self._now() + WATCHDOG_SECONDS)
                assert isinstance(frame, bytes)
                self._take(frame)

    @staticmethod
    async def _send(transport: Transport, out: asyncio.Queue[bytes]) -> None:
        with suppress(TransportClosed):
            while True:
                await transport.send(await out.get())

    def _open(self, tab: Tab) -> None:
        state = self._relay.state(WORKSPACE, tab.address)
        tab.epoch = state.epoch if state else 0
        tab.unsynced = 1
        tab.garbled = False
        if self.speaks_hocuspocus:
            frame = bytearray()
            write_string(frame, tab.name)
            self._put(bytes(frame) + b"\x02\x00\x01t\x054.8.0")
        self._say(tab, SyncStep1(encode_state_vector(tab.document.state_vector())))
        self._say(tab, Awareness(tab.awareness.of([tab.client])))

    def _put(self, frame: bytes) -> None:
        if self._out is not None:
            self._out.put_nowait(frame)

    def _say(self, tab: Tab, message: Message) -> None:
        frame = (
            hocuspocus.encode(tab.name, message)
            if self.speaks_hocuspocus
            else y_websocket.encode(message)
        )
        assert frame is not None
        self._put(frame)

    def _take(self, frame: bytes) -> None:
        if not self.speaks_hocuspocus:
            denied = frame.startswith(b"\x02\x00")
            self._handle(self.tabs[0], Denied("") if denied else y_websocket.decode(frame))
        elif frame != b"\x09":
            name, reader = hocuspocus.read_address(frame)
            (tab,) = (tab for tab in self.tabs if tab.name == name)
            self._handle(tab, _from_server(frame, reader))

    def _handle(self, tab: Tab, message: Message | None) -> None:
        match message:
            case SyncStep1(state_vector):
                have = decode_state_vector(state_vector)
                self._say(tab, SyncStep2(tab.document.diff(have)))
            case SyncStep2(update) | Update(update):
                self._integrate(tab, update)
                tab.synced = tab.synced or isinstance(message, SyncStep2)
            case Awareness(clients):
                self._aware(tab, tab.awareness.hear(clients, self._now()), local=False)
            case QueryAwareness():
                self._say(tab, Awareness(tab.awareness.of(list(tab.awareness.states))))
            case SyncStatus(stored):
                self._acknowledged(tab, stored=stored)
            case Denied(reason) if reason:
                tab.denied = reason
            case Close(reason):
                tab.denied = tab.denied or reason
            case _:
                pass

    def _integrate(self, tab: Tab, update: bytes) -> None:
        if update == b"\0\0":
            return
        info = parse_update(update)
        have = tab.document.state_vector()
        self._expect(covers(have, info.needs), f"{tab.name} came out of order")
        if not self.restored and tab.epoch == self._epoch(tab):
            stored = state_of(self._relay, WORKSPACE, tab.address)
            self._expect(covers(stored, info.ends()), f"{tab.name} was shown before the commit")
        tab.document.apply(update)

    def _epoch(self, tab: Tab) -> int:
        state = self._relay.state(WORKSPACE, tab.address)
        return state.epoch if state else 0

    def _acknowledged(self, tab: Tab, *, stored: bool) -> None:
        self._expect(stored, f"{tab.name} is read-only")
        self._expect(tab.unsynced > 0, f"{tab.name} was acknowledged once too often")
        tab.unsynced -= 1
        if tab.unsynced == 0:
            tab.marks.flushed(len(tab.marks.fresh))
            if not self.restored and tab.epoch == self._epoch(tab):
                mine = tab.document.state_vector().get(tab.client, 0)
                stored_of_mine = state_of(self._relay, WORKSPACE, tab.address).get(tab.client, 0)
                self._expect(mine <= stored_of_mine, f"{tab.name} was acknowledged too early")

    # Awareness

    def _aware(self, tab: Tab, news: list[int], *, local: bool) -> None:
        # y-websocket sends on whatever it hears, Hocuspocus only what happens here.
        if news and (local or not self.speaks_hocuspocus):
            self._say(tab, Awareness(tab.awareness.of(news)))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for tab in self.tabs:
                self._aware(tab, tab.awareness.beat(self._now()), local=True)

    # The end

    def rest(self) -> None:
        """It is settled: nothing that it made may be missing any more. Only Hocuspocus says so."""
        for tab in self.tabs:
            tab.marks.flushed(len(tab.marks.fresh))

    def settled(self) -> bool:
        """Whether it has everything, and the relay everything of it."""
        for tab in self.tabs:
            stored = state_of(self._relay, WORKSPACE, tab.address)
            if not tab.synced or tab.document.state_vector() != stored:
                return False
            if self.speaks_hocuspocus and tab.unsynced:
                return False
        return True


def _is_former(reason: str) -> bool:
    """Whether a document was denied because it was rebuilt."""
    return EPOCH_CHANGED in reason or "was rebuilt" in reason


def _from_server(frame: bytes, reader: Reader) -> Message | None:
    """What a server says, where a client says something else."""
    body = frame[len(frame) - reader.remaining :]
    if body[:1] == b"\x08":
        return SyncStatus(body[1:] == b"\x01")
    if body[:2] == b"\x02\x01":
        return Denied(Reader(body[2:]).string())
    if body[:1] == b"\x02":
        return None  # let in
    return hocuspocus.read_message(reader)
