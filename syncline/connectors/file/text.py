"""The text of a pipeline file: where each key stands, variables, durations and limits."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from syncline.engine.problems import Problems

from .spec import Limit

MAX_DEPTH = 32
"""How many brackets, or parts of a key, are inside each other: what reads TOML is recursive."""
MAX_SECONDS = 366 * 86_400
"""Longest duration: timers take no such number as 1e300."""

# Strings first, so that nothing in them counts. Nothing is given back once it matched, so that a
# long line takes no longer than its length. https://toml.io/en/v1.0.0#string
_TOKEN = re.compile(
    r'''"""(?:[^"\\]++|\\.|"(?!""))*+"{3,5}'''
    r"""|'''(?:[^']++|'(?!''))*+'{3,5}"""
    r"""|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*'|\#[^\n]*|[\w-]++|[][{}=.,\n]""",
    re.DOTALL,
)
_VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Lines:
    """Where the tables and keys of a file stand, by their dotted names; tables of an array have
    ``[number]``. ``too_deep`` is the first line on which more than MAX_DEPTH are in each other.

    The text need not be valid: then the lines are those of what looks like keys.
    """

    def __init__(self, text: str) -> None:
        self.too_deep: int | None = None
        self._found: dict[str, int] = {}
        self._implied: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._table: list[str] = []
        self._read(text)

    def _read(self, text: str) -> None:
        line, counted = 1, 0
        brackets, dots = 0, 0
        parts: list[str] = []
        in_value = False
        for match in _TOKEN.finditer(text):
            found = match[0]
            line += text.count("\n", counted, match.start())
            counted = match.start()
            if found == ".":
                dots += 1
            elif found in ("=", "\n", ",", "[", "{", "]", "}"):
                dots = 0
            if dots >= MAX_DEPTH or brackets > MAX_DEPTH:
                self.too_deep = line
                return
            if found == "\n":
                if in_value and brackets:
                    continue
                self._header(parts, line, brackets)
                parts, brackets, in_value = [], 0, False
            elif found in ("[", "{"):
                brackets += 1
            elif in_value:
                brackets -= found in ("]", "}")
            elif found == "=":
                self._note(self._table, parts, line)
                in_value = True
            elif found not in ("]", "}", ".", ",") and found[0] != "#":
                parts.append(_unquoted(found))
        if not in_value:
            self._header(parts, line, brackets)

    def _header(self, parts: list[str], line: int, brackets: int) -> None:
        if not (parts and brackets):
            return
        if brackets > 1:
            name = ".".join(parts)
            self._counts[name] = self._counts.get(name, -1) + 1
        self._table = []
        plain = ""
        for part in parts:
            plain = f"{plain}.{part}" if plain else part
            number = f"[{self._counts[plain]}]" if plain in self._counts else ""
            self._table.append(part + number)
        self._note([], self._table, line)

    def _note(self, table: list[str], parts: list[str], line: int) -> None:
        whole = [*table, *parts]
        self._found.setdefault(".".join(whole), line)
        for length in range(len(table) + 1, len(whole)):
            self._implied.setdefault(".".join(whole[:length]), line)

    def of(self, key: str) -> int | None:
        """The line of ``key``, or of what it stands in."""
        while key:
            if line := self._found.get(key) or self._implied.get(key):
                return line
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return None


def _unquoted(token: str) -> str:
    if token[0] not in "\"'":
        return token
    try:
        return str(tomllib.loads(f"key = {token}")["key"])
    except tomllib.TOMLDecodeError:
        return token


class Filled(str):
    """A text with its variables filled in, which messages show as it is ``stated`` in the file:
    what a variable holds may be a password."""

    __slots__ = ("stated",)
    stated: str

    def __new__(cls, text: str, stated: str) -> Filled:
        made = super().__new__(cls, text)
        made.stated = stated
        return made

    def __repr__(self) -> str:
        return repr(self.stated)

    def __str__(self) -> str:
        return self.stated

    def __format__(self, spec: str) -> str:
        return format(self.stated, spec)


def substitute(value: Any, environ: Mapping[str, str], where: str, problems: Problems) -> Any:
    """``value`` with ``${NAME}`` replaced in every text, which is then Filled; ``$${`` stays as
    ``${``. What cannot be used is added to ``problems``, with its key."""
    if isinstance(value, str):
        return _filled(value, environ, where, problems)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [
            substitute(item, environ, f"{where}[{place}]", problems)
            for place, item in enumerate(items)
        ]
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {
            key: substitute(item, environ, f"{where}.{key}" if where else key, problems)
            for key, item in entries.items()
        }
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        problems.add(where, "The number is too large.", "Whole numbers have 64 bits.")
        return 0
    return value


def _filled(text: str, environ: Mapping[str, str], where: str, problems: Problems) -> str:
    from_outside = False

    def replace(match: re.Match[str]) -> str:
        nonlocal from_outside
        escaped, name = match[1], match[2]
        if escaped:
            return match[0][1:]
        from_outside = True
        if name in environ:
            return environ[name]
        if _VARIABLE_NAME.fullmatch(name):
            hint = f"Set it: export {name}=…"
            problems.add(where, f"The variable {name} is not set.", hint)
        else:
            message = f"{match[0]!r:.60} names no variable."
            problems.add(where, message, "Write ${NAME}, or $${ for ${ itself.")
        return ""

    filled = _VARIABLE.sub(replace, text)
    return Filled(filled, text) if from_outside else filled


def plain(value: Any) -> Any:
    """``value`` with ordinary texts for those that are Filled."""
    if isinstance(value, Filled):
        return str.__str__(value)
    if isinstance(value, list):
        return [plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


def duration(text: str) -> float | None:
    """The seconds in ``30s``, ``5m``, ``1.5h``, not 0 and not more than MAX_SECONDS; None if it is
    not one."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else math.nan
    return seconds if 0 < seconds <= MAX_SECONDS else None


def is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether it is a URL with a host, of one of ``schemes``."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def limit(value: Any) -> Limit | None:
    """The limit in ``100`` or ``"5%"``; None if it is not one."""
    if type(value) is int and value >= 0:
        return Limit(count=value)
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())):
        percent = float(match[1])
        return Limit(percent=percent) if percent <= 100 else None
    return None
