"""The outbox: local changes packed into numbered batches that a relay acknowledges one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from syncline.engine.document.document import merge_updates

from .binary_frames import encode_binary
from .messages import Entry, Push

MAX_BATCH_BYTES = 1 << 20
"""A batch is closed when its updates reach this size; one larger update stands alone."""
MAX_BATCH_ENTRIES = 500


class Batch(NamedTuple):
    """``payload`` is the encoded push frame, resent as it is until it is acknowledged."""

    number: int
    payload: bytes


def merge_runs(updates: Sequence[bytes]) -> list[bytes]:
    """Merge one document's updates, in causal order, into as few as fit a batch each."""
    merged: list[bytes] = []
    run: list[bytes] = []
    size = 0
    for update in updates:
        if run and size + len(update) > MAX_BATCH_BYTES:
            merged.append(merge_updates(run))
            run, size = [], 0
        run.append(update)
        size += len(update)
    if run:
        merged.append(merge_updates(run))
    return merged


def pack(entries: Iterable[Entry], first_number: int) -> list[Batch]:
    """Pack entries, in causal order, into batches numbered from ``first_number``."""
    return [
        Batch(number, encode_binary(Push(number, tuple(some))))
        for number, some in enumerate(_cut(entries), first_number)
    ]


def _cut(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (
            size + len(entry.update) > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_ENTRIES
        ):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += len(entry.update)
    if batch:
        yield batch
