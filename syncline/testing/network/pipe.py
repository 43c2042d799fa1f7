"""One direction of an in-memory connection.

Theory of operation. A frame is launched, flies, may be held, and lands, where it waits to be read;
a frame that flies without delay lands at once. The sender waits while all these stages together
have ``capacity`` frames. The end of the connection flies behind the last frame. What befalls frames
on the way is the route's decision; timers are the running loop's, so that a virtual clock can drive
a simulation.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from syncline.transports.base import Frame
from syncline.transports.closing import BROKEN_OFF, Closing


class Route(Protocol):
    """What happens to the frames of one connection on their way."""

    @property
    def cut(self) -> bool:
        """Whether nothing gets through at present."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether frames keep their order."""
        ...

    def delays(self) -> Sequence[float]:
        """Seconds that each copy of the next frame takes; none when it gets lost."""
        ...

    def delay(self) -> float:
        """Seconds that the end of the connection takes, which is neither lost nor doubled."""
        ...


class Wire:
    """The route without faults: immediate, ordered, reliable."""

    cut = False
    ordered = True

    def delays(self) -> Sequence[float]:
        return (0.0,)

    def delay(self) -> float:
        return 0.0


@dataclass(eq=False, slots=True)
class _Flight:
    item: Frame | Closing
    loose: bool  # may overtake others
    timer: asyncio.Handle | None = None


class Pipe:
    """The way to one end of a connection; ``opposite`` is the way back.

    ``ended`` is how the connection ended, once that has landed.
    """

    opposite: Pipe

    def __init__(self, route: Route, capacity: int) -> None:
        self.ended: Closing | None = None
        self.readable = asyncio.Event()
        self.writable = asyncio.Event()
        self._route = route
        self._capacity = capacity
        self._flying: list[_Flight] = []
        self._latest = 0.0  # when the last of the flights lands
        self._held: deque[Frame | Closing] = deque()
        self._passes: int | None = None  # frames that may pass; None: nothing is held
        self._landed: deque[Frame] = deque()
        self._wasted = (
            0  # frames sent to an end that has closed, which the sender does not know yet
        )
        self._end_was_lost = False

    # The sender's side

    @property
    def full(self) -> bool:
        """Whether a sender has to wait for ``writable``."""
        waiting = len(self._flying) + len(self._held) + len(self._landed) + self._wasted
        return waiting >= self._capacity

    def launch(self, item: Frame | Closing) -> None:
        """Send a frame, or the end, on its way."""
        if self._route.cut:
            self._lose(item)
        elif self.ended is not None:
            self._wasted += 1
        elif isinstance(item, Closing):
            self._fly(_Flight(item, loose=False), self._route.delay())
        else:
            for delay in self._route.delays():
                self._fly(_Flight(item, loose=not self._route.ordered), delay)

    def _fly(self, flight: _Flight, delay: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        lands = now + delay if flight.loose else max(now + delay, self._latest)
        if lands <= now and not self._flying:
            self._land(flight.item)
            return
        self._latest = max(self._latest, lands)
        self._flying.append(flight)
        flight.timer = loop.call_at(lands, self._arrive, flight)

    def _arrive(self, flight: _Flight) -> None:
        if not flight.loose:
            # Timers of the same instant fire in any order: the first to fire takes the first frame.
            flight = next((other for other in self._flying if not other.loose), flight)
        if flight not in self._flying:
            return  # it was lost with the connection
        if isinstance(flight.item, Closing) and len(self._flying) > 1:
            # A frame that may be overtaken, but not by the end, lands at this same instant.
            flight.timer = asyncio.get_running_loop().call_soon(self._arrive, flight)
            return
        self._flying.remove(flight)
        if self._route.cut:
            self._lose(flight.item)
            self.writable.set()
        else:
            self._land(flight.item)

    def _lose(self, item: Frame | Closing) -> None:
        if isinstance(item, Closing):
            self._end_was_lost = True

    # Holding back

    @property
    def held(self) -> tuple[Frame, ...]:
        """The frames held at present, in their order."""
        return tuple(item for item in self._held if not isinstance(item, Closing))

    def hold(self) -> None:
        """Keep back what lands from now on."""
        if self._passes is None:
            self._passes = 0

    def release(self, count: int | None) -> None:
        """Let the next ``count`` frames pass, held or still to come; None ends holding."""
        if count is None:
            self._passes = None
        elif self._passes is not None:
            self._passes += count
        held, self._held = self._held, deque()
        for item in held:
            self._land(item)

    def _land(self, item: Frame | Closing) -> None:
        if self._passes == 0:
            self._held.append(item)
        elif isinstance(item, Closing):
            self.end(item)
        else:
            if self._passes is not None:
                self._passes -= 1
            self._landed.append(item)
            self.readable.set()

    # The receiver's side

    @property
    def empty(self) -> bool:
        """Whether a receiver has to wait for ``readable``."""
        return not self._landed

    def take(self) -> Frame:
        """The first frame that has landed."""
        frame = self._landed.popleft()
        self.writable.set()
        return frame

    # The end

    def end(self, closing: Closing) -> None:
        """End this direction. What has landed can still be read; what flies or is held is lost."""
        if self.ended is not None:
            return
        self.ended = closing
        for flight in self._flying:
            if flight.timer is not None:
                flight.timer.cancel()
        self._flying.clear()
        self._held.clear()
        self.readable.set()
        self.writable.set()
        # Who waits to send the other way is to hear of it too.
        self.opposite.writable.set()

    def discard(self, closing: Closing) -> None:
        """End this direction and drop what was not read."""
        self._landed.clear()
        self.end(closing)

    def mend(self) -> None:
        """After a partition: an end that got lost in it shows as a connection broken off."""
        if self._end_was_lost:
            self.end(BROKEN_OFF)
