"""Real ``syncline`` processes."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

SYNCLINE = [sys.executable, "-c", "from syncline.cli import main; main()"]
PATIENCE = 60.0


@dataclass(slots=True)
class Served:
    """A running ``syncline serve``; ``output`` is what it has printed."""

    process: asyncio.subprocess.Process
    url: str
    output: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def end(self, how: signal.Signals) -> tuple[int, str]:
        """Send a signal and wait; returns the exit code and the rest of the output."""
        self.process.send_signal(how)
        async with asyncio.timeout(PATIENCE):
            rest, _ = await self.process.communicate()
        code = self.process.returncode
        return (code if code is not None else -1), rest.decode()


@asynccontextmanager
async def serving(store: Path, port: int = 0, *options: str) -> AsyncGenerator[Served]:
    """Run ``syncline serve`` until the block ends; killed if it still runs then."""
    process = await asyncio.create_subprocess_exec(
        *SYNCLINE,
        "serve",
        *("--store", f"sqlite:///{store}"),
        *("--port", str(port)),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, url = "", ""
        async with asyncio.timeout(PATIENCE):
            while "Stop with" not in output:
                line = await _line(process)
                assert line, f"serve ended early:\n{output}"
                output += line
        found = re.search(r"wss?://[0-9.:]+", output)
        assert found, output
        url = found.group()
        yield Served(process, url, output)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def run(*arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run ``syncline`` to its end; returns exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *SYNCLINE,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
