"""A reader that never reads, on a real socket, at a real relay process whose memory is measured."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from syncline.engine.names import Address
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import Ack, Hello, Updates
from tests.faults.processes import fork_server, free_port
from tests.relay.clients import Author, connected
from tests.transports.raw_client import TEXT, raw_websocket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

UPDATES = 150
SIZE = 400_000
READERS = 3
"""Stuck ones."""
MOST = 40 << 20
"""What the relay may grow by, while 60 MB pass through it: the room's latest commits (8 MiB), one
transaction and its frame, the database's caches, and what the allocator keeps."""


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10


def count_peak_from_here(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def text_frame(text: str) -> bytes:
    """As a client sends it (RFC 6455, 5.2), masked with zeros."""
    payload = text.encode()
    return bytes([0x80 | TEXT, 0x80 | 126]) + len(payload).to_bytes(2) + bytes(4) + payload


async def say_hello(raw: socket.socket, replica: str) -> None:
    hello = encode(Hello((1,), "crm", replica, 5, 0, 0, None))
    assert isinstance(hello, str)
    await asyncio.get_running_loop().sock_sendall(raw, text_frame(hello))


@pytest.mark.slow
async def test_readers_that_never_read_cost_no_memory_and_lose_nothing(tmp_path: Path) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with fork_server() as server:
        store = f"sqlite:///{tmp_path / 'relay.db'}"
        await server.start("relay", store=store, port=port, plant=None)
        async with AsyncExitStack() as stuck:
            for number in range(READERS):
                raw = await stuck.enter_async_context(raw_websocket(port, receive_buffer=4096))
                await say_hello(raw, f"{number:032x}")
            await _write(url, server.pid)
        async with connected(url, f"{0:032x}") as again:
            await again.greet(cursor=0)
            found = set[Address]()
            while len(found) < UPDATES:
                found |= {entry.address for entry in (await again.hear(Updates)).entries}


async def _write(url: str, pid: int) -> None:
    """Write 60 MB while somebody reads, and look at the relay's memory."""
    async with connected(url, "a" * 32) as writer, connected(url, "b" * 32) as reader:
        await writer.greet()
        await reader.greet()
        count_peak_from_here(pid)
        before = peak_memory(pid)
        cursor = 0
        for number in range(1, UPDATES + 1):
            update = Author(number).type("x" * SIZE)
            await writer.push(number, update, address=Address("pages", str(number)))
            await writer.hear(Ack)
            while cursor < number:  # who reads is served meanwhile
                cursor = (await reader.hear(Updates)).cursor
        assert peak_memory(pid) - before < MOST
