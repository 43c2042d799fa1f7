"""Yjs clients spoken by hand: frames to a real relay, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from syncline.engine.lib0 import write_string, write_uint
from syncline.engine.yjs import hocuspocus, y_websocket
from syncline.engine.yjs.hocuspocus import encode as about
from syncline.engine.yjs.messages import (
    Authenticated,
    Message,
    SyncStatus,
    SyncStep1,
    SyncStep2,
)

PATIENCE = 60.0
NOTHING = b"\0\0"
STORED, NOT_STORED = SyncStatus(stored=True), SyncStatus(stored=False)
EMPTY = SyncStep1(b"\0")
A, B = "pages/a", "pages/b"


class RawEditor:
    """One connection; ``hear`` gives frames as they come."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: bytes | str) -> None:
        with suppress(ConnectionClosed):  # ``hear`` and ``ended`` tell
            await self._connection.send(frame)

    async def hear(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            frame = await self._connection.recv()
        assert isinstance(frame, bytes)
        return frame

    async def hear_until(self, wanted: bytes) -> list[bytes]:
        """Everything up to the frame ``wanted``."""
        frames: list[bytes] = []
        while not frames or frames[-1] != wanted:
            frames.append(await self.hear())
        return frames

    async def ended(self) -> tuple[int, str, list[bytes]]:
        """Wait for the end: close code, reason, and the frames that came before."""
        frames: list[bytes] = []
        with suppress(ConnectionClosed):
            while True:
                frames.append(await self.hear())
        code, reason = self._connection.close_code, self._connection.close_reason
        assert code is not None
        return code, reason or "", frames

    def break_off(self) -> None:
        """Drop the connection without a closing handshake."""
        self._connection.transport.abort()


class YWebsocket(RawEditor):
    """Speaks y-websocket."""

    async def say(self, message: Message) -> None:
        frame = y_websocket.encode(message)
        assert frame is not None
        await self.send(frame)

    async def told(self) -> Message:
        return y_websocket.decode(await self.hear())


class Hocuspocus(RawEditor):
    """Speaks Hocuspocus."""

    async def say(self, name: str, message: Message) -> None:
        await self.send(hocuspocus.encode(name, message))

    async def authenticate(self, name: str, token: str = "", version: str | None = None) -> None:
        out = bytearray()
        write_string(out, name)
        out += b"\x02\x00"
        write_string(out, token)
        if version is not None:
            write_string(out, version)
        await self.send(bytes(out))


@asynccontextmanager
async def y_websocket_at(
    url: str, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[YWebsocket]:
    async with connect(url, compression=None, additional_headers=headers) as connection:
        yield YWebsocket(connection)


@asynccontextmanager
async def hocuspocus_at(
    url: str, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[Hocuspocus]:
    async with connect(url, compression=None, additional_headers=headers) as connection:
        yield Hocuspocus(connection)


def frame_about(name: str, *parts: bytes | int | str) -> bytes:
    """A frame of Hocuspocus by hand."""
    out = bytearray()
    write_string(out, name)
    for part in parts:
        if isinstance(part, int):
            write_uint(out, part)
        elif isinstance(part, str):
            write_string(out, part)
        else:
            out += part
    return bytes(out)


async def synced(editor: YWebsocket) -> SyncStep2:
    """Open the document; returns what it holds."""
    await editor.say(EMPTY)
    step_1 = await editor.told()
    assert isinstance(step_1, SyncStep1)
    step_2 = await editor.told()
    assert isinstance(step_2, SyncStep2)
    await editor.say(SyncStep2(NOTHING))
    return step_2


async def opened(editor: Hocuspocus, name: str, token: str = "") -> bytes:
    """Open a document as a provider does; returns the frame with what it holds."""
    await editor.authenticate(name, token)
    await editor.say(name, EMPTY)
    assert await editor.hear() == about(name, Authenticated(read_only=False))
    assert (await editor.hear()).startswith(frame_about(name, 0, 0))
    step_2 = await editor.hear()
    assert step_2.startswith(frame_about(name, 0, 1))
    await editor.say(name, SyncStep2(NOTHING))
    assert await editor.hear() == about(name, STORED)
    return step_2
