"""Recorded editing sessions, and what their authors had seen before they typed."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"

Patch: TypeAlias = tuple[int, int, str]
"""(position, deleted, inserted), in code points."""


def load(name: str) -> dict[str, Any]:
    """The recording of that name. Skips the test where it was not delivered."""
    path = DATA / f"{name}.json.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in ../shared/data")
    recording: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return recording


@dataclass(slots=True)
class Turn:
    """Transactions that one author made in a row, and of which nobody saw but the last.

    ``seen`` counts, by author, the turns in its causal past: each author's first ones, because
    everyone knows what they have typed themselves, and nobody sees a turn before the one before it.
    """

    author: int
    seen: list[int]
    patches: list[Patch] = field(default_factory=list[Patch])


def turns_of(recording: dict[str, Any]) -> list[Turn]:
    """The turns of a concurrent recording, each after its causal past."""
    txns: list[dict[str, Any]] = recording["txns"]
    followers = Counter[int](parent for txn in txns for parent in txn["parents"])
    turns: list[Turn] = []
    turn_of: list[Turn] = []  # by transaction
    made = [0] * recording["numAgents"]  # turns so far, by author
    for txn in txns:
        author: int = txn["agent"]
        parents: list[int] = txn["parents"]
        if (
            len(parents) == 1
            and turn_of[parents[0]].author == author
            and followers[parents[0]] == 1
        ):
            turn_of.append(turn_of[parents[0]])
        else:
            known = [_known_after(turn_of[parent]) for parent in parents]
            seen = [max(counts) for counts in zip(*known, strict=True)] or [0] * len(made)
            assert seen[author] == made[author], "an author has not seen what they typed"
            made[author] += 1
            turns.append(Turn(author, seen))
            turn_of.append(turns[-1])
        turn_of[-1].patches.extend((at, deleted, text) for at, deleted, text in txn["patches"])
    return turns


def _known_after(turn: Turn) -> list[int]:
    return [count + (author == turn.author) for author, count in enumerate(turn.seen)]
