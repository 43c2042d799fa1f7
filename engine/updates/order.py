"""The order in which the structs of one update integrate, and whether there is one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import TypeAlias

from .update_values import invalid

Wait: TypeAlias = tuple[int, int, int]
"""The item at (clock) waits for (another client) to have reached (that client's clock)."""


def check_order(
    ranges: Mapping[int, tuple[tuple[int, int], ...]],
    needs: Mapping[int, int],
    waits: Mapping[int, list[Wait]],
) -> None:
    """Refuse structs of several clients that wait for each other: they would never integrate.

    Plays the integration, on clocks alone, at a document that covers ``needs``: it knows all
    before the last run of every client, and all of a client of which later clocks are needed. A
    client goes on until an item waits for another client, and sleeps until that one gets there.
    """
    reached = {client: max(runs[-1][0], needs.get(client, 0)) for client, runs in ranges.items()}
    queues = {client: deque(waits.get(client, ())) for client in ranges}
    # Per client waited for, a heap of (the clock that wakes, who sleeps). Each wake ends a wait,
    # so the work is bounded by the number of waits.
    asleep: dict[int, list[tuple[int, int]]] = {client: [] for client in ranges}
    awake = list(ranges)
    while awake:
        client = awake.pop()
        queue = queues[client]
        progress = ranges[client][-1][1]
        while queue:
            clock, other, other_clock = queue[0]
            if reached.get(other, other_clock) < other_clock and clock >= reached[client]:
                heappush(asleep[other], (other_clock, client))
                progress = clock
                break
            queue.popleft()
        reached[client] = max(reached[client], progress)
        sleepers = asleep[client]
        while sleepers and sleepers[0][0] <= reached[client]:
            awake.append(heappop(sleepers)[1])
    for client, sleepers in asleep.items():
        if sleepers:
            raise invalid(f"clients {client} and {sleepers[0][1]} wait for each other's operations")
