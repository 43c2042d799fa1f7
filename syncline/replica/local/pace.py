"""Pace: what a replica does by itself between two turns of the event loop.

Whatever comes from the relay, and whatever a commit needs to know of the documents it changes, is
worked off in slices. Between two of them everything else in the program has its turn. A slice is
counted in work, not in time, so that a run can be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from syncline.engine.protocol.messages import Entry

T = TypeVar("T")

SLICE_DOCUMENTS = 16
SLICE_BYTES = 256 << 10
UNSAVED_DOCUMENTS = 128


@dataclass(frozen=True, slots=True)
class WorkSlice:
    """How much is done at once: ``documents`` that are changed, or described for the store, or
    fewer when their updates reach ``bytes``; one document is never divided.

    Reading from the relay pauses while more than ``unsaved`` documents have changes that are not on
    the disk: a query, which waits for these, then waits for no more.
    """

    documents: int = SLICE_DOCUMENTS
    bytes: int = SLICE_BYTES
    unsaved: int = UNSAVED_DOCUMENTS


class Pace:
    """Counts what one task does, and lets the event loop turn after each slice."""

    def __init__(self, work_slice: WorkSlice) -> None:
        self._slice = work_slice
        self._documents = self._bytes = 0

    async def spend(self, documents: int, size: int = 0) -> None:
        """That much was done: ``size`` is in bytes."""
        self._documents += documents
        self._bytes += size
        if self._documents >= self._slice.documents or self._bytes >= self._slice.bytes:
            self._documents = self._bytes = 0
            await asyncio.sleep(0)


def slices(
    entries: Sequence[tuple[Entry, T]], work_slice: WorkSlice
) -> Iterator[Sequence[tuple[Entry, T]]]:
    """``entries``, in order, a slice at a time."""
    some: list[tuple[Entry, T]] = []
    size = 0
    for each in entries:
        some.append(each)
        size += len(each[0].update)
        if len(some) >= work_slice.documents or size >= work_slice.bytes:
            yield some
            some, size = [], 0
    if some:
        yield some
