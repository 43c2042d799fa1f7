"""What must hold: at every moment (Watch), and when all have come together (check_the_end)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack, DocumentUpdate, Entry, Message, Pong, Updates
from syncline.engine.updates.parse import StateVector, covers, decode_state_vector, parse_update
from syncline.replica.replica import LOCAL
from syncline.stores import Store, Write

from .actions import present
from .marks import check

if TYPE_CHECKING:
    from .device import Device
    from .page import Page

WORKSPACE = "crm"


class Watch:
    """Looks at every frame that a device receives and at every commit of a device; calls ``fail``
    with what is wrong."""

    def __init__(self, relay: Store, fail: Callable[[Exception], None]) -> None:
        self._relay = relay
        self._fail = fail
        self._ends: dict[int, tuple[Address, int, StateVector]] = {}
        self._restored = False

    def restored(self) -> None:
        """The relay has lost what came after a backup."""
        self._restored = True
        self._ends.clear()

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self._fail(AssertionError(otherwise))

    def message(self, device: Device, message: Message) -> None:
        """Nothing is acknowledged, and nobody is shown anything, before it is committed."""
        if self._restored:
            return  # it may have been sent before, about what was lost since
        match message:
            case Updates(_since, cursor, entries):
                head = self._relay.head(WORKSPACE)
                self._expect(cursor <= head, f"shown before the commit: {cursor} of {head}")
                self._check_shown(entries)
            case DocumentUpdate(address, epoch, update):
                self._check_shown([Entry(address, update, epoch)])
            case Ack(batch) | Pong(committed=batch):
                replica = device.disk.meta(LOCAL)["replica"]
                committed = self._relay.last_batch(WORKSPACE, replica)
                self._expect(
                    batch <= committed, f"acknowledged before the commit: {batch} of {device.name}"
                )
            case _:
                pass

    def _check_shown(self, entries: Iterable[Entry]) -> None:
        for address, update, epoch in entries:
            if epoch < _epoch_of(self._relay, WORKSPACE, address):
                continue  # rebuilt since it was sent
            have, ends = state_of(self._relay, WORKSPACE, address), parse_update(update).ends()
            self._expect(covers(have, ends), f"shown before the commit: {address} {ends} {have}")

    def commit(self, device: Device, writes: Sequence[Write]) -> None:
        """A cursor on a disk says that everything up to it is there too. What is on a disk and not
        at the relay is pending."""
        if device.replica is not None and any(write.outbox for write in writes):
            self._expect(device.replica.pending > 0, f"{device.name} says that nothing is pending")
        if device.disk.meta(LOCAL).get("relay") != self._relay.meta("").get("relay"):
            device.checked = 0  # its cursor is about a log that was lost
            return
        cursor = max((int(write.meta.get("cursor", 0)) for write in writes), default=0)
        head = self._relay.head(WORKSPACE)
        self._expect(cursor <= head, f"the cursor of {device.name} is at {cursor} of {head}")
        for seq in range(device.checked + 1, min(cursor, head) + 1):
            row = self._row(seq)
            if row is None:
                continue  # of a history that has ended
            address, epoch, ends = row
            if epoch < _epoch_of(self._relay, WORKSPACE, address):
                continue
            have = state_of(device.disk, LOCAL, address)
            self._expect(
                covers(have, ends),
                f"the cursor of {device.name} is at {cursor}, and {address} of seq {seq} is not "
                f"there: {have} does not cover {ends}",
            )
        device.checked = max(device.checked, cursor)

    def _row(self, seq: int) -> tuple[Address, int, StateVector] | None:
        if seq not in self._ends:
            page = self._relay.since(WORKSPACE, seq - 1, max_bytes=1 << 40, max_updates=1)
            if not page.updates or page.updates[0].seq != seq:
                return None
            (row,) = page.updates
            self._ends[seq] = (row.address, row.epoch, parse_update(row.data).ends())
        return self._ends[seq]


def _epoch_of(store: Store, workspace: str, address: Address) -> int:
    state = store.state(workspace, address)
    return state.epoch if state else 0


def state_of(store: Store, workspace: str, address: Address) -> StateVector:
    """The state vector of a document as the store has it."""
    stored = store.load(workspace, address)
    return decode_state_vector(stored.state_vector) if stored else {}


def check_the_end(devices: Sequence[Device], relay: Store, pages: Sequence[Page]) -> None:
    """Everyone has everything, the same everywhere, and nothing waits."""
    expected = rebuilt(relay, WORKSPACE)
    first = devices[0].content()
    for page in pages:
        for tab in page.tabs:
            held = (dict(tab.document.state_vector()), tab.document.to_dict())
            assert held == expected.get(tab.address, ({}, {})), (
                f"{page.name} shows something else than the relay"
            )
    marks = [*(device.marks for device in devices)]
    marks += [tab.marks for page in pages for tab in page.tabs]
    for device in devices:
        name = device.name
        assert device.content() == first, f"{name} shows something else than {devices[0].name}"
        assert rebuilt(device.disk, LOCAL) == expected, (
            f"{name} and the relay hold different documents"
        )
        replica = device.replica
        assert replica is not None
        status = replica.status
        assert status.pending == 0, f"{name} has {status.pending} batches pending"
        assert device.disk.outbox_count(LOCAL) == 0, f"the outbox of {name} is not empty"
        assert status.refused == 0, f"{name}: {device.disk.refused(LOCAL)}"
        assert status.cursor == relay.head(WORKSPACE), f"{name} is at {status.cursor}"
        assert (status.link, status.error) == ("online", None), f"{name}: {status}"
        check(marks, present(replica))


def rebuilt(store: Store, workspace: str) -> dict[Address, tuple[StateVector, dict[str, Any]]]:
    """Every document from its log: its state vector, which must be the stored one, and content."""
    found: dict[Address, tuple[StateVector, dict[str, Any]]] = {}
    for info in store.documents(workspace):
        stored = store.load(workspace, info.address)
        assert stored is not None
        document = Document(1, stored.updates)
        state = dict(document.state_vector())
        assert state == decode_state_vector(stored.state_vector), f"{info.address}: state vector"
        found[info.address] = (state, document.to_dict())
        document.close()
    return found
