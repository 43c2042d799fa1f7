"""Every example and the README's snippet runs, as it stands but for the relay's port."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.cli import COMMANDS
from tests.cli.processes import PATIENCE

ROOT = Path(__file__).parents[2]
ADDRESS = "ws://127.0.0.1:8765"
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


async def start(code: str, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-u", "-W", "error", "-c", code),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def start_without_relay(
    code: str, folder: Path, stack: AsyncExitStack
) -> tuple[asyncio.subprocess.Process, int]:
    """Start a program and return when it has knocked, in vain, at the port where its relay will
    be."""
    knocked = asyncio.Event()

    def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        knocked.set()

    async with await asyncio.start_server(turn_away, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        process = await start(code.replace(ADDRESS, f"ws://127.0.0.1:{port}"), folder)
        stack.callback(_kill, process)
        async with asyncio.timeout(PATIENCE):
            await knocked.wait()
    return process, port


async def output_of(code: str, folder: Path) -> str:
    process = await start(code, folder)
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.slow
async def test_the_readme_runs(tmp_path: Path) -> None:
    (first,) = SNIPPETS
    assert first.count(ADDRESS) == 1
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        first = first.replace(ADDRESS, relay.url)
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        assert "1 contacts" in await output_of(first, tmp_path / "one")
        assert "2 contacts" in await output_of(first, tmp_path / "two")


@pytest.mark.slow
async def test_contacts_offline_then_online_in_two_processes(tmp_path: Path) -> None:
    code = (ROOT / "examples" / "contacts.py").read_text()
    assert code.count(ADDRESS) == 1
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with AsyncExitStack() as stack:
        first, port = await start_without_relay(code, tmp_path / "one", stack)
        code = code.replace(ADDRESS, f"ws://127.0.0.1:{port}")
        await stack.enter_async_context(Relay(tmp_path / "relay.db", port=port))
        reader = await stack.enter_async_context(
            Replica.open(tmp_path / "reader.db", relay=f"ws://127.0.0.1:{port}/crm")
        )
        async with asyncio.timeout(PATIENCE):
            while not reader.to_dict():  # what the first made offline has reached the relay
                await reader.synced()
        second = await start(code, tmp_path / "two")
        stack.callback(_kill, second)
        assert first.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await first.stdout.readline()).decode()
            assert line.startswith("created Ada Lovelace ('name'"), line
            while len(reader.to_dict()["contacts"]) < 2:
                await reader.synced()
        for process in (first, second):
            _kill(process)
            _, err = await process.communicate()
            assert err == b""


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name
)
def test_every_example_has_a_test(path: Path) -> None:
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert path.stem in tests


def test_every_target_that_people_are_told_of_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    pages = README + (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", pages, re.MULTILINE))
    assert targets >= {"serve", "test", "check", "hooks", "docs"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_command_of_syncline_is_on_its_page() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    assert set(re.findall(r"^syncline ([a-z-]+)", page, re.MULTILINE)) == set(COMMANDS)
