"""Changes of one list, made inside one transaction: what the index says becomes writes.

The index shows the list as it was before the transaction. So a change first says everything that
it does to the array, by the numbers that the elements had, and ``done`` does it from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import orjson

from syncline.engine.document.document import Document
from syncline.engine.document.roots import ArrayRoot

from .list_index import ListIndex
from .list_layout import RUN_LENGTH, Position, in_run, new_id, read_element
from .list_place import Place, Run
from .order import positions_between

_LONG = 40
"""Length from which positions are made short again, together with their neighbours'."""
_MANY = 3
"""Items inserted at once that are worth a head of their own."""
_WINDOW = 32
"""How many neighbours on each side; four times as many where that does not do."""


class ListEdit:
    """One change. ``index`` shows ``document``, whose transaction is open."""

    def __init__(
        self, document: Document, index: ListIndex, array: ArrayRoot, tick: Callable[[], int]
    ) -> None:
        self._document = document
        self._tick = tick
        self._index = index
        self._cells = index.cells
        self._array = array
        self._array_edits: list[tuple[int, int, Sequence[str]]] = []
        """(before which element, how many are deleted, what is inserted)"""
        self._tags: set[str] = set()
        """Those of heads that this change inserts."""

    def done(self) -> None:
        """Do to the array what has been said."""
        for at, deleted, texts in sorted(self._array_edits, key=_at, reverse=True):
            for _ in range(deleted):
                self._array.delete(at)
            if len(texts) == 1 and at == self._array.length():
                self._array.append_text(texts[0])
            elif texts:
                self._array.insert_texts(at, texts)

    def insert(self, index: int, encoded: Sequence[bytes]) -> None:
        """Insert values before the item number ``index``."""
        left, right = self._around(index)
        owner = right if right is None or right.slot else right.owner
        # Both stand in one gap, where nothing in the array lies between them?
        within = right is not None and not right.slot and owner is _owner(left)
        if right is None:
            at = self._index.count_elements()
        elif owner is None:
            at = 0
        else:
            at = self._index.element(owner) + within
        ids, texts = self._elements(at, encoded)
        self._array_edits.append((at, 0, texts))
        if within:
            positions = self._room(owner, left, right, len(ids))
            for own, position in zip(ids, positions, strict=True):
                self._write_position(f"{own}:", position, self._tick())

    def _elements(self, at: int, encoded: Sequence[bytes]) -> tuple[list[str], list[str]]:
        """The ids of new items, and the elements that insert them before the element ``at``."""
        ids: list[str] = []
        texts: list[str] = []
        behind = self._index.home_at(at - 1) if at else None
        run = self._index.run
        if run is None or behind is None or behind.head != run.head:
            # Who inserts many, or one behind the one before, is likely to go on.
            goes_on = behind is not None and behind.key == self._index.last
            run = self._new_run(texts) if goes_on or len(encoded) >= _MANY else None
        for value in encoded:
            if run is not None and run.length == RUN_LENGTH:
                run = self._new_run(texts)
            if run is None:
                ids.append(self._new_id())
                texts.append(f"@{ids[-1]}{value.decode()}")
            else:
                digits = in_run(run.length)
                run.length += 1
                ids.append(run.head + digits)
                texts.append(f"{run.tag}{digits}{value.decode()}")
        self._index.run = run
        self._index.last = f"{ids[-1]}:"
        return ids, texts

    def _new_run(self, texts: list[str]) -> Run | None:
        tag = self._index.free_tag(self._tags)
        if tag is None:
            return None
        self._tags.add(tag)
        run = Run(self._new_id(), tag)
        texts.append(f"@{run.head}#{tag}")
        return run

    def _new_id(self) -> str:
        return new_id(self._tick(), self._document.client_id)

    def move(self, place: Place, index: int, stamp: int) -> None:
        """Move the item at ``place`` so that it has the number ``index``."""
        left, right = self._around(index, place)
        position = self._room(_owner(left), left, right, 1, place)[0]
        self._write_position(place.key, position, stamp)
        self._let_go(place.key, position.after)

    def assign(self, place: Place, encoded: bytes, stamp: int) -> None:
        """Give the item at ``place`` another value."""
        key = place.key
        self._cells.write(f"{key}v", encoded, stamp)
        # Who removes the item elsewhere takes away its home and the position that it has. The value
        # survives that, and so shall its place. The old stamp lets a concurrent move still win.
        position = self._index.position(key)
        if position is None:
            home = self._index.home(key)
            if home is not None:
                position = Position(key[:-1], self._index.following_home(home), "")
        if position is not None:
            self._write_position(key, position, self._index.position_stamp(key))

    def remove(self, place: Place) -> None:
        """Remove the item at ``place``."""
        key = place.key
        for register in "vp":
            self._cells.remove(f"{key}{register}")
        elements = self._index.elements(key)
        home = self._index.home(key)
        if home is not None and home.element is not None and self._index.is_held(key):
            self._array_edits.append((elements.pop(0), 1, [home.element.stem]))
        self._array_edits += [(at, 1, ()) for at in elements]
        self._let_go(key, "")

    def settle(self) -> None:
        """Write where those items stand that have fallen back on another home than their own."""
        for owner, group in groupby(self._index.fallen(), key=_owner):
            fallen = list(group)
            low = None
            if owner is None or self._index.home(owner.key) is owner:
                after = "" if owner is None else owner.key[:-1]
                last = self._index.neighbour(fallen[0], -1)
                low = None if last is None else last.position or None
            else:  # no position can name this element, but one beside it that has no value
                after = self._new_id()
                self._array_edits.append((self._index.element(owner) + 1, 0, [f"@{after}"]))
            before = self._following(after, owner)
            places = positions_between(low, None, len(fallen), self._document.client_id)
            for each, place in zip(fallen, places, strict=True):
                stamp = self._index.position_stamp(each.key)
                self._write_position(each.key, Position(after, before, place), stamp)

    def _around(self, index: int, moving: Place | None = None) -> tuple[Place | None, Place | None]:
        """What will stand before and after the item number ``index``, which is new or moves."""
        others = self._index
        if moving is not None and others.number(moving) < index:
            index += 1
        before = index - 1
        if before >= 0 and others.at(before) is moving:
            before -= 1
        after = index
        if after < len(others) and others.at(after) is moving:
            after += 1
        return (
            others.at(before) if before >= 0 else None,
            others.at(after) if after < len(others) else None,
        )

    def _write_position(self, key: str, position: Position, stamp: int) -> None:
        self._cells.write(f"{key}p", orjson.dumps(position.text()), stamp)

    def _let_go(self, key: str, after: str) -> None:
        """Drop the home behind which the item stood, and from now on does not, if it was there for
        nothing else."""
        position = self._index.position(key)
        if position is None or position.after in ("", after, key[:-1]):
            return
        held = f"{position.after}:"
        if not self._index.has_value(held) and not self._index.is_held(held, but_for=key):
            self._array_edits += [(at, 1, ()) for at in self._index.elements(held)]

    # Positions

    def _room(
        self,
        owner: Place | None,
        left: Place | None,
        right: Place | None,
        count: int,
        moving: Place | None = None,
    ) -> list[Position]:
        """Positions for ``count`` items in the gap behind ``owner``, after ``left`` and before
        ``right``, as far as these stand there."""
        after = "" if owner is None else owner.key[:-1]
        position = partial(Position, after, self._following(after, owner))
        places = self._places(
            None if left is None or left.slot else left,
            None if right is None or right.slot or right.owner is not owner else right,
            count,
            moving,
            position,
        )
        return [position(place) for place in places]

    def _following(self, after: str, owner: Place | None) -> str:
        return self._index.following_home(owner) if after else ""

    def _places(
        self,
        left: Place | None,
        right: Place | None,
        count: int,
        moving: Place | None,
        position: Callable[[str], Position],
    ) -> list[str]:
        """Where in one gap ``count`` items stand between two. If that would be long, or there is
        no room, neighbours are written again too; with their old stamps, so that moves made
        elsewhere at the same time win."""
        most = 0
        while True:
            lefts, lower = self._reach(left, -1, most, moving)
            rights, upper = self._reach(right, 1, most, moving)
            places = self._between(lower, upper, len(lefts) + count + len(rights))
            if places is not None:
                break
            most = 4 * most or _WINDOW
        new = places[len(lefts) : len(lefts) + count]
        del places[len(lefts) : len(lefts) + count]
        for neighbour, place in zip([*reversed(lefts), *rights], places, strict=True):
            stamp = self._index.position_stamp(neighbour.key)
            self._write_position(neighbour.key, position(place), stamp)
        return new

    def _reach(
        self, place: Place | None, step: int, most: int, moving: Place | None
    ) -> tuple[list[Place], Place | None]:
        """At most ``most`` places of a gap from ``place`` on, and the one behind them."""
        reached: list[Place] = []
        while place is not None and (len(reached) < most or place is moving):
            if place is not moving:
                reached.append(place)
            place = self._index.neighbour(place, step)
        return reached, place

    def _between(self, lower: Place | None, upper: Place | None, count: int) -> list[str] | None:
        if lower is not None and lower.has_fallen:
            return None
        low = lower.position if lower is not None else ""
        high = None if upper is None or upper.has_fallen else upper.position
        if high is not None and low >= high:
            return None
        places = positions_between(low or None, high, count, self._document.client_id)
        whole = lower is None and upper is None
        return places if whole or max(map(len, places)) <= _LONG else None


def _at(edit: tuple[int, int, Sequence[str]]) -> int:
    return edit[0]


def _owner(left: Place | None) -> Place | None:
    """Behind which home it is that the place next to ``left`` lies; None before all homes."""
    return left if left is None or left.slot else left.owner


def remove_all(array: ArrayRoot) -> None:
    """Remove every element but heads: items that others insert meanwhile have their ids from them.
    Call inside the document's transaction. Costs one deletion for each run of elements between
    heads."""
    end = None
    for at, text in reversed(list(enumerate(array.texts()))):
        element = read_element(text)
        if element is not None and element.is_head:
            if end is not None:
                array.delete_range(at + 1, end + 1)
            end = None
        elif end is None:
            end = at
    if end is not None:
        array.delete_range(0, end + 1)


def is_cleared(array: ArrayRoot) -> bool:
    """Whether ``array`` has no elements but heads. Costs a look at each."""
    for text in array.texts():
        element = read_element(text)
        if element is None or not element.is_head:
            return False
    return True
