"""Entries of a record's layout among the items of a history: when one counts more than another.

docs/record-layout.md is normative; what is not of it is a plain Yjs value.
"""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

from syncline.engine.clock import MAX_STAMP
from syncline.engine.fields.counter import MAX_DIGITS, Counter
from syncline.engine.records.schema import LIVE, REGISTERS
from syncline.engine.updates.struct_format import ANY

from .history import Item
from .structs import read_text_value

_CELL_KEY = re.compile(r".*/(0|[1-9][0-9]{0,15})", re.ASCII | re.DOTALL)
_SUM = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}", re.ASCII)


def cell_stamp(key: str, item: Item | None) -> int | None:
    """The stamp of the cell under ``key``, None if there is none."""
    cell = _cell(key, item)
    return None if cell is None else cell[0]


def is_deletion(root: str, key: str) -> bool:
    """Whether ``key`` says that a record exists, or since when not."""
    return root == REGISTERS and key.startswith(f"{LIVE}/")


def has_seen(key: str, item: Item) -> bool:
    """Whether the cell holds a state vector, which means nothing in another history."""
    cell = _cell(key, item)
    return cell is not None and isinstance(cell[1], list)


def next_sum(root: str, old: Item | None, new: Item, there: Item | None) -> str | None:
    """What a writer's sum becomes whose steps made ``old`` into ``new`` elsewhere.

    None if this is not about a counter. A sum that is not what it was has grown by other steps of
    that writer, unless it is ``new``: then they are in it.
    """
    if not root.startswith(f"{Counter.kind}:"):
        return None
    before, after, now = _sum(old), _sum(new), _sum(there)
    if before is None or after is None or now is None:
        return None
    return str(now if now == after else now + after - before)


def _sum(item: Item | None) -> int | None:
    if item is None:
        return 0
    text = _text(item)
    return int(text) if text is not None and _SUM.fullmatch(text) else None


def _cell(key: str, item: Item | None) -> tuple[int, Any] | None:
    text = None if item is None or not _CELL_KEY.fullmatch(key) else _text(item)
    if text is None:
        return None
    try:
        cell: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(cell, list) or len(pair := cast("list[Any]", cell)) != 2:
        return None
    stamp, value = pair
    return (stamp, value) if type(stamp) is int and 0 <= stamp <= MAX_STAMP else None


def _text(item: Item) -> str | None:
    """The text that is the one value of an item."""
    if item.kind != ANY or len(item.content) != 1:
        return None
    return read_text_value(item.content[0])
