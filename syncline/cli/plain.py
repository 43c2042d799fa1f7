"""Values of databases as plain text: nothing in them reaches the terminal as a command to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from syncline.engine.clock import Milliseconds
from syncline.environment import wall_clock

MAX_SHOWN = 60
"""Characters of a value that are shown."""


def plain(text: str) -> str:
    """``text`` on one line, with escapes for characters that are not printed."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def plain_lines(text: str) -> str:
    """The same for several lines, which stay several."""
    return "\n".join(map(plain, text.split("\n")))


def shown(value: Any) -> str:
    """A value for people: its beginning, if it is long."""
    if value is None:
        return "(nothing)"
    if isinstance(value, bytes):
        return f"({counted(len(value), 'byte')})"
    text = plain(str(value))
    if not text.strip():
        return f'"{text}"'
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def counted(number: int, noun: str) -> str:
    """``1 row``, ``1,200 rows``, ``3 companies``."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The regular plural of an English noun; of anything else something near it."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    if noun.endswith(("x", "ch", "sh", "ss", "us")):
        return f"{noun}es"
    return noun if noun.endswith("s") else f"{noun}s"


def clock(at: datetime, now: Milliseconds = wall_clock) -> str:
    """A moment as a clock on the wall shows it here: ``14:01:30`` today, ``2026-03-01 14:01`` on
    another day."""
    local = at.astimezone()
    today = instant(now()).astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


def written(milliseconds: int) -> str:
    """When a value was written; 0 is for those that were there when the pipeline began."""
    return clock(instant(milliseconds)) if milliseconds else "at the beginning"


def instant(milliseconds: int) -> datetime:
    """The moment this long after 1970 began."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
