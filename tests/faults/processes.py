"""Processes to be killed: relays and clients that a fork server starts, and ``syncline serve``."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


def free_port() -> int:
    """A port that stays free while a killed relay is away.

    Not one that the system gives out: it would give it to an outgoing connection meanwhile.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class ForkServer:
    """Starts one process at a time; see fork_server.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._pid: int | None = None
        self._running = False

    async def start(self, role: str, **arguments: object) -> list[Any]:
        """Order a process; returns what it says when it is ready."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({"role": role, **arguments}) + b"\n")
        self._pid, self._running = None, True
        ready: list[Any] | None = None
        while ready is None or self._pid is None:  # their order is open
            said = await self.hear()
            if said[0] == "started":
                self._pid = said[1]
            elif said[0] == "ready":
                ready = said
            else:
                raise AssertionError(f"the {role} did not start: {said}")
        return ready

    async def hear(self) -> list[Any]:
        """What is said next. Waits as long as PATIENCE."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        assert line, "the fork server ended"
        said: list[Any] = orjson.loads(line)
        return said

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._pid is not None
        return self._pid

    def kill(self) -> None:
        """SIGKILL, now; of no effect when nothing runs."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)  # the server has not waited for it: no other's id
            self._pid = None

    async def ended(self) -> list[list[Any]]:
        """Wait until the process is gone; returns what it said before."""
        before: list[list[Any]] = []
        while self._running:
            said = await self.hear()
            if said[0] == "ended":
                self._pid, self._running = None, False
            else:
                before.append(said)
        return before


@asynccontextmanager
async def fork_server() -> AsyncGenerator[ForkServer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.fork_server",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    server = ForkServer(process)
    try:
        assert await server.hear() == ["up"]
        yield server
    finally:
        server.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.communicate()


class RelayProcess(Protocol):
    """A relay on one store and one port, which is started, killed and started again."""

    async def start(self) -> None: ...

    def kill(self) -> None: ...

    async def ended(self) -> None: ...


class ForkedRelay:
    """``Relay(…)`` in a forked process, possibly with a bug planted into it."""

    def __init__(self, server: ForkServer, store: str, port: int, plant: str | None = None) -> None:
        self._server = server
        self._order = {"store": store, "port": port, "plant": plant}

    async def start(self) -> None:
        await self._server.start("relay", **self._order)

    def kill(self) -> None:
        self._server.kill()

    async def ended(self) -> None:
        await self._server.ended()


class ServedRelay:
    """``syncline serve``, as people run it."""

    def __init__(self, store: str, port: int) -> None:
        self._arguments = ("serve", "--store", store, "--port", str(port))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from syncline.cli import main; main()"),
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        output = b""
        async with asyncio.timeout(PATIENCE):
            while b"Stop with" not in output:
                line = await self._process.stdout.readline()
                assert line, f"serve ended early:\n{output.decode()}"
                output += line

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> None:
        if self._process is not None:
            await self._process.communicate()
            self._process = None
