"""Running the handler of a connection, the same over every transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from syncline.engine.errors import TransportClosed

from .base import Request, Transport

logger = logging.getLogger("syncline.transports")

T = TypeVar("T", bound=Transport)

STOPPING = "relay is stopping"
_HANDLER_SECONDS = 5.0  # how long a handler may take to end by itself once its transport is closed
_CANCEL_SECONDS = 1.0  # and then, once it is cancelled


async def serve_transport(
    handler: Callable[[T, Request], Awaitable[None]], transport: T, request: Request
) -> None:
    """Run ``handler``; when it ends, however it ends, its transport is closed.

    1000 when it returned or let TransportClosed through, 1001 when it was cancelled, 1011 when it
    raised something else, which is logged: nobody else is there to take it.
    """
    code, reason = 1011, "the relay failed"
    try:
        await handler(transport, request)
        code, reason = 1000, ""
    except TransportClosed as error:
        code, reason = 1000, ""
        logger.info("%s left: %s", transport.peer, error.message)
    except asyncio.CancelledError:
        code, reason = 1001, STOPPING
        raise
    except Exception:
        logger.exception("The handler of the connection with %s failed.", transport.peer)
    finally:
        await transport.close(code, reason)


async def end_handlers(tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait for handlers whose transports are closed; cancel those that go on. Bounded in time."""
    if not tasks:
        return
    _, running = await asyncio.wait(tasks, timeout=_HANDLER_SECONDS)
    for task in running:
        task.cancel()
    if running:
        logger.warning("%d handlers went on after their connections ended.", len(running))
        _, running = await asyncio.wait(running, timeout=_CANCEL_SECONDS)
    if running:
        logger.error("%d handlers do not end although they were cancelled.", len(running))
