"""Reading a pipeline file: all that is wrong with it is said at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from syncline.engine.errors import InvalidPipeline as InvalidPipelineBase
from syncline.engine.problems import Problem, Problems, TomlMistake, count_of

from .parse import read_pipeline
from .reader import Reader
from .spec import OneWay, TwoWay
from .text import MAX_DEPTH, Lines, plain, substitute

MAX_FILE_BYTES = 1 << 20
"""Largest pipeline file."""


class FileProblem(NamedTuple):
    """Something in the file that cannot stand: where, what, and what to do."""

    line: int | None
    key: str
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line else ""
        text = f"{place}{self.key}: {self.message} {self.hint}"
        # Keys and names may have any characters, and terminals obey some.
        if text.isprintable():
            return text
        return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class InvalidPipeline(InvalidPipelineBase):
    """A pipeline file cannot stand. ``problems`` has everything that is wrong with it."""

    def __init__(self, name: str, problems: list[FileProblem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(
            f"{name} has {count_of(len(problems))}:{lines}",
            hint="Correct all of them and try again.",
        )


def load_pipeline(path: str | Path, environ: Mapping[str, str] = os.environ) -> OneWay | TwoWay:
    """The pipeline in a file, with ``${NAME}`` taken from ``environ``. Raises InvalidPipeline."""
    file = Path(path)

    def refused(line: int | None, message: str, hint: str) -> InvalidPipeline:
        return InvalidPipeline(file.name, [FileProblem(line, str(file), message, hint)])

    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: the path has a null character
        reason = getattr(error, "strerror", None) or "it is no path"
        raise refused(None, f"It cannot be read: {reason}.", "Check the path.") from error
    if len(data) > MAX_FILE_BYTES:
        message = f"It has more than {MAX_FILE_BYTES:,} bytes."
        raise refused(None, message, "Check the path, or make several pipelines.")
    try:
        text = data.decode("utf-8-sig")  # some editors of Windows begin files with a mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refused(line, "It is not UTF-8.", "Save it as UTF-8.") from None
    return parse_pipeline(text, file.name, environ)


def parse_pipeline(text: str, name: str, environ: Mapping[str, str]) -> OneWay | TwoWay:
    """The pipeline that ``text`` states; ``name`` is that of its file. Raises InvalidPipeline."""
    text = text.replace("\r\n", "\n")
    lines = Lines(text)
    if lines.too_deep:
        message = f"More than {MAX_DEPTH} tables or lists are inside each other."
        problem = FileProblem(lines.too_deep, "TOML", message, "Nothing in the file needs that.")
        raise InvalidPipeline(name, [problem])
    try:
        parsed = tomllib.loads(text)
    except ValueError as error:  # of int() too, for a number of thousands of digits
        raise InvalidPipeline(name, [_syntax(error, text)]) from None
    unfilled = Problems()
    spec = substitute(parsed, environ, "", unfilled)
    reader = Reader({problem.key for problem in unfilled.found})
    pipeline = read_pipeline(plain(spec), reader)
    if pipeline is not None and not unfilled and not reader.problems:
        return pipeline
    found = [
        FileProblem(lines.of(problem.key), *problem)
        for problem in dict.fromkeys([*unfilled.found, *_without_values(spec, reader)])
    ]
    found.sort(key=lambda problem: problem.line or 0)
    raise InvalidPipeline(name, found)


def _syntax(error: ValueError, text: str) -> FileProblem:
    """What tomllib says. It quotes keys and single characters only, so no secret."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        return FileProblem(None, "TOML", "A number is too long.", "Whole numbers have 64 bits.")
    at = TomlMistake.of(error)
    line = at.line or text.count("\n") + 1
    place = f"column {at.column}" if at.line else "end of the file"
    hint = "Correct the syntax at that place."
    return FileProblem(line, "TOML", f"{at.reason} ({place}).", hint)


def _without_values(spec: dict[str, Any], reader: Reader) -> list[Problem]:
    """The problems that ``reader`` found, in words that show no value of a variable.

    The values are judged as they are; for the words the file is read a second time, with texts
    that show themselves as they are stated.
    """
    blind = Reader(reader.unset)
    read_pipeline(spec, blind)
    keys = {problem.key for problem in reader.problems.found}
    found = [problem for problem in blind.problems.found if problem.key in keys]
    for key in sorted(keys - {problem.key for problem in found}):
        message = "What its variables hold does not fit here."
        hint = "Correct the variables, or write the value in the file."
        found.append(Problem(key, message, hint))
    return found
