"""The examples of docs/security.md do what it says."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from syncline.access.access import Access, Credentials
from syncline.access.token_file import TokenFile
from syncline.engine.names import Address
from tests.cli.processes import PATIENCE

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


async def test_the_token_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(block("toml"))
    path.chmod(0o600)
    tokens = TokenFile(path)
    website = await tokens.authenticate(Credentials("replace-me-5kq9RrXbE1c"))
    for address, access in [
        ("pages/welcome", Access.READ),
        ("contacts/ada", Access.READ),
        ("contacts/bob", Access.NONE),
    ]:
        assert tokens.access(website, "crm", Address.parse(address)) is access
    assert tokens.access(website, "hr", None) is Access.NONE
    ada = await tokens.authenticate(Credentials("replace-me-GhT0pWmZ2x8"))
    assert tokens.access(ada, "hr", Address("contacts", "bob")) is Access.WRITE


@pytest.mark.slow
async def test_the_program(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", block("python")),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.startswith(b"ws://127.0.0.1:")
