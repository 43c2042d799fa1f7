"""Whether anything lies inside a character, between the two UTF-16 units of an emoji.

Yjs counts in these units, and editors that compute with them do insert and delete inside a pair.
Every Yjs client then shows a replacement character for each half. The CRDT library does not: it
loses a unit, and what a document writes is another text than the updates that made it. So such
documents are dealt with as bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from syncline.engine.updates.delete_set import read_deletes
from syncline.engine.updates.struct_format import STRING

from .structs import Id, Struct, StructReader

_PAIR = re.compile(rb"[\xf0-\xf4]")
"""What a character of two units begins with, in UTF-8."""


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
    structs = StructReader(update)
    for client, clock, struct in structs:
        if struct.kind == STRING:
            halves.update((client, clock + each) for each in _second_units(struct.content))
        borders.update(_borders(struct))
    for client, clock, length in read_deletes(update, structs.at):
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
