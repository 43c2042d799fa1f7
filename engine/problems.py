"""Problems: everything that is wrong with a file, said at once instead of one after the other."""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Problem(NamedTuple):
    """Something in a file that cannot stand: where, what, and what to do (may be empty)."""

    key: str
    message: str
    hint: str


class Problems:
    """What was found so far, by a reader that goes on after a mistake."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, key: str, message: str, hint: str = "") -> None:
        self.found.append(Problem(key, message, hint))

    def __len__(self) -> int:
        return len(self.found)


def count_of(problems: int) -> str:
    """``1 problem``, ``3 problems``."""
    return "1 problem" if problems == 1 else f"{problems} problems"


class TomlMistake(NamedTuple):
    """Where a text stops being TOML, and why. ``line`` and ``column`` begin at 1; None at the end
    of the text."""

    reason: str
    line: int | None
    column: int | None

    @classmethod
    def of(cls, error: tomllib.TOMLDecodeError) -> TomlMistake:
        """What ``error`` says. Its reason quotes keys and single characters of the text."""
        message = str(error)
        match = _PLACE.search(message)
        if match is None or match[1] is None:
            return cls(message[: match.start()] if match else message, None, None)
        return cls(message[: match.start()], int(match[1]), int(match[2]))
