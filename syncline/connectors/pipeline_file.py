"""Reading a pipeline file: all that is wrong with it is said at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from syncline.engine.errors import InvalidPipeline as InvalidPipelineBase

from .pipeline import OneWay, TwoWay
from .pipeline_reader import Reader
from .pipeline_tables import read_pipeline
from .pipeline_text import line_of, lines_of, substitute


class FileProblem(NamedTuple):
    """Something in the file that cannot stand: where, what, and what to do."""

    line: int | None
    key: str
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line else ""
        return f"{place}{self.key}: {self.message} {self.hint}"


class InvalidPipeline(InvalidPipelineBase):
    """A pipeline file cannot stand. ``problems`` has everything that is wrong with it."""

    def __init__(self, name: str, problems: list[FileProblem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"{name} has {count}:{lines}", hint="Correct all of them and try again.")


def load_pipeline(path: str | Path, environ: Mapping[str, str] = os.environ) -> OneWay | TwoWay:
    """The pipeline in a file, with ``${NAME}`` taken from ``environ``. Raises InvalidPipeline."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problem = FileProblem(None, str(file), f"It cannot be read: {reason}.", "Check the path.")
        raise InvalidPipeline(file.name, [problem]) from error
    return parse_pipeline(text, file.name, environ)


def parse_pipeline(text: str, name: str, environ: Mapping[str, str]) -> OneWay | TwoWay:
    """The pipeline that ``text`` states; ``name`` is that of its file. Raises InvalidPipeline."""
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its message says where. It quotes single characters only, so no secret.
        problem = FileProblem(None, "TOML", f"{error}.", "Correct the syntax at that place.")
        raise InvalidPipeline(name, [problem]) from None
    missing: list[tuple[str, str]] = []
    spec = cast("dict[str, Any]", substitute(parsed, environ, "", missing))
    lines = lines_of(text)
    unset = {key for key, _ in missing}
    reader = Reader(unset)
    for key, variable in missing:
        reader.problem(
            key, f"The variable {variable} is not set.", f"Set it: export {variable}=…", always=True
        )
    pipeline = read_pipeline(spec, reader)
    if reader.problems or pipeline is None:
        found = [
            FileProblem(line_of(lines, key), key, message, hint)
            for key, message, hint in dict.fromkeys(reader.problems)
        ]
        found.sort(key=lambda problem: problem.line or 0)
        raise InvalidPipeline(name, found)
    return pipeline
