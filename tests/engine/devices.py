"""Devices in memory: documents with fields, whose updates a test delivers as it likes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from syncline.engine.clock import HybridClock
from syncline.engine.document.document import Document
from syncline.engine.document.types import ValueType
from syncline.engine.fields import Counter, Host, ListOf, MapOf, SetOf, Text
from syncline.engine.updates.parse import covers, parse_update

ANY = ValueType(Any, "test")


class Device(Host):
    """One replica of one document, with a field of every type. ``now`` is its wall clock."""

    def __init__(self, client_id: int, now: int = 1_000) -> None:
        self.now = now
        self.clock = HybridClock(lambda: self.now)
        self._document = Document(client_id)
        self.text = Text(self, "device", "text", ANY)
        self.counter = Counter(self, "device", "counter", ANY)
        self.set: SetOf[Any] = SetOf(self, "device", "set", ANY)
        self.list: ListOf[Any] = ListOf(self, "device", "list", ANY)
        self.map: MapOf[Any] = MapOf(self, "device", "map", ANY)

    def document(self) -> Document:
        return self._document

    @contextmanager
    def writing(self) -> Generator[Document]:
        with self._document.transaction():
            yield self._document

    def tick(self, seen: int = 0) -> int:
        self.clock.follow(seen)
        return self.clock.tick()

    def content(self) -> dict[str, Any]:
        views = (self.text, self.counter, self.set, self.list, self.map)
        return {view.kind: view.to_plain() for view in views}

    def written(self) -> list[bytes]:
        """The updates of the changes made here since the last call."""
        return self._document.take_captured()

    def receive(self, updates: Sequence[bytes]) -> None:
        """Apply updates that may come in any order, each when it is covered; all must be in the
        end."""
        waiting = [(update, parse_update(update).needs) for update in updates]
        while waiting:
            ready = [item for item in waiting if covers(self._document.state_vector(), item[1])]
            assert ready, "an update needs what was never sent"
            self._document.apply(ready[0][0])
            waiting.remove(ready[0])


def exchange(*devices: Device) -> None:
    """Give every device what the others wrote since the last exchange."""
    written = [(device, device.written()) for device in devices]
    for device in devices:
        for author, updates in written:
            if author is not device:
                device.receive(updates)
