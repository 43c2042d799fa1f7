"""A simulated network with one listener, for tests that steer both ends by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from syncline.engine.errors import TransportClosed
from syncline.testing.network import MemoryNetwork, MemoryTransport
from syncline.transports import Request
from tests.transports.virtual_clock import run_virtually

RELAY = "ws://relay"
URL = "ws://relay/crm"
Arrival: TypeAlias = tuple[float, str | bytes]


class Listener:
    """Accepts connections and leaves them to the test."""

    def __init__(self, network: MemoryNetwork, name: str = RELAY) -> None:
        self.accepted: asyncio.Queue[MemoryTransport] = asyncio.Queue()
        self.requests: list[Request] = []
        network.listen(name, self._handle)

    async def _handle(self, transport: MemoryTransport, request: Request) -> None:
        self.requests.append(request)
        self.accepted.put_nowait(transport)
        await asyncio.get_running_loop().create_future()  # until it is cancelled


async def connect(
    network: MemoryNetwork, listener: Listener, client: str = "client"
) -> tuple[MemoryTransport, MemoryTransport]:
    return await network.connect(URL, client=client), await listener.accepted.get()


async def received(transport: MemoryTransport, seconds: float = 1000.0) -> list[Arrival]:
    """Everything that comes within ``seconds``, with the time of its arrival."""
    arrivals: list[Arrival] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            while True:
                frame = await transport.receive()
                arrivals.append((loop.time(), frame))
    except TimeoutError:
        return arrivals


def frames(arrivals: list[Arrival]) -> list[str | bytes]:
    return [frame for _, frame in arrivals]


async def closed(transport: MemoryTransport) -> TransportClosed:
    with pytest.raises(TransportClosed) as caught:
        await transport.receive()
    return caught.value


def in_network(
    test: Callable[[MemoryNetwork, Listener], Coroutine[Any, Any, None]],
) -> Callable[[], None]:
    """A test in virtual time, on a network without faults that has one listener."""

    async def main() -> None:
        async with MemoryNetwork(random.Random(1)) as network:
            await test(network, Listener(network))

    def test_function() -> None:
        run_virtually(main())

    test_function.__name__ = test.__name__
    return test_function
