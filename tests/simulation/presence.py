"""Who sees whom at a document, once the world is calm: how soon, whatever happens to a page."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from .page import LAST_FRAMES_SECONDS, Page

SEEN_SECONDS = 2.0
"""Who comes or goes is noticed within this time, though nobody renews anything so soon."""
GONE_SECONDS = 35.0
"""Who goes without a word is noticed within this time: 30 seconds, and until somebody looks."""


async def check_presence(
    pages: Sequence[Page],
    rng: random.Random,
    die: Callable[[Page], None],
    come: Callable[[], Page],
) -> None:
    """Let pages come back, leave, die and come, one at a time, and look each time at what all see.

    ``die`` kills a page so that the relay is not told; ``come`` opens a new one.
    """
    await asyncio.sleep(SEEN_SECONDS)
    _check(pages, exactly=False)
    await _forget_the_gone(pages)

    for silently in (False, True):
        returning = rng.choice(pages)
        returning.lose_connection(silently=silently)
        await _settled(returning)
        _check(pages, exactly=True)

    leaving, dying, staying = rng.sample(pages, 3)
    leaving.leave.set()
    await asyncio.sleep(LAST_FRAMES_SECONDS + SEEN_SECONDS)
    _check([dying, staying], exactly=True)
    die(dying)
    await _forget_the_gone([staying])
    newcomer = come()
    await newcomer.resting.wait()
    await _settled(newcomer)
    _check([staying, newcomer], exactly=True)


async def _settled(page: Page) -> None:
    """Wait until ``page`` has connected, and then as long as it may take to be seen."""
    while not page.settled():  # noqa: ASYNC110  the time is virtual
        await asyncio.sleep(0.1)
    await asyncio.sleep(SEEN_SECONDS)


async def _forget_the_gone(pages: Sequence[Page]) -> None:
    """Wait until nobody can be in sight any more who has gone. No connection breaks over it."""
    given_up = [page.given_up for page in pages]
    await asyncio.sleep(GONE_SECONDS)
    _check(pages, exactly=True)
    assert [page.given_up for page in pages] == given_up, "a connection was quiet for too long"


def _check(pages: Sequence[Page], *, exactly: bool) -> None:
    """Each page sees all others at its documents, ``exactly`` if it sees nobody else."""
    for page in pages:
        for tab in page.tabs:
            there = {
                other.client for each in pages for other in each.tabs if other.name == tab.name
            }
            seen = set(tab.awareness.states)
            assert there <= seen, f"{page.name} does not see {there - seen} at {tab.name}"
            assert not exactly or seen == there, f"{page.name} sees {seen - there} at {tab.name}"
