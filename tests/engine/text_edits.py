"""Random edits of formatted texts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

FORMATS: list[dict[str, Any]] = [
    {}, {"b": True}, {"b": None}, {"i": 1, "b": True}, {"c": {"x": "r"}}, {"c": None},
]  # fmt: skip
WORDS = ["a", "xyz", "😀", "é", "a😀b"]


def edit_text(text: Any, chance: random.Random) -> None:
    """One edit of a SharedText."""
    size = len(text)
    start = chance.randint(0, size)
    stop = chance.randint(start, size)
    word, formats = chance.choice(WORDS), chance.choice(FORMATS)
    edits: list[Callable[[], object]] = [
        lambda: text.insert(start, word),
        lambda: text.insert(start, word, formats),
        lambda: text.format(start, stop, formats),
        lambda: text.delete(start, min(stop - start, 4)),
        lambda: text.insert_embed(start, {"image": 2}, formats),
        lambda: text.apply_delta(
            [
                {"retain": start, "attributes": formats},
                {"insert": word, "attributes": chance.choice(FORMATS)},
                {"delete": min(stop - start, 2)},
            ]
        ),
    ]
    chance.choice(edits)()
