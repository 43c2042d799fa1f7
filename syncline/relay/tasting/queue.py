"""Submissions that wait to be tasted, in turns between their authors."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from syncline.engine.protocol.messages import Entry
from syncline.relay.log.place import Place
from syncline.relay.log.submission import Submission

MAX_PART_UPDATES = 64
"""Updates of one submission in one round, so that others do not wait for a large one."""
MAX_ROUND_UPDATES = 256
"""Updates that are tasted together; the submission with which there are more may have more."""
MAX_ROUND_BYTES = 256 << 10
"""Their size, likewise."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A submission that waits; ``name`` is that of its principal, None where nobody has one."""

    submission: Submission
    name: str | None
    tries: int = 0
    integrated: list[bool] = field(default_factory=list[bool])
    size: int = field(init=False)
    places: frozenset[Place] = field(init=False)
    """Of the documents, as it came."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it is not at the committer."""

    def __post_init__(self) -> None:
        self.size = self.submission.size
        self.places = frozenset(place for place, _ in self.entries())

    @property
    def author(self) -> tuple[str, str]:
        return self.submission.workspace, self.submission.author

    def suspect(self, place: Place) -> str:
        """What is remembered of who harms that document: the principal, or else the document."""
        return f"{place[0]}/{place[1]}" if self.name is None else self.name

    def entries(self) -> Iterator[tuple[Place, Entry]]:
        """Each entry, and where its document is."""
        workspace = self.submission.workspace
        for entry in self.submission.entries:
            yield (workspace, entry.address), entry

    def part(self) -> Iterator[tuple[Place, Entry]]:
        """Those of the entries that are tasted next."""
        workspace = self.submission.workspace
        for entry in self.part_entries():
            yield (workspace, entry.address), entry

    def part_entries(self) -> tuple[Entry, ...]:
        begin = len(self.integrated)
        return self.submission.entries[begin : begin + MAX_PART_UPDATES]

    @property
    def is_large(self) -> bool:
        """Whether it is tasted in parts."""
        return len(self.submission.entries) > MAX_PART_UPDATES

    @property
    def is_tasted(self) -> bool:
        return len(self.integrated) == len(self.submission.entries)


class TastingQueue:
    """Gives an author's submissions in their order, and a document to one round at a time.

    A document is taken from when a submission to it is given out until ``release``: what is tasted
    next has to be tasted on what is stored by then.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[str, str], deque[Waiting]] = OrderedDict()
        self._taken: Counter[Place] = Counter()
        self._held: set[tuple[str, str]] = set()  # authors whose next submission has to wait

    def put(self, waiting: Waiting) -> None:
        self._waiting.setdefault(waiting.author, deque()).append(waiting)

    def put_back(self, again: list[Waiting]) -> None:
        """Put submissions of one author before all others of that author."""
        if again:
            self._waiting.setdefault(again[0].author, deque()).extendleft(reversed(again))

    def go_on(self, waiting: Waiting) -> None:
        """Give out a submission again of which a part was tasted. Its documents stay taken."""
        self._waiting.setdefault(waiting.author, deque()).appendleft(waiting)

    def next_round(self) -> list[Waiting]:
        """What is tasted next, and together: one submission of each author, and again, as long as
        there are any and there is room. Of one that is tasted in parts the next part: what its
        author sent behind it waits, and so does what others send to its documents."""
        round_: list[Waiting] = []
        blocked: set[Place] = set()  # those that an author waits for who was there before
        taking = Counter[Place]()
        in_parts: set[tuple[str, str]] = set()
        updates = size = 0
        found = True
        while found:
            found = False
            for author in [each for each in self._waiting if each not in in_parts]:
                if updates >= MAX_ROUND_UPDATES or size >= MAX_ROUND_BYTES:
                    break
                waiting = self._take(author, blocked, taking)
                if waiting is not None:
                    found = True
                    round_.append(waiting)
                    entries = waiting.part_entries()
                    updates += len(entries)
                    size += sum(len(entry.update) for entry in entries)
                    if waiting.is_large:
                        in_parts.add(author)
                        blocked |= waiting.places
        self._taken.update(taking)
        return round_

    def _take(
        self, author: tuple[str, str], blocked: set[Place], taking: Counter[Place]
    ) -> Waiting | None:
        if author in self._held:
            return None
        queue = self._waiting[author]
        first = queue[0]
        if not first.integrated:  # else it has its documents already
            others = (self._taken, blocked, *([taking] if first.is_large else ()))
            if any(place in each for place in first.places for each in others):
                blocked |= first.places
                return None
            taking.update(first.places)
        queue.popleft()
        if queue:
            self._waiting.move_to_end(author)
        else:
            del self._waiting[author]
        return first

    def hold(self, author: tuple[str, str]) -> None:
        """Give out no more of this author's until ``let_go``."""
        self._held.add(author)

    def holds(self, author: tuple[str, str]) -> bool:
        return author in self._held

    def let_go(self, author: tuple[str, str]) -> None:
        self._held.discard(author)

    def release(self, waiting: Waiting) -> None:
        """The submission has been settled, or is put back."""
        self._taken.subtract(waiting.places)
        for place in waiting.places:
            if self._taken[place] <= 0:
                del self._taken[place]
