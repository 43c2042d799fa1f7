"""The two protocols of Yjs clients, as an editor's connection speaks them."""

from __future__ import annotations

import asyncio
import logging

from syncline.engine.errors import (
    InvalidName,
    LimitExceeded,
    MalformedFrame,
    NotAllowed,
    NotAuthenticated,
    ProtocolError,
    SynclineError,
)
from syncline.engine.names import Address
from syncline.engine.protocol.messages import SUBPROTOCOL
from syncline.engine.yjs import hocuspocus, y_websocket
from syncline.engine.yjs.messages import (
    Authenticate,
    Authenticated,
    Awareness,
    Close,
    Denied,
    Message,
    Ping,
    SyncStatus,
    SyncStep1,
)
from syncline.transports import Request, Transport

from .channel import Channel
from .editor import IDLE_SECONDS, Editor, EditorService

logger = logging.getLogger("syncline.relay")

DEFAULT_COLLECTION = "documents"
"""Where a document is whose name has no slash."""
MAX_CHANNELS = 1024
"""Documents open on one connection."""


def address_of(name: str) -> Address:
    """The address that a Yjs client's document name means. Raises InvalidName."""
    return Address.parse(name if "/" in name else f"{DEFAULT_COLLECTION}/{name}")


def close_code(error: SynclineError) -> int:
    """The websocket close code for ``error``.

    y-websocket tries again after all but 4400 to 4499; Hocuspocus after every one.
    """
    if error.retry_after is not None:
        return 1013
    if isinstance(error, NotAuthenticated):
        return 4401
    if isinstance(error, LimitExceeded):
        return 4429
    if isinstance(error, InvalidName | MalformedFrame):
        return 4400
    if isinstance(error, NotAllowed | ProtocolError):
        return 4403
    return 1011


def reason(error: SynclineError) -> str:
    """What is shown to the person at the editor."""
    return f"{error.message} {error.hint}"


class YWebsocketEditor(Editor):
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


class HocuspocusEditor(Editor):
    """Hocuspocus: every frame names its document, and each is opened and denied for itself."""

    def __init__(
        self, service: EditorService, transport: Transport, request: Request, workspace: str
    ) -> None:
        super().__init__(service, transport, request, workspace)
        self._denied: set[str] = set()
        self._answers_pings = False

    async def take(self, frame: bytes) -> None:
        key, reader = hocuspocus.read_address(frame)
        if not key:
            return  # a pong
        channel = self.channels.get(key)
        try:
            message = hocuspocus.read_message(reader)
            if channel is None:
                channel = await self._enter(key, message)
        except SynclineError as error:
            if error.retry_after is not None:
                raise
            self._refuse(key, error)
            return
        if channel is None:
            return
        match message:
            case Authenticate():
                pass  # it was answered
            case Close():
                self.shut(channel)
                self.say(channel, Close("provider_initiated"))
            case _:
                await self.handle(channel, message)

    async def _enter(self, key: str, message: Message) -> Channel | None:
        """Open the document that a frame is about; None for what follows a denial or a close."""
        token: str | None = None
        if isinstance(message, Authenticate):
            token = message.token
            self._answers_pings = message.version is not None
        # v2 without a token sends none, and begins with the first step.
        elif key in self._denied or not isinstance(message, SyncStep1):
            return None
        if len(self.channels) + len(self._denied) >= MAX_CHANNELS:
            raise LimitExceeded(
                f"{MAX_CHANNELS} documents are open on this connection, which is the most.",
                hint="Close some, or open another connection.",
            )
        self._denied.discard(key)
        channel = await self.open(key, address_of(hocuspocus.name_of(key)), token)
        self.say(channel, Authenticated(read_only=channel.read_only))
        return channel

    def _refuse(self, key: str, error: SynclineError) -> None:
        """Deny a document that may not be open."""
        channel = self.channels.get(key)
        if channel is not None:
            self.deny(channel, error)
            return
        if len(self._denied) >= MAX_CHANNELS:
            raise error
        self._denied.add(key)
        self.say_frame(hocuspocus.encode(key, Denied(reason(error))))

    def encode(self, channel: Channel, message: Message) -> bytes | None:
        return hocuspocus.encode(channel.key, message)

    def deny(self, channel: Channel, error: SynclineError) -> None:
        if channel.closed:
            return
        logger.warning("%s is denied %s: %s", self.transport.peer, channel, error)
        self.shut(channel)
        self._denied.add(channel.key)
        # A close alone would leave the provider waiting, without a word to the person.
        self.say(channel, Denied(reason(error)))
        self.say(channel, Close(error.message))

    def refuse_writing(self, channel: Channel) -> None:
        self.say(channel, SyncStatus(stored=False))

    def sign_of_life(self) -> bytes | None:
        if self._answers_pings:
            return hocuspocus.encode("", Ping())
        channel = next(iter(self.channels.values()), None)
        return hocuspocus.encode(channel.key, Awareness(())) if channel is not None else None

    async def end(self, error: SynclineError) -> None:
        await self.transport.close(close_code(error), error.message)


async def serve_editor(
    service: EditorService,
    transport: Transport,
    request: Request,
    workspace: str,
    name: str | None,
) -> None:
    """Serve a connection that is no replica's, to ``/workspace`` or ``/workspace/name``.

    The first frame of y-websocket begins with 0, which no name of Hocuspocus does. Raises
    TransportClosed.
    """
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            first = await transport.receive()
    except TimeoutError:
        await transport.close(1008, f"there was no frame within {IDLE_SECONDS:g} seconds")
        return
    if isinstance(first, str):
        # RFC 6455, 7.4.1: 1002 is a protocol error. Refusing the handshake instead would hide the
        # reason from programs in browsers.
        await transport.close(1002, f'the subprotocol "{SUBPROTOCOL}" is needed')
        return
    speaks_y_websocket = first.startswith(b"\0")
    if speaks_y_websocket and name is not None:
        await YWebsocketEditor(service, transport, request, workspace, name).serve(first)
    elif not speaks_y_websocket and name is None:
        await HocuspocusEditor(service, transport, request, workspace).serve(first)
    elif speaks_y_websocket:
        await transport.close(4400, "the URL names no document")
    else:
        await transport.close(4400, f"the URL of a HocuspocusProvider ends in /{workspace}")
