"""The examples of docs/yjs.md do what it says, all in one document."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Relay, Replica
from tests.interop.editors import HERE, PATIENCE

PAGE = (HERE.parents[1] / "docs" / "yjs.md").read_text()
# Browsers have websockets, and the newest of the providers is the one on the page.
IN_NODE = "import WS from 'ws'\nglobalThis.WebSocket = WS\n"
ALIASES = {"@hocuspocus/provider": "hocuspocus-v4"}


def blocks(language: str, *, holding: str) -> str:
    (found,) = [
        block
        for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
        if holding in block
    ]
    return str(found)


@asynccontextmanager
async def running(*command: str, cwd: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def in_node(relay: Relay, source: str) -> tuple[str, ...]:
    source = source.replace("ws://127.0.0.1:8765", relay.url)
    for name, alias in ALIASES.items():
        source = source.replace(f"'{name}'", f"'{alias}'")
    return ("node", "--input-type=module", "-e", IN_NODE + source)


@pytest.mark.npm
async def test_three_clients_in_one_document(packages: None, tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(tmp_path / "watch.db", relay=f"{relay.url}/team") as replica,
        asyncio.timeout(4 * PATIENCE),
    ):
        body = replica.document("pages/welcome").text("body")

        async def until_it_says(sentence: str) -> None:
            while sentence not in str(body):
                await replica.synced()

        y_websocket = in_node(relay, blocks("js", holding="new WebsocketProvider"))
        hocuspocus = in_node(relay, blocks("js", holding="new HocuspocusProvider"))
        async with running(*y_websocket, cwd=HERE):
            await until_it_says("Hello from y-websocket. ")
        async with running(*hocuspocus, cwd=HERE) as process:
            await until_it_says("Hello from Hocuspocus. ")
            assert process.stdout is not None
            while b"all on disk" not in await process.stdout.readline():
                pass
        source = blocks("python", holding="Hello from Python").replace(
            "ws://127.0.0.1:8765", relay.url
        )
        async with running(sys.executable, "-W", "error", "-c", source, cwd=tmp_path) as process:
            said, _ = await process.communicate()
            assert process.returncode == 0, said
        await until_it_says("Hello from Python.")
        assert said.decode().strip() == str(body)


@pytest.mark.slow
async def test_the_relay_that_answers_stateless_messages(tmp_path: Path) -> None:
    source = blocks("python", holding="on_stateless")
    async with running(sys.executable, "-W", "error", "-c", source, cwd=tmp_path) as process:
        said, _ = await process.communicate()
    assert process.returncode == 0, said
    assert b"listening at ws://127.0.0.1:" in said
