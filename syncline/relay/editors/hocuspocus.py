"""An editor that speaks Hocuspocus: many documents on one connection."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from syncline.engine.errors import (
    LimitExceeded,
    SynclineError,
)
from syncline.engine.yjs import hocuspocus
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
    Update,
)
from syncline.relay.quotas import Visit
from syncline.transports import Request, Transport

from .channel import Channel
from .connection import EditorConnection, EditorService
from .names import address_of
from .refusals import close_code, reason

logger = logging.getLogger("syncline.relay")


MAX_CHANNELS = 1024
"""Documents open on one connection."""
MAX_WAITING_BYTES = 1 << 20
"""Size of what waits for a token on one connection."""


@dataclass(slots=True)
class _Waiting:
    """What came of a document that is not open, to be taken up when a token lets it in: a provider
    whose token was refused sends the next one after it has asked for the document again."""

    step_1: SyncStep1
    awareness: Awareness | None = None
    updates: int = 0
    """They are in what the client sends when it is asked, but are to be acknowledged too."""
    size: int = 0


class HocuspocusConnection(EditorConnection):
    """Hocuspocus: every frame names its document, and each is opened and denied for itself."""

    def __init__(
        self,
        service: EditorService,
        transport: Transport,
        request: Request,
        workspace: str,
        visit: Visit,
    ) -> None:
        super().__init__(service, transport, request, workspace, visit)
        self._denied: set[str] = set()
        self._waiting: dict[str, _Waiting] = {}
        self._answers_pings = False

    async def take(self, frame: bytes) -> None:
        key, reader = hocuspocus.read_address(frame)
        if not key:
            return  # a pong
        channel = self.channels.get(key)
        message: Message | None = None
        try:
            message = hocuspocus.read_message(reader)
            if channel is None:
                channel = await self._enter(key, message)
            elif isinstance(message, Authenticate):
                await self.renew(channel, message.token)
        except SynclineError as error:
            if error.retry_after is not None:
                raise
            self._refuse(key, error)
            channel = None
        if channel is None:
            self._keep(key, message, len(frame))
            return
        match message:
            case Authenticate():
                self.say(channel, Authenticated(read_only=channel.read_only))
                await self._take_up(channel)
            case Close():
                self.shut(channel)
                self.say(channel, Close("provider_initiated"))
            case None:
                pass
            case _:
                await self.handle(channel, message)

    def _keep(self, key: str, message: Message | None, size: int) -> None:
        """Keep what came of a document that is denied, if it is to be taken up later."""
        waiting = self._waiting.get(key)
        room = MAX_WAITING_BYTES - sum(each.size for each in self._waiting.values())
        match message:
            case SyncStep1() if key in self._denied and size <= room:
                self._waiting[key] = _Waiting(message, size=size)
            case Awareness() if waiting is not None and size <= room:
                waiting.awareness = message
                waiting.size += size
            case Update() if waiting is not None:
                waiting.updates += 1
            case Close():
                self._waiting.pop(key, None)
            case _:
                pass

    async def _take_up(self, channel: Channel) -> None:
        """Do what a client has asked for before it was let in."""
        waiting = self._waiting.pop(channel.key, None)
        if waiting is None:
            return
        channel.taken_up = True
        channel.unanswered = waiting.updates
        await self.handle(channel, waiting.step_1)
        if waiting.awareness is not None and not channel.closed:
            await self.handle(channel, waiting.awareness)

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
        if not isinstance(message, Authenticate):
            self._waiting.pop(key, None)
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
        self.note("refused", None, code=error.code)
        self._denied.add(key)
        self.say_frame(hocuspocus.encode(key, Denied(reason(error))))

    def encode(self, channel: Channel, message: Message) -> bytes | None:
        return hocuspocus.encode(channel.key, message)

    def deny(self, channel: Channel, error: SynclineError) -> None:
        if channel.closed:
            return
        logger.warning("%s is denied %s: %s", self.transport.peer, channel, error)
        self.note("refused", channel, code=error.code)
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
