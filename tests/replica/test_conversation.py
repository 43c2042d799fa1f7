"""Ending the tasks of a connection, and what happens when two reasons to end meet."""

from __future__ import annotations

import asyncio

import pytest

from syncline.transports.tasks import until_first_failure


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _fail(event: asyncio.Event) -> None:
    await event.wait()
    raise ConnectionResetError


async def test_the_first_failure_ends_all() -> None:
    event = asyncio.Event()
    event.set()
    with pytest.raises(ConnectionResetError):
        await until_first_failure(_wait(asyncio.Event()), _fail(event))


async def test_a_cancellation_is_not_lost_to_a_failure_of_the_same_moment() -> None:
    event = asyncio.Event()
    running = asyncio.create_task(until_first_failure(_wait(asyncio.Event()), _fail(event)))
    await asyncio.sleep(0)  # the group starts its tasks
    await asyncio.sleep(0)  # and these wait
    event.set()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert running.cancelled()
