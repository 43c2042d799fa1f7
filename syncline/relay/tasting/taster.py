"""The taster: integrates what strangers write before it is stored or shown to anybody.

An update that passes the parser may still make the CRDT library hang, crash or take all memory, and
does so to whoever opens the document. So it is integrated once in a process that nobody minds, with
the document that it is for, and read as readers read. Only then it goes to the committer.

There are two lanes, each with such a process. What goes wrong in the first is decided in the second
(careful), alone, patiently, and with the document read anew from the store: so only the guilty are
refused, and everybody else waits at most once. Who was refused there is a suspect, and is tasted
there from then on; so is what the first lane is too impatient for.

Nothing is remembered of it: what is stored was tasted. The ledger sees to that (log/taste.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.errors import (
    DocumentBroken,
    HarmfulUpdate,
    PeerError,
    StoreError,
    SynclineError,
)
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry, Refusal
from syncline.relay.log.committed import Committed
from syncline.relay.log.committer import Committer
from syncline.relay.log.place import Place
from syncline.relay.log.submission import Outcome, Settled, Submission
from syncline.relay.log.taste import TASTE_AGAIN, Taste
from syncline.upkeep.opener.process import OpenerUnavailable

from .lane import Dish, Lane, Verdict
from .queue import TastingQueue, Waiting

logger = logging.getLogger("syncline.relay")

PATIENCE_SECONDS = 1.0
"""How long a round may take in the first lane: so long others wait, once, for what hangs."""
CAREFUL_PATIENCE_SECONDS = 10.0
"""How long a submission may take in the second lane."""
MAX_WAITING_BYTES = 64 << 20
"""Size of the submissions that wait; one more of each author may."""
MAX_TRIES = 3
"""How often a submission is tasted before its author is told to offer it again."""
_KEPT_SUSPECTS = 10_000
_KEPT_SLOW = 10_000
_RETRY_SECONDS = 5.0


class Taster:
    """Takes submissions as the committer does, and passes them on to it."""

    def __init__(self, committer: Committer, lane: Lane, careful: Lane) -> None:
        self._committer = committer
        self._lane = lane
        self._careful = careful
        self._queue = TastingQueue()
        self._with_care: deque[Waiting] = deque()
        self._bytes = 0
        self._room_again = asyncio.Event()
        self._more = asyncio.Event()
        self._more_with_care = asyncio.Event()
        self._suspects = BoundedCache[str, bool](_KEPT_SUSPECTS)
        self._slow = BoundedCache[Place, bool](_KEPT_SLOW)
        # By author: submissions at the committer, and those that come back from there.
        self._committing: Counter[tuple[str, str]] = Counter()
        self._again: dict[tuple[str, str], list[Waiting]] = {}

    async def submit(self, submission: Submission, name: str | None) -> None:
        """Queue a submission; waits while too much is queued, which slows its sender down.
        ``name`` is that of its principal, None if nobody is asked for one."""
        while self._bytes >= MAX_WAITING_BYTES:
            self._room_again.clear()
            await self._room_again.wait()
        self._bytes += submission.size
        self._queue.put(Waiting(submission, name))
        self._more.set()

    def committed(self, committed: Committed) -> None:
        """Hear of what was stored, before anybody else does."""
        self._lane.committed(committed)
        self._careful.committed(committed)

    async def run(self) -> None:
        """Taste until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._run_first())
            lanes.create_task(self._run_careful())

    async def _run_first(self) -> None:
        await self._guarded(self._start, [])
        while True:
            self._more.clear()
            round_ = self._queue.next_round()
            if round_:
                await self._guarded(self._round, self._take_care(round_, self._needs_care))
            else:
                await self._more.wait()

    async def _run_careful(self) -> None:
        while True:
            self._more_with_care.clear()
            if self._with_care:
                waiting = self._with_care.popleft()
                await self._guarded(self._decide, [waiting])
                self._queue.let_go(waiting.author)
                self._more.set()
            else:
                await self._more_with_care.wait()

    async def _guarded(
        self, taste: Callable[[list[Waiting]], Awaitable[None]], round_: list[Waiting]
    ) -> None:
        """Whatever fails here, nothing goes on untasted, and its author is told to come again."""
        error: SynclineError
        try:
            await taste(round_)
            return
        except OpenerUnavailable as unavailable:
            logger.error("Nothing can be tasted at present: %s.", unavailable)
            error = _unavailable()
        except StoreError as failed:
            error = failed
        except Exception:
            logger.exception("a defect of the relay: %d batches were not tasted", len(round_))
            error = _unavailable()
        for waiting in round_:
            self._release(waiting)
            self._settle(waiting, error)

    # The first lane

    async def _start(self, _nothing: list[Waiting]) -> None:
        """The first change shall not wait for the start of a process."""
        await self._lane.start()

    async def _round(self, round_: list[Waiting]) -> None:
        dishes: dict[tuple[Place, int], list[bytes]] = {}
        for waiting in round_:
            for place, entry in waiting.part():
                dishes.setdefault((place, entry.epoch), []).append(entry.update)
        tasted = await self._lane.taste(
            [Dish(place, epoch, tuple(updates)) for (place, epoch), updates in dishes.items()]
        )
        verdicts = dict(zip(dishes, tasted, strict=True))
        flags = {name: iter(verdict.integrated or ()) for name, verdict in verdicts.items()}
        integrated = {
            waiting: [next(flags[place, entry.epoch], False) for place, entry in waiting.part()]
            for waiting in round_
        }
        bad = {place for (place, _), verdict in verdicts.items() if verdict.failure is not None}
        if bad:
            logger.info("%s: looked at with care.", ", ".join(str(place[1]) for place in bad))
            round_ = self._take_care(round_, lambda each: not bad.isdisjoint(each.places))
            unknown = {place for (place, _), verdict in verdicts.items() if verdict == Verdict()}
            round_ = self._put_back(round_, lambda each: not unknown.isdisjoint(each.places))
        spoilt: set[Place] = set()
        for waiting in round_:
            waiting.integrated += integrated[waiting]
            if waiting.is_tasted:
                await self._pass_on(waiting, tuple(waiting.integrated), spoilt)
            else:
                self._queue.go_on(waiting)

    def _needs_care(self, waiting: Waiting) -> bool:
        return any(
            self._suspects.get(waiting.suspect(place)) is not None
            or self._slow.get(place) is not None
            for place in waiting.places
        )

    def _take_care(
        self, round_: list[Waiting], needs_care: Callable[[Waiting], bool]
    ) -> list[Waiting]:
        """Give the second lane what needs care; returns what goes on of the rest."""
        rest: list[Waiting] = []
        for waiting in round_:
            if needs_care(waiting) and not self._queue.holds(waiting.author):
                self._queue.hold(waiting.author)
                self._with_care.append(waiting)
                self._more_with_care.set()
            else:
                rest.append(waiting)
        # What the same authors have sent after it has to wait.
        return self._put_back(rest, lambda each: self._queue.holds(each.author))

    def _put_back(
        self, round_: list[Waiting], has_to_wait: Callable[[Waiting], bool]
    ) -> list[Waiting]:
        """Put back what has to wait, and what follows it of the same author; returns the rest."""
        rest: list[Waiting] = []
        back: dict[tuple[str, str], list[Waiting]] = {}
        for waiting in round_:
            if has_to_wait(waiting) or waiting.author in back:
                back.setdefault(waiting.author, []).append(waiting)
                self._forget(waiting)
                self._queue.release(waiting)
            else:
                rest.append(waiting)
        for waitings in back.values():
            self._queue.put_back(waitings)
        return rest

    # The second lane

    async def _decide(self, round_: list[Waiting]) -> None:
        (waiting,) = round_
        refused: list[Refusal] = []
        entries = list(waiting.submission.entries)
        place_of = partial(_place, waiting.submission.workspace)
        # What was open there may have been spoilt by others.
        self._forget(waiting)
        began = asyncio.get_running_loop().time()
        blamed = 0
        while True:
            names = dict.fromkeys((place_of(entry), entry.epoch) for entry in entries)
            dishes = [Dish(place, epoch, ()) for place, epoch in names]
            dishes += [Dish(place_of(each), each.epoch, (each.update,)) for each in entries]
            verdicts = await self._careful.taste(dishes)
            bad = next((n for n, each in enumerate(verdicts) if each.failure is not None), None)
            if bad is None:
                break
            dish, why = dishes[bad], str(verdicts[bad].failure).rstrip(".")
            address = dish.place[1]
            if bad < len(names):
                logger.error("%s in %r cannot be opened: %s.", address, dish.place[0], why)
                refused.append(_unreadable(address, why))
                entries = [each for each in entries if place_of(each) != dish.place]
                continue
            blamed += 1
            culprit = entries[bad - len(names)]
            author = waiting.name or waiting.submission.author
            logger.warning("An update of %s by %s is refused: %s.", address, author, why)
            self._suspects.put(waiting.suspect(dish.place), True)
            refused.append(_harmful(address, why))
            entries = [
                each
                for each in entries
                if each is not culprit and (blamed < MAX_TRIES or place_of(each) != dish.place)
            ]
        if not refused and asyncio.get_running_loop().time() - began > PATIENCE_SECONDS / 2:
            for place in waiting.places:
                self._slow.put(place, True)
        await self._go_on(waiting, entries, refused, verdicts[len(names) :])

    async def _go_on(
        self,
        waiting: Waiting,
        entries: list[Entry],
        refused: list[Refusal],
        verdicts: Sequence[Verdict],
    ) -> None:
        """Pass on what is left of a submission, and wait until it is settled: the next one is
        tasted on what is stored then."""
        if refused:
            submission = waiting.submission
            waiting.submission = replace(
                submission, entries=tuple(entries), refused=(*submission.refused, *refused)
            )
        integrated = tuple(bool(each.integrated and each.integrated[0]) for each in verdicts)
        await self._pass_on(waiting, integrated, set())
        await waiting.settled.wait()

    # At the committer

    async def _pass_on(
        self, waiting: Waiting, integrated: tuple[bool, ...], spoilt: set[Place]
    ) -> None:
        self._committing[waiting.author] += 1
        waiting.settled.clear()
        await self._committer.submit(
            replace(
                waiting.submission,
                taste=Taste(integrated, spoilt),
                settle=partial(self._committed, waiting),
            )
        )

    def _committed(self, waiting: Waiting, outcome: Outcome) -> None:
        """Called by the committer, which must not wait."""
        author = waiting.author
        if not isinstance(outcome, Settled) or outcome.refusals:
            self._forget(waiting)
        self._release(waiting)
        failed = isinstance(outcome, SynclineError)
        if outcome is TASTE_AGAIN or (failed and author in self._again):
            waiting.tries += 1
        if waiting.tries and failed and waiting.tries < MAX_TRIES:
            self._again.setdefault(author, []).append(waiting)
        else:
            self._settle(waiting, outcome)
        self._committing[author] -= 1
        if not self._committing[author]:
            del self._committing[author]
            self._queue.put_back(self._again.pop(author, []))
        waiting.settled.set()

    def _forget(self, waiting: Waiting) -> None:
        """The documents have something that was not stored, or may have: it is tasted anew."""
        waiting.integrated.clear()
        for place, entry in waiting.entries():
            self._lane.forget(place, entry.epoch)
            self._careful.forget(place, entry.epoch)

    def _release(self, waiting: Waiting) -> None:
        self._queue.release(waiting)
        self._more.set()

    def _settle(self, waiting: Waiting, outcome: Outcome) -> None:
        self._bytes -= waiting.size
        self._room_again.set()
        waiting.submission.settle(outcome)


def _place(workspace: str, entry: Entry) -> Place:
    return workspace, entry.address


def _harmful(address: Address, why: str) -> Refusal:
    return Refusal(
        address,
        HarmfulUpdate.code,
        f"An update of {address} would harm whoever opens the document: {why}.",
        "It is not stored. No editor makes such updates: report it, with the update, if yours did.",
        None,
    )


def _unreadable(address: Address, why: str) -> Refusal:
    return Refusal(
        address,
        DocumentBroken.code,
        f"{address} cannot be opened at the relay: {why}.",
        "Nothing is stored in it until who runs the relay has mended it.",
        None,
    )


def _unavailable() -> PeerError:
    return PeerError(
        "tasting-unavailable",
        "The relay cannot look at changes before it stores them, so it stores none of them now.",
        hint="Your changes are kept and offered again; tell the operator to look at the relay's "
        "log.",
        retry_after=_RETRY_SECONDS,
    )
