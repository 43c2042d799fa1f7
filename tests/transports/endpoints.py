"""What tests do at either end of a connection."""

from __future__ import annotations

import asyncio

import pytest

from syncline.engine.errors import TransportClosed
from syncline.transports import Request, Transport


async def until_closed(transport: Transport, _request: Request) -> None:
    """A handler that takes whatever comes."""
    while True:
        await transport.receive()


async def closed(transport: Transport) -> TransportClosed:
    with pytest.raises(TransportClosed) as caught:
        await transport.receive()
    return caught.value


async def hung_up(reader: asyncio.StreamReader) -> bool:
    """Whether the server hangs up soon and without a word, politely or not."""
    try:
        async with asyncio.timeout(5):
            return await reader.read() == b""
    except ConnectionResetError:
        return True
