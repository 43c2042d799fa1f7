"""The text of a proposed pipeline file: TOML and comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from .rules import SuggestedRule
from .samples import SystemSample, TableSample

WIDTH = 100
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_RELATIVE_FILE = re.compile(r"sqlite(\+\w+)?:///(?!/|file:|[A-Za-z]:[/\\])")
# What may stand in no comment: control characters, and what ends a line for other readers.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def toml_string(text: str, *, variables: bool = False) -> str:
    """``text`` as a TOML string. ``${`` is kept from being taken for a variable, unless there are
    ``variables`` in it."""
    if not variables:
        text = text.replace("${", "$${")
    # The escapes of JSON are TOML's, which knows none of DEL, and wants it escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def toml_key(name: str) -> str:
    """``name`` as a key, in quotes where it needs them."""
    if _BARE_KEY.fullmatch(name):
        return name
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007F")


def toml_value(value: Any) -> str:
    """Text, a number, true or false, or a list or table of them, on one line."""
    match value:
        case str():
            return toml_string(value)
        case bool():
            return "true" if value else "false"
        case Mapping():
            table = cast("Mapping[str, Any]", value)
            return (
                f"{{ {', '.join(f'{toml_key(k)} = {toml_value(v)}' for k, v in table.items())} }}"
            )
        case Sequence():
            return f"[{', '.join(map(toml_value, cast('Sequence[Any]', value)))}]"
        case _:
            return str(value)


class Document:
    """The lines of a file, as they are added."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self._lines).strip("\n") + "\n"

    def blank(self) -> None:
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def header(self, *keys: str, array: bool = False, active: bool = True) -> None:
        """The line that begins a table."""
        path = ".".join(map(toml_key, keys))
        self._add(f"[[{path}]]" if array else f"[{path}]", "", active)

    def put(self, key: str, value: Any, why: str = "", *, active: bool = True) -> None:
        """A key and its value, and a comment; all of it a comment if it is not ``active``."""
        self._add(f"{toml_key(key)} = {toml_value(value)}", why, active)

    def url(self, sample: SystemSample) -> None:
        """Where a system is, and that it may be left to the environment."""
        if "${" in sample.url.replace("$${", ""):
            self.comment("From the environment, so that no password is in this file:")
        elif _RELATIVE_FILE.match(sample.url):
            self.comment("The path starts from the folder in which syncline runs:")
        self._add(f"url = {toml_string(sample.url, variables=True)}", "", True)

    def _add(self, code: str, why: str, active: bool) -> None:
        line = code if active else f"# {code}"
        why = _CONTROL.sub(" ", why)
        if why and len(line) + len(why) + 4 > WIDTH:
            self.comment(f"{why}:")
            why = ""
        self._lines.append(f"{line}  # {why}" if why else line)

    def comment(self, text: str, indent: str = "") -> None:
        """A sentence or more, in lines of their own."""
        begin = f"# {indent}"
        text = text if indent else text[:1].upper() + text[1:]
        self._lines += textwrap.wrap(
            _CONTROL.sub(" ", text),
            WIDTH,
            initial_indent=begin,
            subsequent_indent=begin,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def items(self, texts: Iterable[str]) -> None:
        """A list, in comments."""
        for text in texts:
            self.comment(text, "  ")

    def rule(self, rule: SuggestedRule, on_invalid: str | None, *, active: bool) -> None:
        """A cleaning rule with what it does to the sample, and what becomes of refused values."""
        why = f"{rule.passed} of {rule.tried} sampled values pass"
        if rule.changed:
            why += f", {rule.changed} of them rewritten"
        if rule.doubt:
            why += f"; {rule.doubt}"
        self.put(rule.key, rule.value, why, active=active)
        if on_invalid is not None and rule.key == "type":
            meaning = _ON_INVALID[on_invalid]
            self.put("on_invalid", on_invalid, meaning, active=active)


_ON_INVALID = {
    "keep-old": "a refused value does not go on, the rest of its row does",
    "quarantine": "a row whose value is refused waits until it is corrected",
}


def begin(name: str, purpose: str, mode: str) -> Document:
    """A document with what all pipelines have."""
    document = Document()
    document.comment(
        "Written by syncline init from the names, columns and first rows of the tables. Read it "
        "through, correct it, and see what it would do: syncline check FILE, then syncline sync "
        "FILE --dry-run, which write nothing."
    )
    document.blank()
    document.header("pipeline")
    document.put("name", name)
    document.put("purpose", purpose)
    document.put("mode", mode)
    document.put("every", "30s", "the time between two passes of syncline run")
    document.put(
        "stop_if_over", "5%", "write nothing if rules refuse more rows than this", active=False
    )
    return document


def count_of(sample: TableSample) -> str:
    """How many rows a table has, as far as they were read."""
    if not sample.complete:
        return f"more than {len(sample.rows)} rows"
    return "1 row" if len(sample.rows) == 1 else f"{len(sample.rows)} rows"
