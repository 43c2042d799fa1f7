"""Shared by the transports' tests."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any

import pytest

GUARD_SECONDS = 30.0


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let a test that hangs fail. A fixture cannot do it: it runs in a task of its own."""
    if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
        return
    test = item.obj

    @functools.wraps(test)
    async def guarded(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(GUARD_SECONDS):
            await test(*args, **kwargs)

    item.obj = guarded
