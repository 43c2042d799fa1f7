"""The outbox: local changes packed into numbered batches that a relay acknowledges one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .binary_frames import encode_binary
from .document import merge_updates
from .messages import Entry, Push
from .names import Address

MAX_BATCH_BYTES = 1 << 20
"""A batch is closed when its updates reach this size; one larger update stands alone."""
MAX_BATCH_ENTRIES = 500


class Batch(NamedTuple):
    """``payload`` is the encoded push frame, resent as it is until it is acknowledged."""

    number: int
    payload: bytes


def pack(updates: Iterable[tuple[Address, Sequence[bytes]]], first_number: int) -> list[Batch]:
    """Pack each document's updates, in causal order, into batches numbered from
    ``first_number``."""
    numbered = enumerate(_cut(_entries(updates)), first_number)
    return [
        Batch(number, encode_binary(Push(number, tuple(entries)))) for number, entries in numbered
    ]


def _entries(updates: Iterable[tuple[Address, Sequence[bytes]]]) -> Iterator[Entry]:
    """One merged update per document, unless that would be larger than a batch."""
    for address, parts in updates:
        group: list[bytes] = []
        size = 0
        for part in parts:
            if group and size + len(part) > MAX_BATCH_BYTES:
                yield Entry(address, merge_updates(group))
                group, size = [], 0
            group.append(part)
            size += len(part)
        if group:
            yield Entry(address, merge_updates(group))


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
