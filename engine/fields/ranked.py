"""A sequence that counts: places by number and numbers by place, each in logarithmic time.

Nodes lie in blocks of bounded size; a Fenwick tree over the blocks (Fenwick, "A New Data Structure
for Cumulative Frequency Tables", 1994) adds up how many nodes of each kind come before a block. So
looking up, inserting and removing cost one walk down the tree and one through a block, whatever
the length. Splitting a block counts all blocks anew, once in as many insertions as a block is long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, Generic, TypeVar, cast

ALL: Final = 0
SLOTS: Final = 1
SHOWN: Final = 2

_KINDS = (ALL, SLOTS, SHOWN)
_SIZE = 64
"""Nodes in a new block; one of twice as many is split."""


class Node:
    """A place in a sequence. It counts among all, and as it says among slots and among shown."""

    __slots__ = ("block", "shown", "slot")

    def __init__(self, *, slot: bool, shown: bool) -> None:
        self.slot = slot
        self.shown = shown
        self.block: Any = None

    def counts(self, kind: int) -> bool:
        return kind == ALL or (self.slot if kind == SLOTS else self.shown)


N = TypeVar("N", bound=Node)


class _Block(Generic[N]):
    __slots__ = ("counts", "nodes", "number")

    def __init__(self, number: int, nodes: list[N]) -> None:
        self.number = number
        self.nodes = nodes
        for node in nodes:
            node.block = self
        self.count()

    def count(self) -> None:
        slots = sum(node.slot for node in self.nodes)
        self.counts = [len(self.nodes), slots, sum(node.shown for node in self.nodes)]


class Ranked(Generic[N]):
    """Nodes in order. A node is in one sequence at most."""

    def __init__(self, nodes: Sequence[N]) -> None:
        self._blocks = [
            _Block(number, list(nodes[start : start + _SIZE]))
            for number, start in enumerate(range(0, len(nodes), _SIZE))
        ] or [_Block(0, [])]
        self._trees: list[list[int]] = []
        self._totals: list[int] = []
        self._count_blocks()

    def _count_blocks(self) -> None:
        self._trees, self._totals = [], []
        for kind in _KINDS:
            tree = [0, *(block.counts[kind] for block in self._blocks)]
            self._totals.append(sum(tree))
            for number in range(1, len(tree)):
                parent = number + (number & -number)
                if parent < len(tree):
                    tree[parent] += tree[number]
            self._trees.append(tree)
        for number, block in enumerate(self._blocks):
            block.number = number

    def _add(self, kind: int, block: _Block[N], step: int) -> None:
        tree = self._trees[kind]
        self._totals[kind] += step
        block.counts[kind] += step
        number = block.number + 1
        while number < len(tree):
            tree[number] += step
            number += number & -number

    def count(self, kind: int) -> int:
        """How many nodes of this kind there are."""
        return self._totals[kind]

    def at(self, kind: int, index: int) -> N:
        """The node of this kind with the number ``index``, which there must be."""
        tree = self._trees[kind]
        number = 0
        step = 1 << (len(tree).bit_length() - 1)
        while step:
            following = number + step
            if following < len(tree) and tree[following] <= index:
                number = following
                index -= tree[number]
            step >>= 1
        nodes = self._blocks[number].nodes
        if kind == ALL:
            return nodes[index]
        counting = (node for node in nodes if (node.slot if kind == SLOTS else node.shown))
        return next(islice(counting, index, None))

    def rank(self, kind: int, node: N) -> int:
        """How many nodes of this kind come before ``node``, which must be in the sequence."""
        block = self._block_of(node)
        tree = self._trees[kind]
        total, number = 0, block.number
        while number:
            total += tree[number]
            number -= number & -number
        before = block.nodes.index(node)
        if kind == ALL:
            return total + before
        if kind == SLOTS:
            return total + sum([other.slot for other in block.nodes[:before]])
        return total + sum([other.shown for other in block.nodes[:before]])

    def insert(self, index: int, node: N) -> None:
        """Insert ``node`` so that it has the number ``index`` among all."""
        if index < self.count(ALL):
            block = self._block_of(self.at(ALL, index))
            block.nodes.insert(index - self.rank(ALL, block.nodes[0]), node)
        else:
            block = self._blocks[-1]
            block.nodes.append(node)
        node.block = block
        for kind in _KINDS:
            if node.counts(kind):
                self._add(kind, block, 1)
        if len(block.nodes) >= 2 * _SIZE:
            rest = block.nodes[_SIZE:]
            del block.nodes[_SIZE:]
            block.count()
            self._blocks.insert(block.number + 1, _Block(0, rest))
            self._count_blocks()

    def remove(self, node: N) -> None:
        """Take ``node`` out."""
        block = self._block_of(node)
        block.nodes.remove(node)
        node.block = None
        for kind in _KINDS:
            if node.counts(kind):
                self._add(kind, block, -1)
        if not block.nodes and len(self._blocks) > 1:
            del self._blocks[block.number]
            self._count_blocks()

    def show(self, node: N, shown: bool) -> None:
        """Let ``node`` count among the shown, or not."""
        if node.shown != shown:
            node.shown = shown
            self._add(SHOWN, self._block_of(node), 1 if shown else -1)

    def __iter__(self) -> Iterator[N]:
        for block in self._blocks:
            yield from block.nodes

    @staticmethod
    def _block_of(node: N) -> _Block[N]:
        if node.block is None:
            raise LookupError("this node is in no sequence")
        return cast("_Block[N]", node.block)
