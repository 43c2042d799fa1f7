"""docs/first-app.md, followed from top to bottom: every program prints what the page shows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.cli.processes import PATIENCE

PAGE = (Path(__file__).parents[2] / "docs" / "first-app.md").read_text(encoding="utf-8")
STEPS = re.compile(
    r"(?P<stop>Ctrl-C)"
    r"|`(?P<file>\w+\.py)`(?:\.[^`]*`crm`[^`]*|:)\n\n```python\n(?P<code>.*?)```"
    r"|```(?P<kind>sh|text)\n(?P<block>.*?)```",
    re.DOTALL,
)
PORT = "8765"


class Reader:
    """A person with three terminals: one for commands that end, one for each that goes on."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.compared = 0
        self.saved: set[str] = set()
        self._port = port
        self._output = ""
        self._relay: asyncio.subprocess.Process | None = None
        self._watch: asyncio.subprocess.Process | None = None

    async def read(self) -> None:
        try:
            for step in STEPS.finditer(PAGE):
                if step["stop"]:
                    await self._stop()
                elif step["file"]:
                    self._save(step["file"], step["code"])
                elif step["kind"] == "sh":
                    await self._type(step["block"])
                else:
                    await self._compare(step["block"])
        finally:
            for process in (self._relay, self._watch):
                if process is not None and process.returncode is None:
                    process.kill()
                    await process.wait()

    def _save(self, name: str, code: str) -> None:
        self.saved.add(name)
        (self.folder / name).write_text(code.replace(PORT, str(self._port)), encoding="utf-8")

    async def _start(self, command: str) -> asyncio.subprocess.Process:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return await asyncio.create_subprocess_exec(
            *("bash", "-euc", command),
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PYTHONWARNINGS": "error"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _type(self, block: str) -> None:
        match block:
            case "syncline serve\n":
                self._relay = await self._start(f"exec syncline serve --port {self._port}")
                while "Stop with" not in await self._line(self._relay):
                    pass
            case "python watch.py\n":
                self._watch = await self._start("exec python watch.py")
                self._output = await self._line(self._watch)
            case _:
                process = await self._start(block)
                async with asyncio.timeout(PATIENCE):
                    output, _ = await process.communicate()
                assert process.returncode == 0, output.decode()
                self._output += output.decode()

    @staticmethod
    async def _line(process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await process.stdout.readline()).decode()
        assert line, "the program ended"
        return line

    async def _compare(self, stated: str) -> None:
        if self._watch is not None:
            while self._output.count("\n") < stated.count("\n"):
                self._output += await self._line(self._watch)
        assert self._output == stated
        self.compared += 1
        self._output = ""

    async def _stop(self) -> None:
        for process in (self._watch, self._relay):
            if process is not None and process.returncode is None:
                process.send_signal(signal.SIGINT)
                async with asyncio.timeout(PATIENCE):
                    await process.communicate()
        assert self._relay is not None
        assert self._relay.returncode == 0


@pytest.mark.long
async def test_the_tutorial(tmp_path: Path, unused_tcp_port: int) -> None:
    reader = Reader(tmp_path, unused_tcp_port)
    await reader.read()
    assert reader.compared == PAGE.count("```text\n") == 5
    assert len(reader.saved) == PAGE.count("```python\n") == 6
