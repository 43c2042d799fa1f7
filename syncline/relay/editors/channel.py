"""A channel: one document, open on the connection of an editor, and what is sent about it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from syncline.access.access import Permit
from syncline.engine.errors import PeerError, SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import EPOCH_CHANGED
from syncline.engine.updates.parse import StateVector, encode_state_vector
from syncline.engine.yjs.messages import (
    Awareness,
    Client,
    Message,
    QueryAwareness,
    Stateless,
    SyncStep1,
    SyncStep2,
    Update,
)
from syncline.relay.log.document_reader import DocumentReader
from syncline.relay.log.room import Room
from syncline.stores import StoreCalls

from .pace import MAX_QUERIES, QUERIES_PER_SECOND, AwarenessInbox, Paced

MAX_STATELESS_QUEUED = 64
"""Stateless messages that wait for one editor; of more, the oldest are dropped."""
_AWARENESS_PAGE = 200  # clients in one frame


class ChannelService(Protocol):
    """What a channel needs of its relay."""

    reader: StoreCalls
    documents: DocumentReader


class Channel:
    """What an editor has of a document and what it is to be sent next. Nothing is kept for it that
    grows: changes are read at its position, awareness is the latest of each client.

    ``key`` is how the connection calls it, ``author`` the name under which it changes the document,
    of the epoch ``epoch``, which begins with a rebuilding or not; ``wake`` is called when
    there is something to be sent, ``deny`` when it is to be closed. ``echoes``: the editor's own
    changes, too.
    """

    def __init__(
        self,
        service: ChannelService,
        room: Room,
        key: str,
        address: Address,
        permit: Permit,
        *,
        author: str,
        epoch: int,
        rebuilt: bool,
        wake: Callable[[Channel], None],
        deny: Callable[[Channel, SynclineError], None],
        echoes: bool,
    ) -> None:
        self.key = key
        self.address = address
        self.permit = permit
        self.author = author
        self.epoch = epoch
        self._rebuilt = rebuilt
        self.room = room
        self.greeting = False
        """Whether the frame before asked for the document for the first time: then comes the
        editor's own awareness."""
        self.expecting = True
        """Whether the editor was asked, or is about to be asked, for what the relay lacks. Its
        answer, a step 2, has all that it sent before."""
        self.unanswered = 0
        """Updates of the editor that build on what the relay lacks: that answer brings them, and
        is then acknowledged for them too."""
        self.asked_again = False
        """Whether such an answer was itself not enough, and was asked for again."""
        self.taken_up = False
        """Whether it asked before its token came, and has not answered since. It may ask again
        behind the token, and counts one acknowledgement then: so it is itself asked only once."""
        self.warned = False
        """Whether it was told that it may only read."""
        self.closed = False
        self._service = service
        self._wake = wake
        self._echoes = echoes
        self._has: StateVector = {}  # what the editor is known to have
        self._asked: StateVector | None = None  # what it said that it has, and waits
        self._synced = False  # it was sent what there was: from then on it gets each change
        self._position = 0  # in the document's changes
        self._changed_clients: set[int] = set()  # whose awareness it has not been sent
        self._recalled: set[int] = set()  # clients of its own that are to raise their clocks
        self._stateless: deque[str] = deque(maxlen=MAX_STATELESS_QUEUED)
        self._deny = deny
        self._awareness = AwarenessInbox(self._hear)
        self._query = Paced(self._tell_presence, QUERIES_PER_SECOND, MAX_QUERIES)
        self.document = room.open(address, self)
        self._tell_presence()

    def __str__(self) -> str:
        return str(self.address)

    def close(self) -> None:
        """Leave the document, with the clients that are there through this channel."""
        if not self.closed:
            self.closed = True
            self._awareness.close()
            self._query.cancel()
            self.room.close(self.document, self)

    def check_read(self) -> None:
        """Raises NotAllowed if the editor may not read the document now."""
        self.permit.check_read(self.address)

    @property
    def read_only(self) -> bool:
        """Whether the editor may not change the document now."""
        return not self.permit.may_write(self.address)

    @property
    def principal(self) -> str:
        return self.permit.principal.name

    def check_rights(self) -> None:
        if not self.permit.may_read(self.address):
            self._wake(self)  # whoever sends is told

    # What the document tells

    def changed(self) -> None:
        self._wake(self)

    def presence_changed(self, ids: Iterable[int]) -> None:
        self._changed_clients.update(ids)
        self._wake(self)

    def recall(self, id_: int) -> None:
        self._recalled.add(id_)
        self._wake(self)

    def send_stateless(self, payload: str) -> None:
        self._stateless.append(payload)
        self._wake(self)

    # What the editor says of who is there

    def hear(self, clients: tuple[Client, ...], *, introduction: bool) -> None:
        """Take in awareness, in its turn; an introduction at once."""
        if introduction:
            self._hear(clients, introduction=True)
        else:
            self._awareness.put(clients)

    def _hear(self, clients: tuple[Client, ...], *, introduction: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        try:
            self.document.hear(self, clients, now, introduction=introduction)
        except SynclineError as error:
            self._deny(self, error)

    def query(self) -> None:
        """The editor asks who is there."""
        self._query.ask()

    def _tell_presence(self) -> None:
        self.presence_changed(self.document.presence.present())

    # What the editor asks for

    def ask(self, have: StateVector) -> None:
        """The editor has ``have`` and asks for the rest. Raises PeerError if what it has is of a
        former epoch of the document."""
        # Who has something, and not the beginning of the rebuilt document, has its former history,
        # and would bring all of it back.
        if self._rebuilt and have and self.epoch not in have:
            raise self.former()
        self.greeting = not self._synced and self._asked is None
        self._asked = have
        self._wake(self)

    def former(self) -> PeerError:
        """What the editor of a former epoch is told."""
        return PeerError(
            EPOCH_CHANGED,
            f"{self} was rebuilt at the relay, and this editor has its former history.",
            hint="Copy what you need, clear what the browser keeps of it, and load it anew.",
        )

    # What is sent

    @property
    def behind(self) -> bool:
        """Whether there is something to be sent."""
        return (
            self._asked is not None
            or bool(self._changed_clients)
            or bool(self._recalled)
            or bool(self._stateless)
            or (self._synced and self._position < self.document.head)
        )

    async def send_next(self, tell: Callable[[Message], Awaitable[None]]) -> None:
        """Send what comes next: an answer, a change, awareness and stateless messages.

        Raises what ``tell`` raises, NotAllowed, PeerError for a document that was rebuilt,
        DocumentBroken and StoreError.
        """
        self.check_read()
        if self._asked is not None:
            await self._answer(self._asked, tell)
        elif self._synced and self._position < self.document.head:
            await self._send_change(tell)
        if self._recalled:
            await self._recall(tell)
        changed, self._changed_clients = sorted(self._changed_clients), set()
        for start in range(0, len(changed), _AWARENESS_PAGE):
            page = changed[start : start + _AWARENESS_PAGE]
            clients = self.document.presence.clients(page, besides=self)
            if clients:
                self.check_read()
                await tell(Awareness(clients))
        while self._stateless:
            self.check_read()
            await tell(Stateless(self._stateless.popleft()))

    async def _recall(self, tell: Callable[[Message], Awaitable[None]]) -> None:
        """A client that hears that it has gone raises its clock; asked, it says so."""
        ids, self._recalled = sorted(self._recalled), set()
        clients = self.document.presence.clients(ids, besides=None)
        await tell(Awareness(tuple(client._replace(state=None) for client in clients)))
        await tell(QueryAwareness())

    async def _answer(self, have: StateVector, tell: Callable[[Message], Awaitable[None]]) -> None:
        """Send what the editor asked for, and ask it what it has in turn."""
        self._asked = None
        # What is committed from here on comes as a change, even if the answer holds it already.
        position = self.document.head
        state_vector, update = await self._difference(have)
        if not (self.taken_up and self._synced):
            await tell(SyncStep1(encode_state_vector(state_vector)))
        await tell(SyncStep2(update))
        self._position = position
        self._synced = True

    async def _send_change(self, tell: Callable[[Message], Awaitable[None]]) -> None:
        if self.document.epoch > self.epoch:
            raise self.former()
        self.check_read()
        change = self.document.after(self._position)
        if change is not None:
            self._position += 1
            if self._echoes or change.author != self.author:
                await tell(Update(change.entry.update))
            return
        # It was slow, and what it lacks is no longer remembered.
        self._position = self.document.head
        _, update = await self._difference(self._has)
        await tell(Update(update))

    async def _difference(self, have: StateVector) -> tuple[StateVector, bytes]:
        self.check_read()
        epoch, state_vector, update = await self._service.reader(
            self._service.documents.difference,
            self.room.workspace,
            self.address,
            self.epoch,
            have,
        )
        if epoch != self.epoch:
            raise self.former()
        self._has = {
            client: max(have.get(client, 0), state_vector.get(client, 0))
            for client in have | state_vector
        }
        return state_vector, update
