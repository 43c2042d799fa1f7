"""Hold-back: applying a relay's changes in causal order, over a stream that may lose frames.

Theory of operation
-------------------
A relay numbers its changes: seq 1, 2, 3, ... per workspace. It sends them in frames; a frame says
"these are all changes with since < seq <= cursor", merged into one entry per document. Frames may
be lost, repeated, cut anew, and overtake each other. Two questions are kept apart:

May an entry be applied?  Yes, as soon as its document's state vector covers what the entry needs
    (parse.py), whatever its seq: a CRDT does not care for the order of the rest. Until then it is
    held. An entry that is applied may be what held ones of the same document waited for.

How far has the stream been received?  A frame is open while an entry of it is held, and done when
    all are applied. ``cursor`` moves only over done frames that follow each other without a hole::

        seq      10        20        30        40        50
        frames    |== done ==|          |== open ==|== done ==|
        cursor               ^          gap: the frame between was lost

    So everything up to ``cursor`` has been applied, and a replica that stores ``cursor`` together
    with what it applied can lose everything else here and resume from it.

Two remedies are the caller's. ``gap``: a frame is missing; ask the relay to send again from
``cursor``. ``waiting``: documents with held entries; ask for their difference, then ``release``.

Memory is bounded. Beyond the bounds the frame furthest from the cursor is forgotten, as if it had
been lost: it then shows as a gap. The nearest open frame is always kept, so that fetching what it
waits for always lets the cursor move on, and the frames behind it can be asked for again.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import NamedTuple

from syncline.engine.errors import MalformedFrame
from syncline.engine.names import Address

from .parse import StateVector, UpdateInfo, covers


class Ready(NamedTuple):
    """An update to apply now."""

    address: Address
    update: bytes
    info: UpdateInfo


class _Held(NamedTuple):
    item: Ready
    interval: tuple[int, int]
    """(since, cursor) of its frame."""


class Frame(NamedTuple):
    """A frame that is being taken; it is ``fresh`` when none of the same stretch is open."""

    interval: tuple[int, int]
    """(since, cursor)"""
    fresh: bool


class HoldBack:
    """What one replica knows of the relay's stream: its cursor, and what it holds beyond.

    The caller applies what ``receive``, ``admit`` and ``release`` return, in that order, before it
    calls again, and stores ``cursor`` no earlier than those changes.

    At most ``max_updates`` updates of ``max_bytes`` bytes together are held, or else one frame;
    at most ``max_intervals`` frames are open, and as many stretches done beyond a gap are known.
    """

    def __init__(
        self,
        cursor: int,
        *,
        max_updates: int = 1000,
        max_bytes: int = 8 << 20,
        max_intervals: int = 256,
    ) -> None:
        self._max_updates = max_updates
        self._max_bytes = max_bytes
        self._max_intervals = max_intervals
        self.reset(cursor)

    def reset(self, cursor: int) -> None:
        """Start over from ``cursor``: forget what was received beyond, or from another relay."""
        self._cursor = self._highest = cursor
        self._done: list[tuple[int, int]] = []  # beyond the cursor: rising, not touching
        self._open: dict[tuple[int, int], int] = {}  # how many entries of the frame are not applied
        # By address in the order of arrival; no sets, so that a run repeats exactly.
        self._held: dict[Address, list[_Held]] = {}
        self._updates = self._bytes = 0

    @property
    def cursor(self) -> int:
        """Every change with seq <= cursor has been applied (or is in what was just returned)."""
        return self._cursor

    @property
    def gap(self) -> bool:
        """Whether a frame before the latest is missing: neither done nor open."""
        known = self._cursor
        for since, cursor in sorted([*self._done, *self._open]):
            if since > known:
                return True
            known = max(known, cursor)
        return known < self._highest

    @property
    def held(self) -> int:
        """How many updates are held."""
        return self._updates

    @property
    def waiting(self) -> list[Address]:
        """The documents with held updates: they lack something. Longest waiting first."""
        return list(self._held)

    def receive(
        self,
        since: int,
        cursor: int,
        entries: Sequence[tuple[Address, bytes, UpdateInfo]],
        state_of: Callable[[Address], StateVector],
    ) -> list[Ready]:
        """Take a frame: all changes with since < seq <= cursor. Return what to apply now.

        ``state_of`` tells the state vector of a document. Raises MalformedFrame if ``since`` and
        ``cursor`` enclose nothing.
        """
        # First, because it may fail, and nothing has changed then.
        states = {address: state_of(address) for address, _, _ in entries}
        frame = self.begin(since, cursor, len(entries))
        return [] if frame is None else self.admit(frame, entries, states.__getitem__)

    def begin(self, since: int, cursor: int, count: int) -> Frame | None:
        """Begin to take a frame of ``count`` entries, which are then given to ``admit`` or
        ``dismiss``; None for one of which everything is applied.

        Until all of them were, ``cursor`` stays below it. Raises MalformedFrame as ``receive``.
        """
        if since >= cursor:
            raise MalformedFrame(
                f"A frame claims to hold the changes after {since} up to {cursor}.",
                hint="The relay is broken: report it.",
            )
        if cursor <= self._cursor:
            return None
        self._highest = max(self._highest, cursor)
        frame = Frame((since, cursor), (since, cursor) not in self._open)
        if frame.fresh:  # else what it has is applied, or held already
            self._open[frame.interval] = count
            if not count:
                self._settle()
        return frame

    def dismiss(self, frame: Frame, count: int) -> None:
        """So many entries of a frame are of no use any more."""
        if frame.fresh and frame.interval in self._open:
            self._open[frame.interval] -= count
            self._settle()

    def admit(
        self,
        frame: Frame,
        entries: Sequence[tuple[Address, bytes, UpdateInfo]],
        state_of: Callable[[Address], StateVector],
    ) -> list[Ready]:
        """Take the next entries of a frame. Return what to apply now."""
        states = {address: state_of(address) for address, _, _ in entries}
        if frame.fresh and frame.interval in self._open:  # else it was forgotten meanwhile
            for entry in entries:
                held = self._held.get(entry[0], [])
                self._keep(entry[0], [*held, _Held(Ready(*entry), frame.interval)])
        ready: list[Ready] = []
        for address, state in states.items():
            self._drain(address, state, ready)
        self._settle()
        return ready

    def release(self, address: Address, state: StateVector) -> list[Ready]:
        """Return what was held for a document that is now at ``state``, and is covered."""
        ready: list[Ready] = []
        self._drain(address, state, ready)
        self._settle()
        return ready

    def abandon(self, address: Address) -> None:
        """Drop what is held for a document whose history has ended: it needs none of it."""
        for one in self._held.get(address, []):
            self._open[one.interval] -= 1
        self._keep(address, [])
        self._settle()

    def _drain(self, address: Address, state: StateVector, ready: list[Ready]) -> None:
        """Move to ``ready`` what is covered, and what that covers in turn."""
        held = self._held.get(address, [])
        before = len(held) + 1
        while len(held) < before:  # until a pass releases nothing
            before = len(held)
            kept: list[_Held] = []
            for one in held:
                if covers(state, one.item.info.needs):
                    ready.append(one.item)
                    state = one.item.info.advance(state)
                    self._open[one.interval] -= 1
                else:
                    kept.append(one)
            held = kept
        self._keep(address, held)

    def _keep(self, address: Address, held: list[_Held]) -> None:
        """Hold exactly ``held`` of a document."""
        gone = self._held.get(address, [])
        self._updates += len(held) - len(gone)
        self._bytes += _size(held) - _size(gone)
        if held:
            self._held[address] = held
        else:
            self._held.pop(address, None)

    def _settle(self) -> None:
        """Close frames that are done, move the cursor, and keep within the bounds."""
        for interval in [interval for interval, left in self._open.items() if not left]:
            del self._open[interval]
            insort(self._done, interval)
        stretches: list[tuple[int, int]] = []
        for since, cursor in self._done:
            if since <= self._cursor:
                self._cursor = max(self._cursor, cursor)
            elif stretches and since <= stretches[-1][1]:
                stretches[-1] = (stretches[-1][0], max(stretches[-1][1], cursor))
            else:
                stretches.append((since, cursor))
        self._done = stretches[: self._max_intervals]
        for interval in [interval for interval in self._open if interval[1] <= self._cursor]:
            self._forget(interval)  # all of it has come in other frames
        while len(self._open) > 1 and (
            len(self._open) > self._max_intervals
            or self._updates > self._max_updates
            or self._bytes > self._max_bytes
        ):
            self._forget(max(self._open))

    def _forget(self, interval: tuple[int, int]) -> None:
        """Drop a frame and what is held of it."""
        del self._open[interval]
        for address, held in list(self._held.items()):
            self._keep(address, [one for one in held if one.interval != interval])


def _size(held: list[_Held]) -> int:
    return sum(len(one.item.update) for one in held)
