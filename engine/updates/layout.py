"""Where the operations of a document lie: in which shared type, under a key or in a list.

Two things follow from it that no update shows by itself, because the next one builds on the one
before.

*Depth.* Whoever reads, deletes or shows a shared type does so for what lies in it, by recursion:
the CRDT library ends the process with types nested 20,000 deep, a browser's Yjs fails beyond 1,000.

*What no client makes*, and what the CRDT library hangs or dies of: an item in something that is no
shared type; an item between two neighbours that lie in different places; values under a key that
are more than one, are formatting, or have a neighbour on their right. (Several values of one key
are one item where all of them are deleted: then Yjs joins them.)

Where an item lies its struct says, as the id of its parent or of a neighbour, whose place it
shares. What lies in one place is one run of clocks here, so that most documents need few of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Set

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
from .update_values import Budget, UpdateLimits, invalid, skip_values, too_nested, uint

_CHECKED = UpdateLimits(max_structs=1 << 53)
_PLACE_RUNS = 30  # a place takes as much memory as so many runs
# A run's value: a place, and whether its operations may be parents. Nothing is known of what was
# not added, and nothing needs to be of what was collected: what is put there is collected too.
_UNKNOWN = 1


class _Runs:
    """One client's operations: each of ``values`` from the clock in ``starts`` on, up to the next
    one or to ``end``."""

    __slots__ = ("end", "starts", "values")

    def __init__(self) -> None:
        self.starts = array("I")
        self.values = array("I")
        self.end = 0

    def value(self, clock: int) -> int:
        """Of an operation below ``end``."""
        if clock >= self.starts[-1]:
            return self.values[-1]
        return self.values[bisect_right(self.starts, clock) - 1]

    def extend(self, start: int, end: int, value: int) -> None:
        if start > self.end:
            self._add(self.end, _UNKNOWN)
        self._add(max(start, self.end), value)
        self.end = end

    def mark(self) -> tuple[int, int]:
        return len(self.starts), self.end

    def cut(self, mark: tuple[int, int]) -> None:
        """Forget what has come since ``mark`` was made."""
        length, self.end = mark
        del self.starts[length:], self.values[length:]

    def _add(self, start: int, value: int) -> None:
        if not self.values or self.values[-1] != value:
            self.starts.append(start)
            self.values.append(value)


class Layout:
    """The places of a document's operations, or of those of a part of it.

    A shared type in a root is at depth 1; of what was not added it is taken to lie in a root. The
    cost of ``add`` is proportional to the update; 8 bytes are kept for each run of operations in
    one place, and about 240 for each place.
    """

    def __init__(self) -> None:
        self.depth = 0
        self._clients: dict[int, _Runs] = {}
        # A place is a root, or the type that an operation made, and whether it is under keys: by
        # number, from 1, and how deep what lies there is.
        self._places: dict[tuple[object, bool], int] = {}
        self._depths = array("I", [0])
        self._keyed = bytearray([0])

    @property
    def runs(self) -> int:
        """What is kept, in runs."""
        kept = sum([len(runs.starts) for runs in self._clients.values()])
        return kept + _PLACE_RUNS * len(self._places)

    def add(self, update: bytes) -> None:
        """Take in an update that has been parsed, and is covered."""
        self._walk(_sections(update), None, MAX_UINT)

    def check(
        self, update: bytes, deletes: Mapping[int, Iterable[tuple[int, int]]], max_nesting: int
    ) -> None:
        """Take in an update, as ``add`` does, that deletes what is in ``deletes``. Raises
        InvalidUpdate, and keeps nothing of it, if no client makes it, or a shared type in it lies
        deeper than ``max_nesting``."""
        depth, places = self.depth, len(self._places)
        sections = _sections(update)
        marks = {client: self._runs(client).mark() for client in sections}
        try:
            self._walk(sections, deletes, max_nesting)
        except BaseException:
            self.depth = depth
            for client, mark in marks.items():
                self._runs(client).cut(mark)
            while len(self._places) > places:
                self._places.popitem()
            del self._depths[places + 1 :], self._keyed[places + 1 :]
            raise

    def walked(self, section: _Section) -> int:
        """Where a section ends, for which it is read to its end."""
        self._advance(section, MAX_UINT, {}, set(), None, MAX_UINT)
        return section.at

    def _runs(self, client: int) -> _Runs:
        runs = self._clients.get(client)
        if runs is None:
            runs = self._clients[client] = _Runs()
        return runs

    def _place(self, parent: object, *, keyed: bool, depth: int) -> int:
        place = self._places.get((parent, keyed))
        if place is None:
            place = self._places[parent, keyed] = len(self._depths)
            self._depths.append(depth)
            self._keyed.append(keyed)
        return place

    def _walk(
        self,
        sections: dict[int, _Section],
        deletes: Mapping[int, Iterable[tuple[int, int]]] | None,
        max_nesting: int,
    ) -> None:
        """Read the sections as they build on each other: one goes on until it names an operation
        that another one is yet to bring, which then goes first."""
        for first in sections.values():
            waiting = {first.client}
            order = [(first, MAX_UINT)]
            while order:
                section, until = order[-1]
                ahead = self._advance(section, until, sections, waiting, deletes, max_nesting)
                if ahead is None:
                    order.pop()
                    waiting.discard(section.client)
                else:
                    order.append((ahead, section.waits_for))
                    waiting.add(ahead.client)

    def _advance(
        self,
        section: _Section,
        until: int,
        sections: dict[int, _Section],
        waiting: set[int],
        deletes: Mapping[int, Iterable[tuple[int, int]]] | None,
        max_nesting: int,
    ) -> _Section | None:
        """Take structs up to the operation ``until``. Return the section that has to go first, up
        to the operation ``waits_for``. With ``deletes``, raises InvalidUpdate."""
        # One flat function over local names, as in parse.py: it runs over whole documents.
        data, at, clock, client = section.data, section.at, section.clock, section.client
        own, own_size = section.own, len(section.own)
        clients, own_runs = self._clients, self._runs(client)
        depths, keyed_places = self._depths, self._keyed
        alone = len(sections) <= 1
        while section.left and clock <= until:
            info = data[at]
            at += 1
            kind = info & KIND
            value, length = _UNKNOWN, 1
            if info in (GC, SKIP):
                length, at = uint(data, at)
            else:
                ids = (info & HAS_ORIGIN != 0) + (info & HAS_RIGHT_ORIGIN != 0)
                place, inside, keyed = 0, False, False
                if not ids:
                    keyed = info & HAS_KEY != 0
                    inside = data[at] == 0
                    at += 1
                    if inside:
                        ids = 1
                    else:
                        start, at = at, _skip(data, at)
                        place = self._place(data[start:at], keyed=keyed, depth=0)
                for _ in range(ids):
                    if data.startswith(own, at):
                        id_client = client
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
                    known = _UNKNOWN
                    if runs is not None and id_clock < runs.end:
                        known = runs.value(id_clock)
                    if inside:
                        if deletes is not None and not known & 1:
                            raise invalid("an item lies in what is no shared type", at)
                        place = self._place(
                            (id_client, id_clock), keyed=keyed, depth=depths[known >> 1] + 1
                        )
                    elif not place:
                        place = known >> 1
                    elif deletes is not None and known >> 1 not in (0, place):
                        raise invalid("the neighbours of an item lie in different places", at)
                if keyed:
                    at = _skip(data, at)
                value = place << 1
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
                    value |= 1  # it may have been a type
                elif kind == TYPE:
                    value |= 1
                    depth = depths[place]
                    if depth >= max_nesting:
                        raise too_nested(max_nesting)
                    if depth >= self.depth:
                        self.depth = depth + 1
                    at = _skip(data, at + 1) if data[at] == XML_ELEMENT else at + 1
                elif kind == FORMAT:
                    at = _skip(data, _skip(data, at))
                elif kind == DOCUMENT:
                    at = skip_values(data, _skip(data, at), 1, section.budget)
                else:  # BINARY, EMBED
                    at = _skip(data, at)
                if deletes is not None and keyed_places[place]:
                    if info & HAS_RIGHT_ORIGIN:
                        raise invalid("a value under a key has a neighbour on its right", at)
                    if kind == FORMAT:
                        raise invalid("the value of a key is formatting", at)
                    if length > 1 and kind != DELETED:
                        check_deleted(deletes.get(client, ()), clock, clock + length)
            if clock + length > own_runs.end:
                own_runs.extend(clock, clock + length, value)
            clock += length
            section.at, section.clock = at, clock
            section.left -= 1
        return None


def have_to_be_found(
    parents: Iterable[tuple[int, int]],
    types: Set[tuple[int, int]],
    ranges: Mapping[int, tuple[tuple[int, int], ...]],
) -> bool:
    """Whether an update that brings ``ranges`` has a parent in it that is none of its ``types``: it
    may have been one."""
    return any(
        start <= clock < end
        for client, clock in parents
        if (client, clock) not in types
        for start, end in ranges.get(client, ())
    )


def check_deleted(deletes: Iterable[tuple[int, int]], start: int, end: int) -> None:
    """Raises InvalidUpdate unless a client's operations from ``start`` to ``end``, values of one
    key in one item, are among ``deletes``."""
    for clock, length in sorted(deletes):
        if clock > start:
            break
        start = max(start, clock + length)
    if start < end:
        raise invalid("one item has several values of one key")


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


def _sections(update: bytes) -> dict[int, _Section]:
    """By client."""
    count, at = uint(update, 0)
    found: dict[int, _Section] = {}
    for number in range(count):
        section = _Section(update, at)
        found[section.client] = section
        if number < count - 1:
            at = Layout().walked(_Section(update, at))
    return found


def _skip(data: bytes, at: int) -> int:
    size, at = uint(data, at)
    return at + size
