"""Operations that come again: whether they are those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from syncline.engine.updates.struct_format import ANY, STRING

from .structs import Struct, StructReader

_TEXT = 119  # the tag of a text in lib0's Any encoding
_REPLACED = "\ufffd".encode("utf-16-le")  # stands for half a character, once that was cut in two
_Operation: TypeAlias = tuple[int, object]
"""Kind and content, None where that cannot be compared."""


def contradicts(log: Iterable[bytes], update: bytes, known: Mapping[int, int]) -> bool:
    """Whether an operation of ``update`` below the clocks in ``known`` is another one in ``log``.

    All have been parsed. What was deleted since, or collected, says nothing; of values other than
    texts the kind alone is compared, because libraries write one value in several ways.
    """
    claimed: dict[tuple[int, int], _Operation] = {}
    for client, clock, struct in StructReader(update):
        if clock < known.get(client, 0):
            for offset, operation in enumerate(_operations(struct)):
                claimed[client, clock + offset] = operation
    for each in log:
        for client, clock, struct in StructReader(each):
            for offset, operation in enumerate(_operations(struct)):
                other = claimed.get((client, clock + offset))
                if other is not None and _differ(operation, other):
                    return True
    return False


def _differ(one: _Operation, other: _Operation) -> bool:
    if one[0] != other[0]:
        return True
    return None not in (one[1], other[1]) and one[1] != other[1]


def _operations(struct: Struct) -> Iterator[_Operation]:
    """One for each clock; none of what has no content."""
    if struct.content is None:
        return
    if struct.kind == STRING:
        data = struct.content.encode("utf-16-le")
        for at in range(0, len(data), 2):
            unit = data[at : at + 2]
            yield STRING, unit if unit != _REPLACED else None
    elif struct.kind == ANY:
        for value in struct.content:
            yield ANY, value if value[0] == _TEXT else None
    else:
        yield struct.kind, None
