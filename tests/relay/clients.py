"""A replica spoken by hand: frames to a real relay, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.protocol.codec import decode, encode
from syncline.engine.protocol.messages import Entry, Frame, Hello, Message, Push, Welcome
from syncline.transports import Transport, connect_websocket

PATIENCE = 60.0
M = TypeVar("M", bound=Message)

NOTE = Address("pages", "note")


class Client:
    """One connection; ``say`` sends, ``hear`` waits for the next message of a type."""

    def __init__(self, transport: Transport, replica: str) -> None:
        self._transport = transport
        self.replica = replica

    async def say(self, message: Message | Frame) -> None:
        frame = message if isinstance(message, str | bytes) else encode(message)
        await self._transport.send(frame)

    async def hear(self, kind: type[M]) -> M:
        """The next message of that type; others before it are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = decode(await self._transport.receive())
                if isinstance(message, kind):
                    return message

    async def greet(
        self, *, cursor: int = 0, acknowledged: int = 0, token: str | None = None
    ) -> Welcome:
        await self.say(Hello((1,), "crm", self.replica, 5, cursor, acknowledged, None, token))
        return await self.hear(Welcome)

    async def push(
        self, batch: int, *updates: bytes, address: Address = NOTE, epoch: int = 0
    ) -> None:
        await self.say(Push(batch, tuple(Entry(address, update, epoch) for update in updates)))

    async def ended(self) -> int:
        """Wait for the end; returns the close code."""
        from syncline.engine.errors import TransportClosed

        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self._transport.receive()
                except TransportClosed as closed:
                    return closed.close_code


@asynccontextmanager
async def connected(url: str, replica: str = "0" * 32) -> AsyncGenerator[Client]:
    transport = await connect_websocket(f"{url}/crm")
    try:
        yield Client(transport, replica)
    finally:
        await transport.close()


class Author:
    """Makes updates of one text."""

    def __init__(self, client_id: int = 2**40) -> None:
        self.client = client_id
        self.document = Document(client_id)

    def delete(self, index: int, length: int) -> bytes:
        self.document.text("body").delete(index, length)
        (update,) = self.document.take_captured()
        return update

    def everything(self) -> bytes:
        """What a client sends that connects to a relay without this document."""
        return self.document.diff({})

    def text(self) -> str:
        return self.document.text("body").content()

    def type(self, text: str) -> bytes:
        root = self.document.text("body")
        root.insert(len(root.content()), text)
        (update,) = self.document.take_captured()
        return update


def text_of(*updates: bytes) -> str:
    document = Document(1, updates)
    return document.text("body").content()
