"""What updates delete, as clock ranges: compared and written without opening a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from syncline.engine.lib0 import write_uint

from .update_values import uint

Deletes: TypeAlias = Mapping[int, Sequence[tuple[int, int]]]
"""Per client, (clock, length) pairs, as ``UpdateInfo.deletes`` has them."""


def encode_deletes(deletes: Deletes) -> bytes:
    """As an update ends with them. Those that the parser read give the bytes that they had."""
    out = bytearray()
    write_uint(out, len(deletes))
    for client, pairs in deletes.items():
        write_uint(out, client)
        write_uint(out, len(pairs))
        for clock, length in pairs:
            write_uint(out, clock)
            write_uint(out, length)
    return bytes(out)


def read_deletes(update: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Client, clock and length of each range that an update deletes, from where its structs end."""
    clients, at = uint(update, at)
    for _ in range(clients):
        client, at = uint(update, at)
        count, at = uint(update, at)
        for _ in range(count):
            clock, at = uint(update, at)
            length, at = uint(update, at)
            yield client, clock, length


def unknown_deletes(deletes: Deletes, known: Deletes) -> dict[int, list[tuple[int, int]]]:
    """What of ``deletes`` is not in ``known``, in order."""
    unknown: dict[int, list[tuple[int, int]]] = {}
    for client, pairs in deletes.items():
        left = _without(joined(pairs), joined(known.get(client, ())))
        if left:
            unknown[client] = left
    return unknown


def joined(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """(clock, length) pairs as the fewest rising [start, end) pairs."""
    runs: list[tuple[int, int]] = []
    for clock, length in sorted(pairs):
        end = clock + length
        if runs and clock <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], end))
        else:
            runs.append((clock, end))
    return runs


def _without(
    runs: Sequence[tuple[int, int]], known: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """What of ``runs`` is in none of ``known``, as (clock, length) pairs."""
    left: list[tuple[int, int]] = []
    at = 0
    for run_start, end in runs:
        start = run_start
        while at < len(known) and known[at][1] <= start:
            at += 1
        next_known = at
        while start < end:
            if next_known == len(known) or known[next_known][0] >= end:
                left.append((start, end - start))
                break
            known_start, known_end = known[next_known]
            if known_start > start:
                left.append((start, known_start - start))
            start = known_end
            next_known += 1
    return left
