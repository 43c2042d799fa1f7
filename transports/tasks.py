"""The tasks of one connection: they run side by side, and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_first_failure(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all side by side until one fails; end the others and raise its exception.

    Being cancelled wins over a failure of the same moment. A TaskGroup drops the cancellation then
    (before Python 3.13), and who cancelled waits for ever.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    # What fails while it is being ended only follows from the first failure.
    for task in tasks:
        if task in ended:
            task.result()
