"""One simulation, from one seed."""

from __future__ import annotations

import logging
from typing import cast

from syncline.engine.errors import InvalidUpdate, PeerError, StoreFailed, TransportError
from syncline.engine.protocol.messages import EPOCH_CHANGED

from .loop import VirtualLoop
from .world import Calamity, World


class Complaints(logging.Handler):
    """Collects what the product logs as a defect of its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(f"{record.getMessage()} {record.exc_info[1]!r}")


def simulate(
    seed: int,
    *,
    lossy: bool | None = None,
    calamity: Calamity | None = None,
    pages: bool | None = None,
) -> str:
    """Run the world of ``seed``; returns its trace. Raises AssertionError, or what went wrong.

    ``lossy`` decides what kind of network it is, ``calamity`` what happens beside the daily faults,
    and ``pages`` whether there are browsers, all of which otherwise the seed does.
    """
    loop = VirtualLoop(f"{seed} loop")
    logger, complaints = logging.getLogger("syncline"), Complaints()
    logger.addHandler(complaints)

    async def main() -> None:
        await World(str(seed), loop, lossy=lossy, calamity=calamity, pages=pages).run()
        assert not (defects := loop.defects(_is_expected)), "\n".join(defects)
        assert not complaints.found, "\n".join(complaints.found)

    try:
        loop.simulate(main())
    except BaseExceptionGroup as group:
        raise _first(group) from None
    finally:
        logger.removeHandler(complaints)
    return loop.trace


def _is_expected(error: BaseException) -> bool:
    """What a background task may end with: connections break, disks are full for a while, and pages
    are denied what is rebuilt, or for what is no update."""
    known = isinstance(error, PeerError) and (
        error.retry_after is not None or error.code in (EPOCH_CHANGED, InvalidUpdate.code)
    )
    return known or isinstance(error, TransportError | StoreFailed)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
