"""An editor that speaks y-websocket: one document to a connection."""

from __future__ import annotations

from syncline.engine.errors import (
    SynclineError,
)
from syncline.engine.yjs import y_websocket
from syncline.engine.yjs.messages import (
    Awareness,
    Denied,
    Message,
)
from syncline.transports import Request, Transport

from .channel import Channel
from .connection import EditorConnection, EditorService
from .names import address_of
from .refusals import close_code, reason


class YWebsocketConnection(EditorConnection):
    """y-websocket: the URL names the one document, and to deny it is to close the connection."""

    def __init__(
        self,
        service: EditorService,
        transport: Transport,
        request: Request,
        workspace: str,
        name: str,
    ) -> None:
        super().__init__(service, transport, request, workspace)
        self._name = name

    async def take(self, frame: bytes) -> None:
        channel = self.channels.get("")
        if channel is None:
            token = self.request.query.get("token")
            channel = await self.open("", address_of(self._name), token)
        await self.handle(channel, y_websocket.decode(frame))

    def encode(self, channel: Channel, message: Message) -> bytes | None:
        return y_websocket.encode(message)

    def deny(self, channel: Channel, error: SynclineError) -> None:
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
