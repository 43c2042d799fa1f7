"""A lane: an opener, the documents that it has open, and what was stored of them since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.updates.parse import UpdateLimits, encode_state_vector
from syncline.relay.log.committed import Committed
from syncline.relay.log.place import Place
from syncline.stores import Store, StoreCalls
from syncline.upkeep.opener.inline import DocumentOpener
from syncline.upkeep.opener.outcomes import TASTE
from syncline.upkeep.opener.process import OpenerEnded, OpenerRefused, OpenerUnavailable
from syncline.upkeep.opener.tasting_table import BROKEN, INTEGRATED, Tasting, tasting_request

MAX_DOCUMENTS = 2000
"""Documents that a lane keeps open."""
MAX_BYTES = 8 << 20
"""Size of the updates that these were made of. Open they take up to 70 times that."""

_NOTHING = encode_state_vector({})


class Dish(NamedTuple):
    """What is to be tasted of one document."""

    place: Place
    epoch: int
    updates: tuple[bytes, ...]


class Verdict(NamedTuple):
    """What came of a dish: which updates were integrated, or why the document cannot be read with
    them. With neither, the opener had ended before."""

    integrated: tuple[bool, ...] | None = None
    failure: str | None = None


@dataclass(slots=True)
class _Warm:
    """A document that the opener has, as of its process number ``start``, but for what was
    ``stored`` since."""

    key: str
    start: int
    size: int
    stored: list[bytes] = field(default_factory=list[bytes])
    tasted: frozenset[bytes] = frozenset()
    """What the opener integrated the last time: it need not hear of that again."""


class Lane:
    """Tastes one request after the other. ``reader`` reads ``store``, ``calls`` waits for the
    opener."""

    def __init__(
        self,
        store: Store,
        opener: DocumentOpener,
        limits: UpdateLimits,
        *,
        reader: StoreCalls,
        calls: StoreCalls,
    ) -> None:
        self._store = store
        self._opener = opener
        self._limits = limits
        self._reader = reader
        self._calls = calls
        self._dropped: list[str] = []
        self._warm = BoundedCache[tuple[Place, int], _Warm](
            MAX_DOCUMENTS, MAX_BYTES, on_evict=lambda _place, warm: self._dropped.append(warm.key)
        )

    async def start(self) -> None:
        """Have the opener ready. Raises OpenerUnavailable."""
        await self._calls(self._opener.start)

    async def close(self) -> None:
        """End the opener, also in the middle of a request."""
        self._opener.kill()
        await self._calls.close(self._opener.kill)  # it may have been just about to start

    def committed(self, committed: Committed) -> None:
        """Hear of what was stored: the documents here have to have it before anything is tasted."""
        for entry in committed.entries:
            place = ((committed.workspace, entry.address), entry.epoch)
            warm = self._warm.get(place)
            if warm is not None and entry.update not in warm.tasted:
                warm.stored.append(entry.update)
                warm.size += len(entry.update)
                self._warm.put(place, warm, warm.size)

    def forget(self, place: Place, epoch: int) -> None:
        """Read a document anew the next time: it has something that was not stored."""
        self._warm.discard((place, epoch))

    async def taste(self, dishes: Sequence[Dish]) -> list[Verdict]:
        """The verdict on each, in order; all after one on which the opener ended are open.

        Raises StoreError, and OpenerUnavailable if nothing can be said.
        """
        if not self._opener.running:
            await self.start()
        tastings = [await self._prepare(dish) for dish in dishes]
        here = {each.key for each in tastings}
        dropped = [key for key in self._dropped if key not in here]
        self._dropped.clear()
        request = tasting_request(tastings, dropped, self._limits)
        ended: str | None = None
        try:
            answers = await self._calls(self._opener.ask, TASTE, *request)
        except OpenerEnded as error:
            self._warm.clear()
            answers, ended = error.parts, str(error)
        except OpenerRefused as error:
            self._warm.clear()
            raise OpenerUnavailable(str(error)) from error
        except BaseException:
            self._opener.kill()  # perhaps cancelled in the middle of a conversation
            self._warm.clear()
            raise
        verdicts = [
            self._verdict(dish, answer) for dish, answer in zip(dishes, answers, strict=False)
        ]
        if len(verdicts) < len(dishes):
            verdicts.append(Verdict(failure=ended or "the process that opens it said nothing"))
        verdicts += [Verdict()] * (len(dishes) - len(verdicts))
        return verdicts

    async def _prepare(self, dish: Dish) -> Tasting:
        """What the opener is to do, and whatever it lacks for that."""
        name = (dish.place, dish.epoch)
        warm = self._warm.get(name)
        state: bytes | None = None
        log: tuple[bytes, ...] = ()
        if warm is None or warm.start != self._opener.starts:
            workspace, address = dish.place
            warm = _Warm(f"{workspace}/{address}/{dish.epoch}", self._opener.starts, 0)
            self._warm.put(name, warm)
            # What is committed while it is read is heard of, and does nothing the second time.
            loaded = await self._reader(self._store.load, workspace, address)
            state = _NOTHING
            if loaded is not None and loaded.epoch == dish.epoch:
                state, log = loaded.state_vector, loaded.updates
        stored, warm.stored = (*log, *warm.stored), []
        warm.size += sum(map(len, log)) + sum(map(len, dish.updates))
        self._warm.put(name, warm, warm.size)
        return Tasting(warm.key, state, stored, dish.updates)

    def _verdict(self, dish: Dish, answer: bytes) -> Verdict:
        if answer.startswith(BROKEN):
            self.forget(dish.place, dish.epoch)
            return Verdict(failure=answer.removeprefix(BROKEN).decode("utf-8", "replace"))
        integrated = tuple(answer[at : at + 1] == INTEGRATED for at in range(len(answer)))
        warm = self._warm.get((dish.place, dish.epoch))
        if warm is not None:
            warm.tasted = frozenset(compress(dish.updates, integrated))
        return Verdict(integrated)
