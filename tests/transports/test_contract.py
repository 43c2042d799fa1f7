"""Every transport passes the contract that ships with the package."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from syncline.testing.network import Faults, MemoryNetwork, memory_pair
from syncline.testing.transport_contract import TransportContract
from syncline.transports import Request, Timeouts, Transport, WebSocketServer, connect_websocket


class TestMemoryPair(TransportContract):
    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[tuple[Transport, Transport], None]:
        yield memory_pair()


class TestMemoryNetwork(TransportContract):
    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[tuple[Transport, Transport], None]:
        accepted: asyncio.Future[Transport] = asyncio.get_running_loop().create_future()
        done = asyncio.Event()

        async def handler(transport: Transport, _request: Request) -> None:
            accepted.set_result(transport)
            await done.wait()

        faults = Faults(min_delay=0.0, max_delay=0.0002)
        async with MemoryNetwork(random.Random(1), faults) as network:
            network.listen("ws://relay", handler)
            yield await network.connect("ws://relay/crm"), await accepted
            done.set()


class TestWebSocket(TransportContract):
    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[tuple[Transport, Transport], None]:
        accepted: asyncio.Future[Transport] = asyncio.get_running_loop().create_future()
        done = asyncio.Event()

        async def handler(transport: Transport, _request: Request) -> None:
            accepted.set_result(transport)
            await done.wait()

        timeouts = Timeouts(close=0.5)
        async with WebSocketServer(handler, timeouts=timeouts) as server:
            client = await connect_websocket(f"{server.url}/crm", timeouts=timeouts)
            yield client, await accepted
            await client.close()
            done.set()


@pytest.mark.slow
def test_the_contract_needs_no_network_library() -> None:
    program = "import sys, syncline.testing.transport_contract; print('websockets' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
