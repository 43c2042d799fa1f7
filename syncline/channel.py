"""A channel: one document, open on the connection of an editor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from syncline.engine.names import Address
from syncline.engine.updates import StateVector

from .access import Principal
from .room import Room

MAX_STATELESS_QUEUED = 256
"""Stateless messages that wait for one editor; of more, the oldest are dropped."""


class Channel:
    """What an editor has of a document and what it is to be sent next. Nothing is kept for it that
    grows: changes are read at its position, awareness is the latest of each client.

    ``key`` is how the connection calls it, ``author`` the name under which it changes the document.
    """

    def __init__(
        self,
        key: str,
        address: Address,
        principal: Principal,
        *,
        author: str,
        epoch: int,
        room: Room,
        wake: Callable[[Channel], None],
    ) -> None:
        self.key = key
        self.address = address
        self.principal = principal
        self.author = author
        self.epoch = epoch
        self.has: StateVector = {}
        """What the editor is known to have."""
        self.asked: StateVector | None = None
        """What the editor said that it has, while it waits for the difference."""
        self.synced = False
        """Whether it was sent what the document held; from then on it gets each change."""
        self.position = 0
        """In the document's changes."""
        self.greeting = False
        """Whether the frame before asked for the document for the first time: then comes the
        editor's own awareness."""
        self.repairing = False
        """Whether the editor was asked for changes that it had sent and the relay lacks."""
        self.warned = False
        """Whether it was told that it may only read."""
        self.closed = False
        self.room = room
        self._wake = wake
        self._news: set[int] = set()
        self._stateless: deque[str] = deque(maxlen=MAX_STATELESS_QUEUED)
        self.document = room.open(address, self)
        self._news.update(self.document.presence.present())

    def close(self) -> None:
        """Leave the document, with the clients that are there through this channel."""
        if not self.closed:
            self.closed = True
            self.room.close(self.document, self)

    def __str__(self) -> str:
        return str(self.address)

    # What the document tells

    def changed(self) -> None:
        self._wake(self)

    def noticed(self, ids: Iterable[int]) -> None:
        self._news.update(ids)
        self._wake(self)

    def told(self, payload: str) -> None:
        self._stateless.append(payload)
        self._wake(self)

    # What the connection takes

    def take_news(self) -> set[int]:
        """The clients of whose awareness it has not been told yet."""
        news, self._news = self._news, set()
        return news

    def take_stateless(self) -> list[str]:
        """The stateless messages that it has not been sent yet."""
        payloads = list(self._stateless)
        self._stateless.clear()
        return payloads

    @property
    def behind(self) -> bool:
        """Whether there are changes that it has not been sent."""
        return self.synced and self.position < self.document.head
