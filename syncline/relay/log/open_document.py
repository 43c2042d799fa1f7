"""A document that editors have open at a relay: its latest changes, and who is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.yjs.messages import Client
from syncline.engine.yjs.presence import Presence


class Change(NamedTuple):
    """A committed change of the document; ``author`` is whose it is, or None."""

    entry: Entry
    author: str | None


class Follower(Protocol):
    """Who has the document open. Called while others are being told, so it must not wait."""

    @property
    def principal(self) -> str:
        """For whom."""
        ...

    def check_rights(self) -> None:
        """See to it that whoever may no longer read is told so."""
        ...

    def changed(self) -> None:
        """There is a change to be read."""
        ...

    def presence_changed(self, ids: Iterable[int]) -> None:
        """These clients came, went or changed."""
        ...

    def recall(self, id_: int) -> None:
        """This client, which is there through you, is to raise its clock."""
        ...

    def send_stateless(self, payload: str) -> None:
        """There is a stateless message to be passed on."""
        ...


class OpenDocument:
    """Followers read the changes at their own positions, as readers of a Room do: those that are no
    longer remembered they make up for from the store."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.presence = Presence()
        self.epoch = 0
        """The epoch of the latest change, 0 before the first."""
        self.head = 0
        """How many changes there were: the position of a follower that has them all."""
        self._changes: deque[Change] = deque()
        self._followers: dict[Follower, None] = {}  # in the order in which they came

    @property
    def empty(self) -> bool:
        return not self._followers

    def enter(self, follower: Follower) -> None:
        self._followers[follower] = None

    def leave(self, follower: Follower) -> None:
        """Let ``follower`` go, and the clients that were there through it."""
        self._followers.pop(follower, None)
        self._tell(self.presence.leave(follower))

    # Changes

    def publish(self, entry: Entry, author: str | None) -> None:
        """Tell everybody of what has just become durable."""
        self.epoch = max(self.epoch, entry.epoch)
        self.head += 1
        self._changes.append(Change(entry, author))
        for follower in self._followers:
            follower.changed()

    def forget(self, entry: Entry) -> None:
        """Drop the oldest change, if it is this one."""
        if self._changes and self._changes[0].entry is entry:
            self._changes.popleft()

    def after(self, position: int) -> Change | None:
        """The change at ``position``, below the head; None if it is no longer remembered."""
        oldest = self.head - len(self._changes)
        return self._changes[position - oldest] if position >= oldest else None

    # Who is there

    def hear(
        self, follower: Follower, clients: Iterable[Client], now: float, *, introduction: bool
    ) -> None:
        """Take in the awareness that came through ``follower``. Raises LimitExceeded."""
        principal = follower.principal
        if introduction:
            for client in clients:
                if self.presence.may_introduce(client.id, principal):
                    self._introduce(follower, client)
        changed = self.presence.update(
            follower, clients, now, principal=principal, introduction=introduction
        )
        self._tell(changed, besides=follower)

    def _introduce(self, newcomer: Follower, client: Client) -> None:
        """Let a client that connects be seen by who may know its clock from before, and see them:
        at a clock that one knows, one ignores."""
        if client.state is not None:
            newcomer.recall(client.id)
        invisible: dict[object, list[int]] = {}
        for channel, id_ in self.presence.invisible_to(client.id):
            invisible.setdefault(channel, []).append(id_)
        for follower in self._followers:
            for id_ in invisible.get(follower, ()):
                follower.recall(id_)

    def expire(self, now: float) -> None:
        """Let go of clients that have not been heard of for long."""
        self._tell(self.presence.expire(now))

    def _tell(self, ids: list[int], besides: Follower | None = None) -> None:
        if not ids:
            return
        for follower in self._followers:
            if follower is not besides:
                follower.presence_changed(ids)

    def check_rights(self) -> None:
        """Let everybody see whether they may still read."""
        for follower in self._followers:
            follower.check_rights()

    def broadcast(self, payload: str) -> None:
        """Send a stateless message to everybody."""
        for follower in self._followers:
            follower.send_stateless(payload)
