"""How long a well-behaved client waits for its acknowledgements while others flood the relay.

Run: ``python benchmarks/floods.py [SECONDS] [FLOOD …]``. One ``syncline serve`` with a SQLite store
in a process of its own; every flood comes from processes of their own, too. The client types: it
pushes an edit, waits for the acknowledgement, and pushes the next 20 ms later. Printed are p50 and
p99 of that wait, and their ratio to those of the same client at the same relay while it is idle,
measured just before.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.protocol.codec import decode, encode
from syncline.engine.protocol.messages import (
    Ack,
    Compare,
    Entry,
    Error,
    Fetch,
    Hello,
    Message,
    Push,
    Welcome,
)
from syncline.engine.yjs import hocuspocus, y_websocket
from syncline.engine.yjs.messages import (
    Awareness,
    Client,
    Pong,
    QueryAwareness,
    Stateless,
    SyncStep1,
)
from syncline.transports.websocket import SUBPROTOCOL

SECONDS = 5.0
TYPING_SECONDS = 0.02
IMPORTED = 1000  # updates in a batch of an import
# On Linux the whole of 127.0.0.0/8 is this machine.
ELSEWHERE: dict[str, Any] = {"local_addr": ("127.0.0.2", 0)} if sys.platform == "linux" else {}
PAGE = "/crm/pages%2Fwelcome"


@asynccontextmanager
async def relay(folder: Path) -> AsyncGenerator[str]:
    """A relay in a process of its own; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "syncline",
        *("serve", "--port", "0", "--store", f"sqlite:///{folder / 'relay.db'}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stdout is not None
    try:
        while True:
            line = (await process.stdout.readline()).decode()
            found = re.search(r"ws://\S+:\d+", line)
            if found:
                yield found[0]
                break
            assert line, "the relay did not start"
    finally:
        process.terminate()
        await process.wait()


class Replica:
    """The least that a replica is: a connection, and batches with numbers."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._batch = 0

    async def say(self, message: Message) -> None:
        await self._connection.send(encode(message))

    async def hear(self, kind: type[Message]) -> None:
        while True:
            message = decode(await self._connection.recv())
            if isinstance(message, kind):
                return
            assert not isinstance(message, Error), message

    async def push(self, *entries: Entry) -> None:
        self._batch += 1
        await self.say(Push(self._batch, entries))


@asynccontextmanager
async def replica(url: str) -> AsyncGenerator[Replica]:
    async with connect(
        f"{url}/crm", subprotocols=[SUBPROTOCOL], compression=None, proxy=None, max_size=None
    ) as connection:
        there = Replica(connection)
        await there.say(Hello((1,), "crm", os.urandom(16).hex(), 5, 0, 0, None))
        await there.hear(Welcome)
        yield there


async def typing(url: str, seconds: float) -> list[float]:
    """How long the client waits for each of its acknowledgements."""
    client = int.from_bytes(os.urandom(5)) + 2**40
    document, address = Document(client), Address("notes", f"{client}")
    waits: list[float] = []
    async with replica(url) as there:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(waits) < 2:
            document.text("body").insert(0, "x")
            (update,) = document.take_captured()
            began = time.perf_counter()
            await there.push(Entry(address, update))
            await there.hear(Ack)
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(TYPING_SECONDS)
    return waits


# Floods: each goes on until its process is ended


async def pings(url: str) -> None:
    """Empty websocket pings, without a hello."""
    async with connect(f"{url}/crm", subprotocols=[SUBPROTOCOL], compression=None) as connection:
        many = b"\x89\x80\0\0\0\0" * 10_000
        while not connection.transport.is_closing():
            connection.transport.write(many)
            await connection.drain()
            await asyncio.sleep(0)


async def _editor(url: str, path: str, frames: Callable[[int], bytes]) -> None:
    async with connect(f"{url}{path}", compression=None, proxy=None, max_size=None) as connection:

        async def read() -> None:
            async for _ in connection:
                pass

        reading = asyncio.create_task(read())
        number = 0
        while not reading.done():
            number += 1
            await connection.send(frames(number))


def _y(message: Message | Awareness | QueryAwareness | SyncStep1) -> bytes:
    frame = y_websocket.encode(message)  # type: ignore[arg-type]
    assert frame is not None
    return frame


async def awareness(url: str) -> None:
    """One editor moves its cursor as fast as it can, while twenty others are at the document."""
    others = [asyncio.create_task(_listen(url)) for _ in range(20)]
    try:
        await _editor(url, PAGE, lambda n: _y(Awareness((Client(7, n, f'{{"cursor":{n}}}'),))))
    finally:
        for other in others:
            other.cancel()


async def _listen(url: str) -> None:
    async with connect(f"{url}{PAGE}", compression=None, proxy=None) as connection:
        await connection.send(_y(SyncStep1(b"\0")))
        async for _ in connection:
            pass


async def queries(url: str) -> None:
    """One editor asks who is there as fast as it can; sixty with 10 kB each are."""
    state = '{"x":"' + "y" * 10_000 + '"}'
    async with connect(f"{url}{PAGE}", compression=None, proxy=None) as connection:
        for client in range(60):
            await connection.send(_y(Awareness((Client(100 + client, 1, state),))))
        await _editor(url, PAGE, lambda _n: _y(QueryAwareness()))


async def small_frames(url: str) -> None:
    """Frames of Hocuspocus that mean nothing."""
    pong = hocuspocus.encode("", Pong())
    await _editor(url, "/crm", lambda _n: pong)


async def stateless(url: str) -> None:
    """Stateless messages of 100 kB."""

    def frames(number: int) -> bytes:
        if number == 1:
            return hocuspocus.encode("pages/welcome", SyncStep1(b"\0"))
        return hocuspocus.encode("pages/welcome", Stateless("x" * 100_000))

    await _editor(url, "/crm", frames)


async def imports(url: str) -> None:
    """Batches of a thousand new documents, as many as are taken."""
    client = int.from_bytes(os.urandom(5)) + 2**40
    document = Document(client)
    document.text("body").insert(0, "imported")
    (update,) = document.take_captured()
    async with replica(url) as there:
        for number in range(1_000_000):
            await there.push(
                *(
                    Entry(Address(f"c{client}", f"{number}-{each}"), update)
                    for each in range(IMPORTED)
                )
            )
            if number >= 8:
                await there.hear(Ack)


async def two_imports(url: str) -> None:
    """The same by two clients."""
    await asyncio.gather(imports(url), imports(url))


async def fetches(url: str) -> None:
    """Fetches and comparisons, as many as are answered."""
    async with replica(url) as there:

        async def ask() -> None:
            while True:
                await there.say(Fetch(Address("notes", "x"), 0, b"\0"))
                await there.say(Compare(None))

        await asyncio.gather(ask(), there.hear(Ack))


async def silence(url: str) -> None:
    """Connections from another address that say nothing, and new ones as these are closed."""

    async def one() -> None:
        while True:
            with suppress(WebSocketException, OSError, TimeoutError):
                async with connect(
                    f"{url}/crm", subprotocols=[SUBPROTOCOL], proxy=None, **ELSEWHERE
                ) as there:
                    await there.wait_closed()
            await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(2000)))


FLOODS: dict[str, Callable[[str], Awaitable[None]]] = {
    "pings": pings,
    "small-frames": small_frames,
    "awareness": awareness,
    "queries": queries,
    "stateless": stateless,
    "import": imports,
    "two-imports": two_imports,
    "fetches": fetches,
    "silence": silence,
}


@asynccontextmanager
async def flooded(name: str, url: str) -> AsyncGenerator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--flood", name, url, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.sleep(1.0)  # until it is in full swing
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def quantiles(waits: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    ordered = sorted(waits)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


async def measure(name: str, seconds: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """p50 and p99 at an idle relay, and at the same one during the flood."""
    with tempfile.TemporaryDirectory() as folder:
        async with relay(Path(folder)) as url:
            idle = quantiles(await typing(url, seconds))
            async with flooded(name, url):
                return idle, quantiles(await typing(url, seconds))


async def main(seconds: float, names: list[str]) -> None:
    print("flood            p50 ms   p99 ms   idle p50   idle p99   ratio p50   ratio p99")
    for name in names:
        (idle_50, idle_99), (p50, p99) = await measure(name, seconds)
        print(
            f"{name:14} {1000 * p50:8.1f} {1000 * p99:8.1f} {1000 * idle_50:10.1f} "
            f"{1000 * idle_99:10.1f} {p50 / idle_50:10.1f}x {p99 / idle_99:10.1f}x",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--flood"]:
        uvloop.run(FLOODS[sys.argv[2]](sys.argv[3]))  # type: ignore[arg-type]
    else:
        given = sys.argv[1:]
        length = float(given.pop(0)) if given and given[0].replace(".", "").isdigit() else SECONDS
        uvloop.run(main(length, given or list(FLOODS)))
