"""What a transport that repeats and reorders has to do by itself: one handshake, and first of all.

The sessions find lost, repeated and late frames of every other kind. A websocket does none of it,
so they need not bear a second hello.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from syncline.engine.protocol.codec import decode
from syncline.engine.protocol.messages import Error, Hello, Message, Welcome
from syncline.transports import Frame, Transport


class DeviceTransport:
    """The device's end: whatever comes before the welcome waits. ``watch`` sees every message."""

    def __init__(self, transport: Transport, watch: Callable[[Message], None]) -> None:
        self._transport = transport
        self._watch = watch
        self._welcomed = False
        self._early: deque[Frame] = deque()

    @property
    def peer(self) -> str:
        return self._transport.peer

    async def send(self, frame: Frame) -> None:
        await self._transport.send(frame)

    async def receive(self) -> Frame:
        while True:
            if self._welcomed and self._early:
                return self._early.popleft()
            frame = await self._transport.receive()
            message = decode(frame)
            self._watch(message)
            if isinstance(message, Welcome):
                if not self._welcomed:
                    self._welcomed = True
                    return frame
            elif self._welcomed or isinstance(message, Error):
                return frame
            else:
                self._early.append(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.close(code, reason)


class RelayTransport:
    """The relay's end: only the first hello is one."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._greeted = False

    @property
    def peer(self) -> str:
        return self._transport.peer

    async def send(self, frame: Frame) -> None:
        await self._transport.send(frame)

    async def receive(self) -> Frame:
        while True:
            frame = await self._transport.receive()
            if isinstance(frame, bytes) or not isinstance(decode(frame), Hello):
                return frame
            if not self._greeted:
                self._greeted = True
                return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._transport.close(code, reason)
