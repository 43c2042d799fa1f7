"""The fuzzer in small; `make fuzz` runs it at length."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.profiles import scaled

ROOT = Path(__file__).parents[2]
PARTS = 3
PATIENCE = 60.0


@pytest.mark.scaled
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
async def test_whatever_comes_is_taken_or_refused(part: int) -> None:
    count = scaled(int(os.environ.get("SYNCLINE_FUZZ", "3000")) // PARTS)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.hostile.fuzz", f"{part}", f"{count}"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE + count / 50):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    # It is worth something only if much of it is taken.
    assert found["taken"] > count / 2, found
    assert found["invalid-update"] > count / 10, found
