"""How deep the shared types of a document lie inside each other.

Whoever reads, deletes or shows a shared type does so for what lies in it, by recursion: the CRDT
library ends the process with types nested 20,000 deep, a browser's Yjs fails beyond 1,000. A limit
for each update would not do: the next one nests its types in those of the one before. So depth is
that of the document, and takes knowing where each of its operations lies.

Where an item lies its struct says, as the id of its parent or of a neighbour, whose parent it
shares. What lies equally deep is one run of clocks here, so that most documents need few of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from syncline.engine.lib0 import MAX_UINT

from .struct_format import (
    ANY,
    DELETED,
    DOCUMENT,
    FORMAT,
    GC,
    HAS_KEY,
    HAS_ORIGIN,
    HAS_RIGHT_ORIGIN,
    KIND,
    SKIP,
    STRING,
    TYPE,
    XML_ELEMENT,
)
from .update_values import Budget, UpdateLimits, skip_values, uint

_CHECKED = UpdateLimits(max_structs=1 << 53)


class _Runs:
    """One client's operations: each of ``depths`` from the clock in ``starts`` on, up to the next
    one or to ``end``."""

    __slots__ = ("depths", "end", "starts")

    def __init__(self) -> None:
        self.starts = array("I")
        self.depths = array("I")
        self.end = 0

    def depth(self, clock: int) -> int:
        """Of an operation below ``end``."""
        if clock >= self.starts[-1]:
            return self.depths[-1]
        return self.depths[bisect_right(self.starts, clock) - 1]

    def extend(self, start: int, end: int, depth: int) -> None:
        if start > self.end:
            self._add(self.end, 0)  # not known
        self._add(max(start, self.end), depth)
        self.end = end

    def mark(self) -> tuple[int, int]:
        return len(self.starts), self.end

    def cut(self, mark: tuple[int, int]) -> None:
        """Forget what has come since ``mark`` was made."""
        length, self.end = mark
        del self.starts[length:], self.depths[length:]

    def _add(self, start: int, depth: int) -> None:
        if not self.depths or self.depths[-1] != depth:
            self.starts.append(start)
            self.depths.append(depth)


class Nesting:
    """The depth of a document, or of a part of it. A shared type in a root is at depth 1; of what
    was not added it is taken to lie in a root.

    The cost of ``add`` is proportional to the update; 8 bytes are kept for each run of operations
    that lie equally deep.
    """

    def __init__(self) -> None:
        self.depth = 0
        self._clients: dict[int, _Runs] = {}

    @property
    def runs(self) -> int:
        """How many runs are kept."""
        return sum([len(runs.starts) for runs in self._clients.values()])

    def add(self, update: bytes, allowed: int) -> bool:
        """Take in an update that has been parsed, and is covered. If it has a shared type that lies
        deeper than ``allowed``, nothing of it is kept, and False returned."""
        sections = {section.client: section for section in _sections(update)}
        before = self.depth
        marks = {client: self._runs(client).mark() for client in sections}
        if self._walk(sections, allowed):
            return True
        self.depth = before
        for client, mark in marks.items():
            self._runs(client).cut(mark)
        return False

    def walked(self, section: _Section) -> int:
        """Where a section ends, for which it is read to its end."""
        self._advance(section, MAX_UINT, {}, set(), MAX_UINT)
        return section.at

    def _runs(self, client: int) -> _Runs:
        runs = self._clients.get(client)
        if runs is None:
            runs = self._clients[client] = _Runs()
        return runs

    def _walk(self, sections: dict[int, _Section], allowed: int) -> bool:
        """Read the sections as they build on each other: one goes on until it names an operation
        that another one is yet to bring, which then goes first."""
        for first in sections.values():
            waiting = {first.client}
            order = [(first, MAX_UINT)]
            while order:
                section, until = order[-1]
                ahead = self._advance(section, until, sections, waiting, allowed)
                if ahead is None:
                    order.pop()
                    waiting.discard(section.client)
                elif ahead is section:
                    return False
                else:
                    order.append((ahead, section.waits_for))
                    waiting.add(ahead.client)
        return True

    def _advance(
        self,
        section: _Section,
        until: int,
        sections: dict[int, _Section],
        waiting: set[int],
        allowed: int,
    ) -> _Section | None:
        """Take structs up to the operation ``until``. Return the section that has to go first, up
        to the operation ``waits_for``; this one if a type in it lies too deep."""
        # One flat function over local names, as in parse.py: it runs over whole documents.
        data, at, clock, client = section.data, section.at, section.clock, section.client
        own, own_size = section.own, len(section.own)
        clients, own_runs = self._clients, self._runs(client)
        alone = len(sections) <= 1
        while section.left and clock <= until:
            info = data[at]
            at += 1
            kind = info & KIND
            depth, length = 0, 1
            if info in (GC, SKIP):
                length, at = uint(data, at)
            else:
                ids = (info & HAS_ORIGIN != 0) + (info & HAS_RIGHT_ORIGIN != 0)
                inside = keyed = False
                if not ids:
                    keyed = info & HAS_KEY != 0
                    inside = data[at] == 0
                    at += 1
                    if inside:
                        ids = 1
                    else:
                        at = _skip(data, at)
                for _ in range(ids):
                    if data.startswith(own, at):
                        id_clock, at = uint(data, at + own_size)
                        runs: _Runs | None = own_runs
                    else:
                        id_client, at = uint(data, at)
                        id_clock, at = uint(data, at)
                        runs = clients.get(id_client)
                        if not alone and id_client in sections and id_client not in waiting:
                            other = sections[id_client]
                            if other.left and id_clock >= max(
                                other.clock, self._runs(id_client).end
                            ):
                                section.waits_for = id_clock
                                return other  # and read this struct again
                    if runs is not None and id_clock < runs.end:
                        depth = max(depth, runs.depth(id_clock))
                if inside:
                    depth += 1
                if keyed:
                    at = _skip(data, at)
                if kind == STRING:
                    size, at = uint(data, at)
                    text = data[at : at + size]
                    at += size
                    length = size if text.isascii() else len(text.decode().encode("utf-16-le")) >> 1
                elif kind == ANY:
                    length, at = uint(data, at)
                    at = skip_values(data, at, length, section.budget)
                elif kind == DELETED:
                    length, at = uint(data, at)
                elif kind == TYPE:
                    if depth >= allowed:
                        return section
                    if depth >= self.depth:
                        self.depth = depth + 1
                    at = _skip(data, at + 1) if data[at] == XML_ELEMENT else at + 1
                elif kind == FORMAT:
                    at = _skip(data, _skip(data, at))
                elif kind == DOCUMENT:
                    at = skip_values(data, _skip(data, at), 1, section.budget)
                else:  # BINARY, EMBED
                    at = _skip(data, at)
            if clock + length > own_runs.end:
                own_runs.extend(clock, clock + length, depth)
            clock += length
            section.at, section.clock = at, clock
            section.left -= 1
        return None


class _Section:
    """The structs of one client in an update, read one by one."""

    __slots__ = ("at", "budget", "client", "clock", "data", "left", "own", "waits_for")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.budget = Budget(_CHECKED)
        self.left, start = uint(data, at)
        self.client, at = uint(data, start)
        self.own = data[start:at]
        self.clock, self.at = uint(data, at)
        self.waits_for = 0


def _sections(update: bytes) -> list[_Section]:
    count, at = uint(update, 0)
    found: list[_Section] = []
    for number in range(count):
        found.append(_Section(update, at))
        if number < count - 1:
            at = Nesting().walked(_Section(update, at))
    return found


def _skip(data: bytes, at: int) -> int:
    size, at = uint(data, at)
    return at + size
