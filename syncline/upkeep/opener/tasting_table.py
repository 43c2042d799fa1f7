"""Documents that are kept open in an opener, to see what an update would do to them.

A request says what to let go, and for each document what it holds (if it is not open here), what
was stored of it since, and what is to be tasted. Of each document an answer goes out at once, so
whoever asked knows on which one the process died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from itertools import islice

import orjson

from syncline.engine.document.tasted import TastedDocument
from syncline.engine.errors import DocumentBroken, InvalidUpdate
from syncline.engine.updates.parse import (
    StateVector,
    UpdateLimits,
    covers,
    decode_state_vector,
    parse_update,
)

_STORED = UpdateLimits(1 << 30, max_structs=1 << 30, max_clients=1 << 20, max_nesting=1 << 53)
"""What is stored has been checked, if maybe by an older relay."""
INTEGRATED, SKIPPED = b"+", b"-"
BROKEN = b"!"
"""What an answer begins with for a document that cannot be opened, or read."""


@dataclass(frozen=True, slots=True)
class Tasting:
    """What is to be done with one document. If it is not open here yet, ``state`` is its encoded
    state vector and ``stored`` its log; otherwise what was stored since it was asked about last."""

    key: str
    state: bytes | None
    stored: tuple[bytes, ...]
    updates: tuple[bytes, ...]


def tasting_request(
    tastings: Sequence[Tasting], dropped: Sequence[str], limits: UpdateLimits
) -> list[bytes]:
    """The parts of a request."""
    documents = [
        (each.key, each.state is not None, len(each.stored), len(each.updates)) for each in tastings
    ]
    parts = [orjson.dumps([astuple(limits), dropped, documents])]
    for each in tastings:
        parts += (each.state or b"", *each.stored, *each.updates)
    return parts


@dataclass(slots=True)
class _Open:
    """A document, and how far it is."""

    state: StateVector
    document: TastedDocument = field(default_factory=TastedDocument)

    def follow(self, updates: Iterable[bytes]) -> None:
        """Integrate what is stored."""
        for update in updates:
            self.document.apply(update)
            self.state = parse_update(update, _STORED).advance(self.state)


class TastingTable:
    """Tastes what comes; ``report`` sends the answer for a document: for each update whether it was
    integrated. What is no update, or not covered, is skipped: it is not stored either."""

    def __init__(self, report: Callable[[bytes], None]) -> None:
        self._report = report
        self._open: dict[str, _Open] = {}

    def taste(self, parts: Sequence[bytes]) -> list[bytes]:
        header, *blobs = parts
        limits, dropped, documents = orjson.loads(header)
        left = iter(blobs)
        for key, fresh, stored, updates in documents:
            state = next(left)
            stored_since = list(islice(left, stored))
            dish = list(islice(left, updates))
            try:
                if fresh:
                    self._open[key] = _Open(decode_state_vector(state))
                opened = self._open[key]
                opened.follow(stored_since)
                answer = self._taste(opened, dish, UpdateLimits(*limits))
            except (DocumentBroken, InvalidUpdate) as error:
                del self._open[key]
                answer = BROKEN + error.message.encode()
            except KeyError:
                answer = BROKEN + b"it is not open"
            self._report(answer)
        for key in dropped:
            self._open.pop(key, None)
        return []

    def _taste(self, opened: _Open, updates: Iterable[bytes], limits: UpdateLimits) -> bytes:
        answer = b""
        for update in updates:
            answer += INTEGRATED if self._integrate(opened, update, limits) else SKIPPED
        opened.document.read()
        return answer

    @staticmethod
    def _integrate(opened: _Open, update: bytes, limits: UpdateLimits) -> bool:
        try:
            info = parse_update(update, limits)
        except InvalidUpdate:
            return False
        if not covers(opened.state, info.needs):
            return False
        opened.document.apply(update)
        opened.state = info.advance(opened.state)
        return True
