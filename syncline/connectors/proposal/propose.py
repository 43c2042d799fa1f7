"""Proposals: a pipeline file for two systems, made from what is in them."""

from __future__ import annotations

import re
import tomllib
from typing import Literal, NamedTuple, TypeAlias

from syncline.connectors.file.reader import MAX_NAME
from syncline.engine.errors import InvalidName

from .names import safe_name
from .one_way import write_one_way
from .rules import cleaner_of
from .samples import SystemSample, read_system
from .two_way import write_two_way
from .urls import GivenUrl, read_url

__all__ = [
    "GivenUrl",
    "Mode",
    "Proposal",
    "check_name",
    "default_name",
    "propose",
    "read_system",
    "read_url",
]

Mode: TypeAlias = Literal["one-way", "two-way"]
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}", re.ASCII)


class Proposal(NamedTuple):
    """The ``text`` of a pipeline file, and what it proposes, in sentences for people. It is
    ``complete`` unless somebody must write a record by hand before it can be used."""

    text: str
    notes: list[str]
    complete: bool


def propose(
    name: str, purpose: str, mode: Mode, first: SystemSample, second: SystemSample
) -> Proposal:
    """A pipeline file called ``name`` for two systems: ``first`` is the source of a one-way
    pipeline. What it says is a guess from the names, types and sampled values of the columns."""
    write = write_one_way if mode == "one-way" else write_two_way
    text, notes = write(name, purpose, first, second)
    if any(cleaner_of({"type": kind}) is None for kind in ("E164", "Email", "Country")):
        notes.append(
            "No rules were proposed for phone numbers and the like: their libraries come with "
            'pip install "syncline[clean]".'
        )
    complete = mode == "one-way" or "record" in tomllib.loads(text)
    return Proposal(text, notes, complete)


def check_name(name: str) -> str:
    """Return ``name`` if a pipeline may be called so. Raises InvalidName."""
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"A pipeline cannot be called {name!r:.60}.",
            hint=f"Use letters, digits, - and _, {MAX_NAME} at most.",
        )
    return name


def default_name(first: str, second: str) -> str:
    """A name for a pipeline between two systems."""
    half = (MAX_NAME - 1) // 2
    return f"{safe_name(first, 'a')[:half]}-{safe_name(second, 'b')[:half]}"
