"""A room: the readers of one workspace at the relay, its latest commits, and what is open there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from syncline.engine.names import Address

from .committed import Committed
from .open_document import Follower, OpenDocument

RECENT_BYTES = 8 << 20
"""The latest commits kept for readers that are nearly up to date."""


class Room:
    """Readers come here for the commits after their position. Those too old for the memory of the
    room are read from the store, so a slow reader costs no memory at all."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.head = 0
        self._recent: deque[Committed] = deque()
        self._by_since: dict[int, Committed] = {}
        self._bytes = 0
        # What wakes each reader, and what says whether it may still read.
        self._readers: dict[Callable[[], None], Callable[[], bool]] = {}
        self._documents: dict[Address, OpenDocument] = {}

    def enter(self, wake: Callable[[], None], may_stay: Callable[[], bool] = lambda: True) -> None:
        """``wake`` is called at each commit, and when ``may_stay`` says no."""
        self._readers[wake] = may_stay

    def leave(self, wake: Callable[[], None]) -> None:
        self._readers.pop(wake, None)

    def check_rights(self) -> None:
        """Let everybody see whether they may still read, who would not notice otherwise until
        something happens."""
        for wake, may_stay in self._readers.items():
            if not may_stay():
                wake()
        for document in self._documents.values():
            document.check_rights()

    @property
    def empty(self) -> bool:
        return not self._readers and not self._documents

    def open(self, address: Address, follower: Follower) -> OpenDocument:
        """Open a document for an editor, who hears of its changes until ``close``."""
        document = self._documents.get(address)
        if document is None:
            document = self._documents[address] = OpenDocument(address)
        document.enter(follower)
        return document

    def close(self, document: OpenDocument, follower: Follower) -> None:
        """The editor has left; the last one out closes the document."""
        document.leave(follower)
        if document.empty:
            self._documents.pop(document.address, None)

    def expire(self, now: float) -> None:
        """Let go of editors' clients that have not been heard of for long."""
        for document in self._documents.values():
            document.expire(now)

    def publish(self, committed: Committed) -> None:
        """Tell every reader of what has just become durable."""
        self.head = committed.cursor
        self._recent.append(committed)
        self._by_since[committed.since] = committed
        self._bytes += committed.memory
        for entry in committed.entries:
            if entry.address in self._documents:
                self._documents[entry.address].publish(entry, committed.author)
        while self._bytes > RECENT_BYTES:
            oldest = self._recent.popleft()
            del self._by_since[oldest.since]
            self._bytes -= oldest.memory
            for entry in oldest.entries:
                if entry.address in self._documents:
                    self._documents[entry.address].forget(entry)
        for wake in self._readers:
            wake()

    def after(self, position: int) -> Committed | None:
        """The commit that begins at ``position``, if it is still remembered."""
        return self._by_since.get(position)
