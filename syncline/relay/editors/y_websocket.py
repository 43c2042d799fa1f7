"""An editor that speaks y-websocket: one document to a connection."""

from __future__ import annotations

import asyncio

from syncline.engine.errors import InvalidUpdate, SynclineError
from syncline.engine.yjs import y_websocket
from syncline.engine.yjs.messages import (
    Awareness,
    Denied,
    Message,
    SyncStep1,
)
from syncline.relay.quotas import Visit
from syncline.transports import Request, Transport

from .channel import Channel
from .connection import EditorConnection, EditorService
from .names import address_of
from .refusals import close_code, reason
from .turned_away import Coming, coming

_NOTHING = SyncStep1(b"\0")  # what everybody has who comes for the first time


class YWebsocketConnection(EditorConnection):
    """y-websocket: the URL names the one document, and to deny it is to close the connection.

    It has no acknowledgement, so a change that comes back is one: version 4 waits for that.
    """

    echoes = True

    def __init__(
        self,
        service: EditorService,
        transport: Transport,
        request: Request,
        workspace: str,
        visit: Visit,
        name: str,
    ) -> None:
        super().__init__(service, transport, request, workspace, visit)
        self._name = name
        self._coming: Coming | None = None

    async def take(self, frame: bytes) -> None:
        channel = self.channels.get("")
        if channel is None:
            token = self.request.query.get("token")
            channel = await self.open("", address_of(self._name), token)
        message = y_websocket.decode(frame)
        if isinstance(message, SyncStep1) and self._coming is None and message != _NOTHING:
            self._coming = coming(self.workspace, channel.address, message.state_vector)
            # Before it is asked for what the relay lacks.
            self.service.turned_away.check(self._coming, asyncio.get_running_loop().time())
        await self.handle(channel, message)

    def encode(self, channel: Channel, message: Message) -> bytes | None:
        return y_websocket.encode(message)

    def deny(self, channel: Channel, error: SynclineError) -> None:
        # What it came with, not what it wrote since.
        if error.code == InvalidUpdate.code and channel.expecting and self._coming is not None:
            now = asyncio.get_running_loop().time()
            self.service.turned_away.add(self._coming, error, now)
        self.fail(error)

    def refuse_writing(self, channel: Channel) -> None:
        if not channel.warned:
            channel.warned = True
            self.say(channel, Denied(f"{channel} is read-only: changes are kept by nobody else."))

    def sign_of_life(self) -> bytes | None:
        return y_websocket.encode(Awareness(()))

    async def end(self, error: SynclineError) -> None:
        frame = y_websocket.encode(Denied(reason(error)))
        if frame is not None and error.retry_after is None:
            await self.transport.send(frame)
        await self.transport.close(close_code(error), error.message)
