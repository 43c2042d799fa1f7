"""``syncline run`` as a process: it takes changes over as they are made, and ends when told to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from tests.connectors.two_sides import Side, empty
from tests.connectors.webhooks import webhook

from .processes import PATIENCE, SYNCLINE

FILE = """
[pipeline]
name = "notes"
mode = "one-way"
every = "1h"

[source]
url = "${SOURCE_URL}"

[destination]
url = "${DESTINATION_URL}"
"""


class Running:
    """``syncline run`` and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode()

    async def until(self, text: str) -> str:
        """The next line that has ``text``."""
        while text not in (line := await self.line()):
            assert line, f"it ended before it said {text!r}"
        return line

    async def end(self, how: signal.Signals) -> tuple[int | None, str]:
        self.process.send_signal(how)
        async with asyncio.timeout(PATIENCE):
            rest, _ = await self.process.communicate()
        return self.process.returncode, rest.decode()


@asynccontextmanager
async def running(file: Path, environ: Mapping[str, str], *options: str) -> AsyncGenerator[Running]:
    process = await asyncio.create_subprocess_exec(
        *SYNCLINE,
        "run",
        str(file),
        *options,
        env=os.environ | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def insert(source: str, number: int) -> None:
    side = Side("source", "sqlite", source)
    side.execute("INSERT INTO notes VALUES (:id, 'new')", id=number)
    side.close()


@pytest.mark.slow
async def test_changes_go_on_until_it_is_told_to_end(tmp_path: Path) -> None:
    file = tmp_path / "notes.toml"
    with (
        webhook() as hook,
        empty("sqlite", tmp_path, "a") as source,
        empty("sqlite", tmp_path, "b") as target,
    ):
        file.write_text(f'{FILE}\n[[notify]]\nurl = "{hook.url}"\n')
        side = Side("source", "sqlite", source)
        side.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        side.close()
        environ = {"SOURCE_URL": source, "DESTINATION_URL": target}
        async with running(file, environ) as run:
            assert await run.line() == "notes: source, destination. Stop with Ctrl-C.\n"
            assert (await run.line()).endswith("Everything is in step.\n")
            insert(source, 1)
            assert "notes" in (line := await run.line()), line
            assert "1 row" in line
            (change,) = await asyncio.to_thread(hook.told)
            assert change["fields"] == {"id": 1, "body": "new"}
            code, rest = await run.end(signal.SIGTERM)
        assert (code, rest) == (
            0,
            "Stopped. What was written is whole; the rest waits where it is.\n",
        )
        # What changed meanwhile goes on with the next one, which speaks JSON.
        insert(source, 2)
        async with running(file, environ, "--json") as run:
            assert orjson.loads(await run.line())["changed"] == 1
            code, rest = await run.end(signal.SIGINT)
        assert (code, rest) == (0, "")


@pytest.mark.slow
async def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "notes.toml"
    file.write_text(FILE)
    with empty("sqlite", tmp_path, "a") as source:
        side = Side("source", "sqlite", source)
        side.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        side.close()
        down = "postgresql://ada:s3cret@127.0.0.1:9/reporting"
        async with running(file, {"SOURCE_URL": source, "DESTINATION_URL": down}) as run:
            line = await run.until("waiting")
            assert "destination" in line
            code, rest = await run.end(signal.SIGTERM)
    assert code == 0
    assert "waiting" not in rest
    assert "s3cret" not in line + rest
