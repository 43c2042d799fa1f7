"""Editors in one document: what a relay does for them, beside Hocuspocus's own server.

Run: ``python benchmarks/editors.py [EDITORS] [--hocuspocus FOLDER]``. FOLDER is one in which
``npm install @hocuspocus/server@4.7.0`` was run; without it only the relay is measured. The editors
speak Hocuspocus by hand in this one process, the same against either server, which is a process of
its own:

- typing: each editor sends an update, waits for its SyncStatus, and sends the next. The relay
  commits each to SQLite with fsync before it answers; Hocuspocus answers from memory, without
  storing anything at all.
- cursors: each editor moves its cursor ten times a second. Counted are the states of others that
  reach an editor; a server under load may merge them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from syncline.engine.document.document import Document
from syncline.engine.lib0 import Reader, write_string
from syncline.engine.yjs import hocuspocus
from syncline.engine.yjs.fields import read_awareness
from syncline.engine.yjs.messages import Awareness, Client, SyncStatus, SyncStep1, SyncStep2, Update

NAME = "pages/welcome"
UPDATES = 20
CURSOR_SECONDS = 5.0
MOVES_PER_SECOND = 10
STORED = hocuspocus.encode(NAME, SyncStatus(stored=True))
_HEAD = len(hocuspocus.encode(NAME, SyncStep1(b"\0"))) - 4  # address, up to the type

HOCUSPOCUS = """
import {{ Server }} from '@hocuspocus/server'
const server = new Server({{ port: {port}, address: '127.0.0.1', quiet: true }})
await server.listen()
console.log('listening on ws://127.0.0.1:{port}')
"""


@dataclass
class Editor:
    """One connection; its reader counts what comes."""

    connection: ClientConnection
    document: Document
    acknowledged: asyncio.Queue[None] = field(default_factory=asyncio.Queue[None])
    updates: int = 0
    states: int = 0

    async def open(self, token: str = "t") -> None:  # noqa: S107
        out = bytearray()
        write_string(out, NAME)
        out += b"\x02\x00"
        write_string(out, token)
        await self.connection.send(bytes(out))
        await self.connection.send(hocuspocus.encode(NAME, SyncStep1(b"\0")))
        await self.connection.send(hocuspocus.encode(NAME, SyncStep2(b"\0\0")))
        while await self.connection.recv() != STORED:
            pass

    async def read(self) -> None:
        async for frame in self.connection:
            assert isinstance(frame, bytes)
            if frame == STORED:
                self.acknowledged.put_nowait(None)
                continue
            kind = frame[_HEAD : _HEAD + 2]
            if kind == b"\x00\x02":
                self.updates += 1
            elif kind[:1] == b"\x01":
                self.states += len(read_awareness(Reader(frame[_HEAD + 1 :])).clients)

    async def type(self, latencies: list[float]) -> None:
        root = self.document.text("body")
        for _ in range(UPDATES):
            root.insert(0, "x")
            (update,) = self.document.take_captured()
            began = time.perf_counter()
            await self.connection.send(hocuspocus.encode(NAME, Update(update)))
            await self.acknowledged.get()
            latencies.append(time.perf_counter() - began)

    async def move(self, client: int, until: float) -> None:
        clock = 0
        while time.perf_counter() < until:
            clock += 1
            state = f'{{"user":{{"name":"Editor {client}"}},"cursor":{{"anchor":{clock}}}}}'
            awareness = Awareness((Client(client, clock, state),))
            await self.connection.send(hocuspocus.encode(NAME, awareness))
            await asyncio.sleep(1 / MOVES_PER_SECOND)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def serving(*command: str, cwd: str) -> AsyncGenerator[tuple[int, str]]:
    """A server process, by its id and the URL that it prints."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        while not (found := re.search(rb"ws://\S+", await process.stdout.readline())):
            pass
        reading = asyncio.create_task(process.stdout.read())
        yield process.pid, found[0].decode()
        reading.cancel()
    finally:
        process.terminate()
        await process.wait()


async def measure(name: str, pid: int, url: str, count: int) -> None:
    connections = [await connect(url, compression=None, max_queue=None) for _ in range(count)]
    editors = [
        Editor(connection, Document(2**33 + number))
        for number, connection in enumerate(connections)
    ]
    await asyncio.gather(*(editor.open() for editor in editors))
    readers = [asyncio.create_task(editor.read()) for editor in editors]
    latencies: list[float] = []
    began, cpu = time.perf_counter(), cpu_seconds(pid)
    await asyncio.gather(*(editor.type(latencies) for editor in editors))
    seconds, cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
    latencies.sort()
    print(
        f"{name:<11} typing   {len(latencies) / seconds:9,.0f} updates/s   "
        f"acknowledged after {latencies[len(latencies) // 2] * 1000:6.1f} ms, "
        f"99% {latencies[len(latencies) * 99 // 100] * 1000:6.1f} ms   "
        f"{cpu / len(latencies) * 1e6:7,.0f} us of server per update"
    )
    before, cpu = sum(editor.states for editor in editors), cpu_seconds(pid)
    until = time.perf_counter() + CURSOR_SECONDS
    await asyncio.gather(*(editor.move(number, until) for number, editor in enumerate(editors)))
    shown, cpu = sum(editor.states for editor in editors) - before, cpu_seconds(pid) - cpu
    wanted = count * (count - 1) * MOVES_PER_SECOND * CURSOR_SECONDS
    print(
        f"{name:<11} cursors  {shown / CURSOR_SECONDS:9,.0f} states/s shown, "
        f"{shown / wanted:4.0%} of {wanted / CURSOR_SECONDS:,.0f}   "
        f"{cpu / max(shown, 1) * 1e6:7.1f} us of server per state   "
        f"{cpu / CURSOR_SECONDS:4.0%} of a core"
    )
    for reader in readers:
        reader.cancel()
    for connection in connections:
        connection.transport.abort()


async def main(count: int, folder: str | None) -> None:
    with tempfile.TemporaryDirectory() as home:
        syncline = str(Path(sys.executable).with_name("syncline"))
        async with serving(syncline, "serve", "--port", "0", cwd=home) as (pid, url):
            await measure("syncline", pid, f"{url}/bench", count)
        if folder is not None:
            script = Path(folder) / "serve.mjs"
            script.write_text(HOCUSPOCUS.format(port=18_411))
            async with serving("node", str(script), cwd=folder) as (pid, url):
                await measure("hocuspocus", pid, url, count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("editors", type=int, nargs="?", default=50)
    parser.add_argument("--hocuspocus")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.editors, arguments.hocuspocus))
