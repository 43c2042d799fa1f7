"""What shared types hold, in a form that compares across histories.

An atom is what an edit can put or take alone: a code point, a value, an embedded object, a mark of
formatting, a type inside the type. Atoms of several histories are equal if they hold the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from syncline.engine.errors import LimitExceeded
from syncline.engine.updates.struct_format import ANY, STRING, TYPE

from .history import Branch, Item
from .history_writer import runs
from .structs import units

_MAX_DEPTH = 100


class Shapes:
    """Numbers for what types hold: two types have the same number if they hold the same."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._known: dict[Branch, int] = {}

    def number(self, branch: Branch | None, depth: int = 0) -> int:
        """0 where there is no type. Raises LimitExceeded if types nest too deep."""
        if branch is None:
            return 0
        known = self._known.get(branch)
        if known is None:
            if depth > _MAX_DEPTH:
                raise LimitExceeded(
                    f"This document nests shared types deeper than {_MAX_DEPTH} levels, so its "
                    "edits cannot be made again on its new history.",
                    hint="Copy the edits by hand; the old history still shows them.",
                )
            atoms = self.atoms(branch, depth)
            entries = tuple(
                (key, item.kind, *self._content(item.kind, item.content, item.branch, depth))
                for key in sorted(branch.entries)
                if (item := branch.entry(key)) is not None
            )
            held = (atoms if isinstance(atoms, str) else tuple(atoms), entries)
            known = self._numbers.setdefault(held, len(self._numbers) + 1)
            self._known[branch] = known
        return known

    def atoms(self, branch: Branch, depth: int = 0) -> Sequence[Any]:
        """The atoms of a sequence: the str itself if it is plain text, else a list."""
        parts = list(runs(branch.items()))
        if all(kind == STRING for kind, _, _ in parts):
            return "".join(content for _, content, _ in parts)
        atoms: list[Any] = []
        for kind, content, inner in parts:
            if kind in (STRING, ANY):
                atoms.extend(content)
            else:
                atoms.append((kind, *self._content(kind, content, inner, depth)))
        return atoms

    def same(self, one: Item, other: Item) -> bool:
        """Whether two items, each one atom, hold the same."""
        return (one.kind, *self._content(one.kind, one.content, one.branch, 0)) == (
            other.kind,
            *self._content(other.kind, other.content, other.branch, 0),
        )

    def _content(
        self, kind: int, content: Any, branch: Branch | None, depth: int
    ) -> tuple[Any, int]:
        comparable = tuple(content) if kind == ANY else content
        return comparable, self.number(branch, depth + 1)


class Places:
    """Where the atoms of one sequence lie in its history, as it is now."""

    def __init__(self, branch: Branch) -> None:
        self._items: list[tuple[Item, str]] = []
        self._starts: list[int] = []
        at = 0
        for item in branch.items():
            if not item.deleted:
                # The text as it is now: splitting the item later would cut it.
                self._items.append((item, item.content if item.kind == STRING else ""))
                self._starts.append(at)
                at += item.atoms()
        self._length = at

    def spans(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The operations of the atoms from ``start`` to ``end``: (client, clock, length)."""
        number = bisect_right(self._starts, start) - 1
        while start < end:
            item, text = self._items[number]
            first = self._starts[number]
            number += 1
            stop = min(end, self._starts[number] if number < len(self._starts) else self._length)
            clocks = [_clocks(item, text, atoms) for atoms in (start - first, stop - first)]
            yield item.client, item.clock + clocks[0], clocks[1] - clocks[0]
            start = stop

    def types(self) -> dict[int, Item]:
        """The types in the sequence, by their place."""
        return {
            start: item
            for start, (item, _) in zip(self._starts, self._items, strict=True)
            if item.kind == TYPE
        }


def _clocks(item: Item, text: str, atoms: int) -> int:
    """How many clocks the first ``atoms`` atoms of ``item`` take."""
    return units(text[:atoms]) if item.kind == STRING else atoms
