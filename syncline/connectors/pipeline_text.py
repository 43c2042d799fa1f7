"""The text of a pipeline file: where each key stands, variables, durations and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from .pipeline import Limit

_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([\w-]+)""")
_VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def lines_of(text: str) -> dict[str, int]:
    """The line of each table and key, by its dotted name; tables of an array have ``[number]``."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            parts = _parts(header[2])
            table = _placed(parts, counts)
            if header[1] == "[[":
                counts[".".join(parts)] = counts.get(".".join(parts), -1) + 1
                table = _placed(parts, counts)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            name = ".".join(_parts(key[1]))
            found.setdefault(f"{table}.{name}" if table else name, number)
    return found


def _parts(dotted: str) -> list[str]:
    return ["".join(match) for match in _PART.findall(dotted)]


def _placed(parts: list[str], counts: Mapping[str, int]) -> str:
    """The dotted name with the numbers of the arrays' tables that are open."""
    placed, plain = "", ""
    for part in parts:
        plain = f"{plain}.{part}" if plain else part
        placed = f"{placed}.{part}" if placed else part
        if plain in counts:
            placed += f"[{counts[plain]}]"
    return placed


def line_of(lines: Mapping[str, int], key: str) -> int | None:
    """The line of ``key``, or of what it stands in."""
    while key:
        if key in lines:
            return lines[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return None


def substitute(
    value: Any, environ: Mapping[str, str], where: str, missing: list[tuple[str, str]]
) -> Any:
    """``value`` with ``${NAME}`` replaced in every text; ``$${`` stays as ``${``. Names that are
    not set are added to ``missing``, each with its key."""
    if isinstance(value, str):

        def replace(match: re.Match[str]) -> str:
            if match[1]:
                return match[0][1:]
            if match[2] not in environ:
                missing.append((where, match[2]))
                return ""
            return environ[match[2]]

        return _VARIABLE.sub(replace, value)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [
            substitute(item, environ, f"{where}[{place}]", missing)
            for place, item in enumerate(items)
        ]
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {
            key: substitute(item, environ, f"{where}.{key}" if where else key, missing)
            for key, item in entries.items()
        }
    return value


def duration(text: str) -> float | None:
    """The seconds in ``30s``, ``5m``, ``1.5h``; None if it is not one."""
    match = _DURATION.fullmatch(text.strip())
    return float(match[1]) * _SECONDS[match[2]] if match else None


def limit(value: Any) -> Limit | None:
    """The limit in ``100`` or ``"5%"``; None if it is not one."""
    if type(value) is int and value >= 0:
        return Limit(count=value)
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip())):
        return Limit(percent=float(match[1]))
    return None
