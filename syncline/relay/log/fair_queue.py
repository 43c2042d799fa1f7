"""A queue that divides what it gives out fairly among those who fill it.

Start-time fair queueing (Goyal, Vin and Cheng, 1996). There is a virtual time, and each item gets a
place in it: no earlier than now, and behind what its sender has used already. The item of the
earliest place goes first. So who asks for little goes before whoever has a thousand things
waiting, whose share that is none the less.

Fairness has two levels: every account has the same share, and the senders of one account divide
it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

MAX_IDLE_SENDERS = 1024
"""Senders with nothing waiting of which it is remembered what they have used."""


class _Place(NamedTuple):
    start: int
    cost: int  # at the same start, little goes first
    number: int  # and then who came first


@dataclass(slots=True)
class _Sender(Generic[T]):
    account: Hashable
    waiting: deque[tuple[T, int]] = field(default_factory=deque[tuple[T, int]])
    used_until: int = 0


class FairQueue(Generic[T]):
    """Items of one sender keep their order."""

    def __init__(self) -> None:
        self._senders: dict[Hashable, _Sender[T]] = {}
        # The first item of each sender that has any.
        self._heads: list[tuple[_Place, Hashable]] = []
        self._active = Counter[Hashable]()  # senders with something waiting, by account
        self._now = 0
        self._items = 0
        self._numbers = 0

    def __len__(self) -> int:
        return self._items

    @property
    def remembered(self) -> int:
        """How many senders are known."""
        return len(self._senders)

    def put(self, item: T, cost: int, *, account: Hashable, sender: Hashable) -> None:
        """Add an item that costs its sender ``cost``, at least 1, of the share of ``account``."""
        known = self._senders.get(sender)
        if known is None:
            known = self._senders[sender] = _Sender(account)
        known.waiting.append((item, cost))
        self._items += 1
        if len(known.waiting) == 1:
            known.account = account
            self._active[account] += 1
            self._place(sender, known)

    def first(self) -> T:
        """What ``take`` gives next. Raises IndexError if there is nothing."""
        return self._senders[self._heads[0][1]].waiting[0][0]

    def take(self) -> T:
        """The next item. Raises IndexError if there is none."""
        (start, _, _), sender = heappop(self._heads)
        known = self._senders[sender]
        item, cost = known.waiting.popleft()
        self._items -= 1
        self._now = start
        known.used_until = start + cost * self._active[known.account]
        if known.waiting:
            self._place(sender, known)
        else:
            self._active[known.account] -= 1
            if not self._active[known.account]:
                del self._active[known.account]
            self._forget()
        return item

    def _place(self, sender: Hashable, known: _Sender[T]) -> None:
        self._numbers += 1
        place = _Place(max(self._now, known.used_until), known.waiting[0][1], self._numbers)
        heappush(self._heads, (place, sender))

    def _forget(self) -> None:
        """Let go of senders that wait for nothing, when they are many."""
        if not self._items:
            self._senders.clear()
            self._now = 0
        elif len(self._senders) - len(self._heads) > MAX_IDLE_SENDERS:
            self._senders = {
                sender: known for sender, known in self._senders.items() if known.waiting
            }
