"""What two sequences have in common, so that a place in one can be found in the other.

Myers' greedy algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986) costs the length
of the sequences plus the square of their differences. So it gets a budget: where that does not do,
the sequences are first cut at lines that stand once in each, or at words (Cohen's "patience" diff),
and what still stays unclear counts as replaced. A text of a megabyte with a few edits takes
milliseconds, one that was rewritten at most about a second.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_LIMIT = 300
"""Most differences looked for at once."""
_STEPS = 400_000
"""What one alignment may cost, in steps of about a microsecond."""


class Block(NamedTuple):
    """``size`` elements that are equal in both sequences."""

    old: int
    new: int
    size: int


class Alignment:
    """The common elements of two sequences, as rising blocks."""

    def __init__(self, old: int, new: int, blocks: list[Block]) -> None:
        self.old = old
        self.new = new
        self.blocks = blocks
        self._starts = [block.old for block in blocks]

    def image(self, index: int) -> int | None:
        """Where the old element ``index`` is now, None if it is gone."""
        number = bisect_right(self._starts, index) - 1
        if number < 0:
            return None
        block = self.blocks[number]
        return block.new + index - block.old if index < block.old + block.size else None

    def place(self, index: int) -> int:
        """Before which new element stands what stood before the old element ``index``.

        After the one that it stood behind; where that is gone, after all that replaced it.
        """
        behind = self.image(index - 1) if index else None
        if behind is not None:
            return behind + 1
        number = bisect_right(self._starts, index) - 1
        if number >= 0 and index < self.blocks[number].old + self.blocks[number].size:
            return self.blocks[number].new + index - self.blocks[number].old
        number += 1
        return self.blocks[number].new if number < len(self.blocks) else self.new

    def overlapping(self, start: int, end: int) -> Iterator[Block]:
        """The blocks that hold old elements from ``start`` to ``end``."""
        number = max(0, bisect_right(self._starts, start) - 1)
        for block in self.blocks[number:]:
            if block.old >= end:
                break
            if block.old + block.size > start:
                yield block

    def gaps(self) -> list[tuple[int, int, int, int]]:
        """What is not common: (old start, old end, new start, new end)."""
        found: list[tuple[int, int, int, int]] = []
        old = new = 0
        for block in [*self.blocks, Block(self.old, self.new, 0)]:
            if block.old > old or block.new > new:
                found.append((old, block.old, new, block.new))
            old, new = block.old + block.size, block.new + block.size
        return found


def align(old: Sequence[Any], new: Sequence[Any]) -> Alignment:
    """Align two texts, or two lists of hashable elements, in which characters are lines' parts."""
    return Alignment(len(old), len(new), _Aligner().align(old, new))


class _Aligner:
    """One alignment, with what is left of its budget."""

    def __init__(self) -> None:
        self._steps = _STEPS

    def align(self, old: Sequence[Any], new: Sequence[Any]) -> list[Block]:
        head = _common(old, 0, new, 0)
        tail = _common_tail(old, new, head)
        blocks = [Block(0, 0, head)]
        middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
        if middle_old and middle_new:
            blocks += _shifted(self._middle(middle_old, middle_new), head, head)
        blocks.append(Block(len(old) - tail, len(new) - tail, tail))
        return _joined(blocks)

    def _middle(self, old: Sequence[Any], new: Sequence[Any]) -> list[Block]:
        blocks = self._myers(old, new)
        if blocks is None:
            blocks = self._by_anchors(old, new, "\n", 1) or self._by_anchors(old, new, " ", 3)
            if not blocks and not isinstance(old, str):
                blocks = self._by_elements(old, new)
        return blocks

    def _by_elements(self, old: Sequence[Any], new: Sequence[Any]) -> list[Block]:
        """Align at the elements that stand once in each of the two."""
        pairs = _rising(_unique_pairs(list(old), list(new), 1))
        return [Block(one, other, 1) for one, other in pairs]

    def _by_anchors(
        self, old: Sequence[Any], new: Sequence[Any], ends: str, width: int
    ) -> list[Block]:
        """Align at the parts that, with those that follow, stand once in each of the two."""
        old_parts, new_parts = _parts(old, ends), _parts(new, ends)
        anchors = _rising(_unique_pairs(old_parts, new_parts, width))
        if not anchors:
            return []
        old_starts, new_starts = _starts(old_parts), _starts(new_parts)
        blocks = _joined(
            [
                Block(old_starts[one], new_starts[other], len(old_parts[one]))
                for one, other in anchors
            ]
        )
        found = list(blocks)
        for start, end, other, other_end in Alignment(len(old), len(new), blocks).gaps():
            if end > start and other_end > other:
                found += _shifted(self.align(old[start:end], new[other:other_end]), start, other)
        return sorted(found)

    def _myers(self, old: Sequence[Any], new: Sequence[Any]) -> list[Block] | None:
        """The longest common subsequence, None if the budget ends first."""
        old_length, new_length = len(old), len(new)
        furthest = {1: 0}
        trace: list[dict[int, int]] = []
        for distance in range(min(_LIMIT, old_length + new_length) + 1):
            self._steps -= distance + 1
            if self._steps < 0:
                return None
            reached: dict[int, int] = {}
            for diagonal in range(-distance, distance + 1, 2):
                down = furthest.get(diagonal + 1, -1)
                across = furthest.get(diagonal - 1, -2) + 1
                at = max(down, across)
                other = at - diagonal
                if not (0 <= at <= old_length and 0 <= other <= new_length):
                    continue
                at += _common(old, at, new, other)
                reached[diagonal] = at
                if at == old_length and at - diagonal == new_length:
                    return _backtrack([*trace, furthest], at, diagonal)
            trace.append(furthest)
            furthest = reached
        return None


def _backtrack(trace: list[dict[int, int]], at: int, diagonal: int) -> list[Block]:
    blocks: list[Block] = []
    for furthest in reversed(trace):
        down = furthest.get(diagonal + 1, -1)
        across = furthest.get(diagonal - 1, -2) + 1
        start = max(down, across)
        if at > start:
            blocks.append(Block(start, start - diagonal, at - start))
        if down >= across:
            at, diagonal = down, diagonal + 1
        else:
            at, diagonal = across - 1, diagonal - 1
    return blocks[::-1]


def _common(old: Sequence[Any], at: int, new: Sequence[Any], other: int) -> int:
    """How many elements are equal from here on."""
    most = min(len(old) - at, len(new) - other)
    found, step = 0, 1
    while found < most:
        step = min(step, most - found)
        if old[at + found : at + found + step] == new[other + found : other + found + step]:
            found += step
            step *= 2
        elif step == 1:
            break
        else:
            step //= 2
    return found


def _common_tail(old: Sequence[Any], new: Sequence[Any], head: int) -> int:
    most = min(len(old), len(new)) - head
    found, step = 0, 1
    while found < most:
        step = min(step, most - found)
        end, other_end = len(old) - found, len(new) - found
        if old[end - step : end] == new[other_end - step : other_end]:
            found += step
            step *= 2
        elif step == 1:
            break
        else:
            step //= 2
    return found


def _unique_pairs(
    old: list[Sequence[Any]], new: list[Sequence[Any]], width: int
) -> list[tuple[int, int]]:
    """Where ``width`` parts in a row stand once in ``old`` and once in ``new``, in old order."""
    places: list[dict[Any, int]] = []
    for parts in (old, new):
        found: dict[Any, int] = {}
        for index, row in enumerate(zip(*(parts[skip:] for skip in range(width)), strict=False)):
            found[row] = -1 if row in found else index
        places.append(found)
    return [
        (index, other)
        for row, index in places[0].items()
        if index >= 0 and (other := places[1].get(row, -1)) >= 0
    ]


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of pairs that rise on both sides (patience sorting)."""
    pairs.sort()
    ends: list[int] = []  # the least last number of a run of each length
    last: list[int] = []
    before: list[int] = []
    for index, (_, other) in enumerate(pairs):
        length = bisect_left(ends, other)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [other]
        last[length : length + 1] = [index]
    run: list[tuple[int, int]] = []
    index = last[-1] if last else -1
    while index >= 0:
        run.append(pairs[index])
        index = before[index]
    return run[::-1]


def _parts(whole: Sequence[Any], ends: str) -> list[Sequence[Any]]:
    """``whole`` cut after every ``ends``, in a form that can be compared quickly."""
    parts: list[Sequence[Any]] = []
    if isinstance(whole, str):
        pieces = whole.split(ends)
        last = pieces.pop()
        parts.extend(piece + ends for piece in pieces)
        return [*parts, last] if last else parts
    start = 0
    for index, element in enumerate(whole):
        if element == ends:
            parts.append(tuple(whole[start : index + 1]))
            start = index + 1
    if start < len(whole):
        parts.append(tuple(whole[start:]))
    return parts


def _starts(parts: list[Sequence[Any]]) -> list[int]:
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return starts


def _shifted(blocks: list[Block], old: int, new: int) -> list[Block]:
    return [Block(block.old + old, block.new + new, block.size) for block in blocks]


def _joined(blocks: list[Block]) -> list[Block]:
    """``blocks`` without empty ones, what touches being one."""
    joined: list[Block] = []
    for block in blocks:
        if not block.size:
            continue
        if joined:
            last = joined[-1]
            if last.old + last.size == block.old and last.new + last.size == block.new:
                joined[-1] = Block(last.old, last.new, last.size + block.size)
                continue
        joined.append(block)
    return joined
