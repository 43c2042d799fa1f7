"""All rows of a table, page by page, and which of them can be told apart by their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from .rows import MAX_KEY_LENGTH, UNUSABLE, Key, Row, Rows, encode_key
from .values import Unreadable

_SHOWN = 60


def pages(rows: Rows, connection: sa.Connection, size: int) -> Iterator[list[Row]]:
    """All rows of a table, ``size`` at a time. A page goes on after the last row that has a
    readable key."""
    after: Key | None = None
    while page := rows.page(connection, after, size):
        yield page
        if (last := last_key(rows, page)) is None or len(page) < size:
            return
        after = last


def last_key(rows: Rows, page: Sequence[Row]) -> Key | None:
    """The key of the last of these rows that has a readable one."""
    return next((key for key in map(rows.key_of, reversed(page)) if is_key(key)), None)


def is_key(key: Key) -> bool:
    """Whether a row with this key can be told from others, and remembered by it."""
    if all(type(part) is int for part in key):
        return True
    if any(part is None or type(part) is Unreadable for part in key):
        return False
    short = all(len(part) <= MAX_KEY_LENGTH for part in key if isinstance(part, str | bytes))
    return short and len(encode_key(key)) <= MAX_KEY_LENGTH


def is_stand_in(key: Key) -> bool:
    """Whether this is what stands for an unusable key."""
    return bool(key[0] == UNUSABLE)


def stand_in(key: Key) -> Key:
    """What an unusable key is remembered by: its beginning, for people, and a digest."""
    parts = [part.original if isinstance(part, Unreadable) else part for part in key]
    text = "/".join("NULL" if part is None else str(part)[: _SHOWN + 1] for part in parts)
    text = "".join(each if each.isprintable() else "?" for each in text)
    digest = hashlib.sha256(repr(parts).encode(errors="replace")).hexdigest()[:16]
    return (UNUSABLE, digest, text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
