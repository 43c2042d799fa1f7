"""A real Chromium, driven by playwright-core in Node (driver.mjs)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.npm import install, program

HERE = Path(__file__).parent
ANSWER_SECONDS = 60.0


class Chromium:
    """A browser in which several people have each a session of their own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def ask(self, command: str, page: str, *given: Any) -> Any:
        """One request to the driver, and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn, asyncio.timeout(ANSWER_SECONDS):
            self._process.stdin.write(json.dumps([command, page, *given]).encode() + b"\n")
            answer = json.loads(await self._process.stdout.readline())
        assert "error" not in answer, f"{page} {command} {given}: {answer['error']}"
        return answer["value"]

    async def open(self, name: str, url: str, **options: Any) -> Page:
        """The page at ``url``, for a person called ``name``."""
        await self.ask("open", name, url, options)
        page = Page(self, name)
        await page.fill("#your-name", name)
        await page.press("Enter")
        return page


class Page:
    """What one person sees and does."""

    def __init__(self, chromium: Chromium, name: str) -> None:
        self._chromium = chromium
        self.name = name

    async def _ask(self, command: str, *given: Any) -> Any:
        return await self._chromium.ask(command, self.name, *given)

    async def click(self, selector: str) -> None:
        await self._ask("click", selector)

    async def press(self, key: str) -> None:
        await self._ask("press", key)

    async def type(self, text: str) -> None:
        await self._ask("type", text)

    async def fill(self, selector: str, text: str) -> None:
        await self._ask("fill", selector, text)

    async def write(self, selector: str, text: str) -> None:
        """Type at the end of an editor."""
        await self.click(selector)
        await self.press("Control+End")
        await self.type(text)

    async def written(self, selector: str) -> str:
        """The text in an editor, without the carets of the others."""
        return str(await self._ask("written", selector))

    async def text(self, selector: str) -> str:
        return str(await self._ask("text", selector))

    async def appears(self, selector: str) -> None:
        """Return when there is such an element."""
        await self._ask("appears", selector)

    async def says(self, selector: str, text: str) -> None:
        """Return when an element, an input or an editor holds just this text."""
        await self._ask("says", selector, text)

    async def is_saved(self) -> None:
        """Return when the page says that everything is saved."""
        await self.appears("#state[data-state=saved]")

    async def goes_offline(self) -> None:
        await self._ask("offline", True)
        await self.appears("#state[data-state=offline]")

    async def comes_back(self) -> None:
        await self._ask("offline", False)
        await self.is_saved()

    async def reload(self) -> None:
        await self._ask("reload")

    async def evaluate(self, script: str) -> Any:
        return await self._ask("evaluate", script)

    async def screenshot(self, path: Path) -> None:
        await self._ask("screenshot", str(path))

    async def complaints(self) -> list[str]:
        """Errors and warnings of the console, but for attempts to connect to what cannot be
        reached."""
        found: list[str] = await self._ask("complaints")
        return [text for text in found if not _UNREACHABLE.search(text)]


_UNREACHABLE = re.compile(
    "^WebSocket connection to .* net::ERR_(INTERNET_DISCONNECTED|CONNECTION_REFUSED)$"
)


@asynccontextmanager
async def chromium() -> AsyncGenerator[Chromium]:
    """A browser until the block ends."""
    browser = program("chromium", "/usr/bin/chromium")
    node = program("node")
    install(HERE)
    process = await asyncio.create_subprocess_exec(
        *(node, str(HERE / "driver.mjs"), browser),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Chromium(process)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(ANSWER_SECONDS):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
