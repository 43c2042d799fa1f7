"""Whether anything lies inside a character, between the two UTF-16 units of an emoji.

Yjs counts in these units, and editors that compute with them do insert and delete inside a pair.
Every Yjs client then shows a replacement character for each half. The CRDT library does not: it
loses a unit, and what a document writes is another text than the updates that made it. So such
documents are dealt with as bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from syncline.engine.updates.struct_format import SKIP, STRING
from syncline.engine.updates.update_values import Budget, UpdateLimits, uint

from .structs import Id, Struct, read_struct

_PAIR = re.compile(rb"[\xf0-\xf4]")
"""What a character of two units begins with, in UTF-8."""
_CHECKED = UpdateLimits(max_structs=1 << 53)


def cuts_a_character(updates: Iterable[bytes]) -> bool:
    """Whether these updates, which have been parsed before, put or delete something inside a
    character of two units."""
    updates = list(updates)
    if not any(_PAIR.search(update) for update in updates):
        return False
    halves: set[Id] = set()  # second units
    borders: set[Id] = set()  # operations before which something else is put, or ends
    for update in updates:
        _look(update, halves, borders)
    return not halves.isdisjoint(borders)


def _look(update: bytes, halves: set[Id], borders: set[Id]) -> None:
    budget = Budget(_CHECKED)
    sections, at = uint(update, 0)
    for _ in range(sections):
        count, at = uint(update, at)
        client, at = uint(update, at)
        clock, at = uint(update, at)
        for _ in range(count):
            if update[at] == SKIP:
                length, at = uint(update, at + 1)
            else:
                struct, at = read_struct(update, at, budget)
                length = struct.length
                if struct.kind == STRING:
                    halves.update((client, clock + each) for each in _second_units(struct.content))
                borders.update(_borders(struct))
            clock += length
    clients, at = uint(update, at)
    for _ in range(clients):
        client, at = uint(update, at)
        count, at = uint(update, at)
        for _ in range(count):
            clock, at = uint(update, at)
            length, at = uint(update, at)
            borders.update(((client, clock), (client, clock + length)))


def _second_units(text: str) -> Iterator[int]:
    if text.isascii():
        return
    at = 0
    for character in text:
        at += 1
        if ord(character) > 0xFFFF:
            yield at
            at += 1


def _borders(struct: Struct) -> Iterator[Id]:
    if struct.origin is not None:
        client, clock = struct.origin
        yield client, clock + 1
    if struct.right_origin is not None:
        yield struct.right_origin
