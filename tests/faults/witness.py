"""Witnesses: what each replica was told by its relay, and whether the relay's store has it all.

An acknowledgement promises what the batch held, and changes that are shown promise themselves: both
must be in the store of a relay that was killed right after. Promises are taken from the frames, at
the moment when the replica gets them, and not from what the replica makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from syncline.engine.names import Address
from syncline.engine.protocol.codec import decode
from syncline.engine.protocol.messages import (
    Ack,
    Advance,
    DocumentUpdate,
    Entry,
    Frame,
    Push,
    Updates,
)
from syncline.engine.updates.parse import UpdateInfo, parse_update
from syncline.stores import Store
from syncline.transports import Transport, connect_websocket

Operation: TypeAlias = tuple[int, int]
"""A client id and a clock."""


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class Contents:
    """The operations and the deletions of one document."""

    operations: set[Operation] = field(default_factory=set[Operation])
    deletions: set[Operation] = field(default_factory=set[Operation])

    def add(self, info: UpdateInfo) -> set[Operation]:
        """Take an update in; returns which of its operations were here before."""
        operations = {
            (client, clock)
            for client, runs in info.ranges.items()
            for start, end in runs
            for clock in range(start, end)
        }
        known = operations & self.operations
        self.operations |= operations
        self.deletions |= {
            (client, clock)
            for client, runs in info.deletes.items()
            for start, length in runs
            for clock in range(start, start + length)
        }
        return known


class Witness:
    """Connects a replica, and keeps what its relays promise. ``notice`` hears of each frame:
    ``pushed``, ``acknowledged`` or ``shown``."""

    def __init__(self, name: str, notice: Callable[[str], None]) -> None:
        self.name = name
        self.head = 0
        self.promised: dict[Address, Contents] = {}
        self.pushed: dict[int, tuple[Entry, ...]] = {}
        self._notice = notice

    async def connect(self, url: str) -> Transport:
        """To be the ``connect`` of the replica's Environment."""
        return WitnessedTransport(await connect_websocket(url), self)

    def sent(self, frame: Frame) -> None:
        message = decode(frame)
        if isinstance(message, Push):
            self.pushed[message.batch] = message.entries
            self._notice("pushed")

    def got(self, frame: Frame) -> None:
        match decode(frame):
            case Ack(batch, _, refused):
                if refused:
                    raise Violation(f"{self.name}: the relay refused a sound update: {refused}")
                self._promise(self.pushed[batch])
                self._notice("acknowledged")
            case Updates(_, cursor, entries):
                self.head = max(self.head, cursor)
                self._promise(entries)
                self._notice("shown")
            case Advance(_, cursor):
                self.head = max(self.head, cursor)
            case DocumentUpdate(address, _epoch, update):
                self._promise([Entry(address, update)] if update else [])
            case _:
                pass

    def _promise(self, entries: Iterable[Entry]) -> None:
        for address, update, _epoch in entries:
            self.promised.setdefault(address, Contents()).add(parse_update(update))


class WitnessedTransport:
    """A transport whose frames a witness sees."""

    def __init__(self, transport: Transport, witness: Witness) -> None:
        self._transport = transport
        self._witness = witness

    @property
    def peer(self) -> str:
        return self._transport.peer

    async def send(self, frame: Frame) -> None:
        self._witness.sent(frame)  # before: cancelled in the middle, it may have gone out
        await self._transport.send(frame)

    async def receive(self) -> Frame:
        frame = await self._transport.receive()
        self._witness.got(frame)
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.close(code, reason)


def check_store(store: Store, workspace: str, witnesses: Iterable[Witness]) -> None:
    """Raise Violation unless the relay's ``store``, an open one, keeps every promise, once."""
    stored: dict[Address, Contents] = {}
    cursor = 0
    while True:
        page = store.since(workspace, cursor, max_bytes=1 << 20, max_updates=1000)
        for update in page.updates:
            info = parse_update(update.data)
            known = stored.setdefault(update.address, Contents()).add(info)
            if known:
                raise Violation(f"{update.address} is stored twice, again at seq {update.seq}")
        cursor = page.cursor
        if cursor >= page.head:
            break
    for witness in witnesses:
        if witness.head > cursor:
            raise Violation(f"{witness.name} was shown seq {witness.head} and {cursor} is the last")
        for address, promised in witness.promised.items():
            found = stored.get(address, Contents())
            lost = promised.operations - found.operations
            undone = promised.deletions - found.deletions
            if lost or undone:
                raise Violation(
                    f"{witness.name} was told of {len(lost)} operations and {len(undone)} "
                    f"deletions in {address} that are not in the store"
                )
