"""The order of a list's items, kept up to date as its document changes.

Theory of operation. The array ``items:<field>`` holds an element for each item that was inserted:
its **home**. Nothing moves inside the array, so homes have one order for ever, which Yjs agrees on,
runs of several inserted items staying together. The map ``list:<field>`` holds registers of those
items only that were moved or assigned: the newest write wins, and the item is where it says.

A moved item names the home behind which it stands; there, in the **gap** before the next home,
moved items are ordered by a string. Homes never stand in gaps, so no two moves can make a circle.
Items of the first layout have no home: they stand in the gap before all homes.

Removing takes the home away, and with it the place of whatever stands in its gap. So a home behind
which others stand stays as an element without a value. A move that did not know of the removal
finds its home gone, and **falls** back on the next one; whoever edits the list next writes where it
has come to stand. All of this is a function of what array and map hold, so replicas that hold the
same show the same, each item once, whatever came in which order.

In memory all homes and gaps lie in one sequence (ranked.py). What changes takes out the places
that it concerns and puts them back where they belong now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.roots import ArrayRoot

from .list_layout import (
    NOTHING,
    Element,
    Position,
    free_tag,
    key_of,
    read_element,
    read_position,
)
from .list_place import Order, Place, Run
from .ranked import ALL, SHOWN, SLOTS, Ranked

_MANY = 1000
"""More new elements at once than this, and than there were: read all anew."""


class ListIndex:
    """The items of one list of one document, in order."""

    def __init__(self, array: ArrayRoot, cells: Cells) -> None:
        self._array = array
        self.cells = cells
        cells.follow()
        self._places: Ranked[Place] = Ranked([])
        self._homes: dict[str, list[Place]] = {}
        self._moved: dict[str, Place] = {}
        self._positions: dict[str, Position] = {}
        self._pointing: dict[str, set[str]] = {}
        """The keys of items by those of the homes that their positions name."""
        self._heads: dict[str, list[Place]] = {}
        """By tag. No writer takes a tag that it sees, so there is rarely more than one."""
        self._loose: set[str] = set()
        """Tags of elements that have no head before them."""
        self.run: Run | None = None
        """What this document's writer has inserted last, if it may be continued."""
        self.last = ""
        """The key of the item that this document's writer has inserted last."""
        self._fallen: set[str] = set()
        """The keys of items whose own positions cannot be found, so that any change may matter."""

    def refresh(self) -> None:
        """Take in what has changed since the last call."""
        deltas = self._array.take_deltas()
        names = self.cells.take_news()
        if deltas is not None and sum(map(_inserted, deltas)) > _MANY + self._places.count(SLOTS):
            deltas = None
        if deltas is None:
            self._read()
            return
        concerned = {key for key in map(key_of, names) if key is not None}
        for delta in deltas:
            if not self._follow(delta, concerned):
                self._array.take_deltas()
                self._read()
                return
        if deltas:
            concerned |= self._fallen
        for key in tuple(concerned):
            concerned |= self._pointing.get(key, set())
        self._settle(concerned)

    def _read(self) -> None:
        self._homes, self._moved, self._positions = {}, {}, {}
        self._pointing, self._fallen = {}, set()
        self._heads, self._loose = {}, set()
        bound: dict[str, str] = {}
        homes: list[Place] = []
        for element in map(read_element, self._array.texts()):
            home = self._home(element, bound.get)
            homes.append(home)
            if element is not None and element.is_head:
                bound[element.tag] = element.own
                self._heads.setdefault(element.tag, []).append(home)
            if home.key:
                self._homes.setdefault(home.key, []).append(home)
        for same in self._homes.values():
            first = same[0]
            first.shown = first.initial is not NOTHING or (
                len(same) > 1 and any(home.initial is not NOTHING for home in same)
            )
        self._places = Ranked(homes)
        self._settle({key for key in map(key_of, self.cells.names()) if key is not None})

    def _follow(self, delta: Iterable[dict[str, Any]], concerned: set[str]) -> bool:
        """Do to the homes what was done to the array, and collect the keys of those concerned.

        Returns whether that could be done; if other homes got other keys by it, it cannot.
        """
        at = 0
        for step in delta:
            at += step.get("retain", 0)
            for _ in range(step.get("delete", 0)):
                home = self._places.at(SLOTS, at)
                if _is_head(home):
                    return False
                self._places.remove(home)
                if home.key:
                    concerned.add(home.key)
                    self._homes[home.key].remove(home)
            for text in step.get("insert", ()):
                element = read_element(text)
                if element is not None and element.is_head:
                    if element.tag in self._heads or element.tag in self._loose:
                        return False
                    home = Place(f"{element.own}:", element, element.own)
                    self._heads[element.tag] = [home]
                else:
                    home = self._home(element, partial(self._bound, at))
                self._places.insert(self._number(at), home)
                at += 1
                if home.key:
                    concerned.add(home.key)
                    self._homes.setdefault(home.key, []).append(home)
        return True

    def _home(self, element: Element | None, bound: Callable[[str], str | None]) -> Place:
        """The place of an element, given the ids of the heads to which tags lead there."""
        if element is None:
            return Place("")
        if element.is_head:
            return Place(f"{element.own}:", element, element.own)
        if not element.tag:
            return Place(f"{element.own}:", element)
        head = bound(element.tag)
        if head is None:
            self._loose.add(element.tag)
            return Place("")
        return Place(f"{head}{element.own}:", element, head)

    def _bound(self, at: int, tag: str) -> str | None:
        """The id of the head to which ``tag`` leads from the element number ``at``."""
        heads = self._heads.get(tag, ())
        ranks = [(self._places.rank(SLOTS, home), home.head) for home in heads]
        return max((found for found in ranks if found[0] < at), default=(0, None))[1]

    def _number(self, at: int) -> int:
        """The number among all places of the home number ``at``; their count at the end."""
        if at < self._places.count(SLOTS):
            return self._places.rank(ALL, self._places.at(SLOTS, at))
        return self._places.count(ALL)

    def _settle(self, keys: set[str]) -> None:
        """Put the items with these keys where they belong."""
        for key in keys:
            self._take_out(key)
        for key in sorted(keys):
            self._put_in(key)

    def _take_out(self, key: str) -> None:
        moved = self._moved.pop(key, None)
        if moved is not None:
            self._places.remove(moved)
        homes = self._homes.get(key)
        if homes is not None:
            if len(homes) > 1:
                homes.sort(key=lambda home: self._places.rank(SLOTS, home))
            for home in homes:
                self._places.show(home, False)
            if not homes:
                del self._homes[key]
        self._fallen.discard(key)
        position = self._positions.pop(key, None)
        for other in _named(position):
            pointing = self._pointing[other]
            pointing.discard(key)
            if not pointing:
                del self._pointing[other]

    def _put_in(self, key: str) -> None:
        if not self.has_value(key):
            return
        written = self.cells.newest(f"{key}p")
        position = None if written is None else read_position(written.value)
        if position is not None:
            self._positions[key] = position
            for other in _named(position):
                self._pointing.setdefault(other, set()).add(key)
        owner, order = self._gap(key, position)
        if order is None:
            self._places.show(self._homes[key][0], True)
            return
        place = self._moved[key] = Place(key, owner=owner, order=order)
        self._places.insert(self._number_in(owner, order), place)

    def _gap(self, key: str, position: Position | None) -> tuple[Place | None, Order | None]:
        """In which gap an item stands, and where in it; None for its home."""
        own = key[:-1]
        home = self.home(key)
        if position is None:
            return None, None if home is not None else (0, "", "", own)
        after, before, place = position
        if not after and not before:
            return None, (0, "", place, own)
        if after == own and not place and home is not None:
            return None, None
        owner = self.home(f"{after}:")
        if owner is not None:
            return owner, (0, "", place, own)
        self._fallen.add(key)
        following = self.home(f"{before}:")
        if following is not None or not before:
            rank = self._places.count(SLOTS) if following is None else self.element(following)
            owner = self._places.at(SLOTS, rank - 1) if rank else None
            return owner, (1, after, place, own)
        return None, None if home is not None else (0, "", "", own)

    def _number_in(self, owner: Place | None, order: Order) -> int:
        """The number among all places at which ``order`` belongs in the gap behind ``owner``."""
        low, high = self._bounds(owner)
        while low < high:
            middle = (low + high) // 2
            other = self._places.at(ALL, middle).order
            if other is not None and other < order:
                low = middle + 1
            else:
                high = middle
        return low

    def _bounds(self, owner: Place | None) -> tuple[int, int]:
        """The numbers among all places of the first one in the gap behind ``owner``, and of what
        follows the last."""
        if owner is None:
            return 0, self._number(0)
        return (
            self._places.rank(ALL, owner) + 1,
            self._number(self._places.rank(SLOTS, owner) + 1),
        )

    # What it says

    def __len__(self) -> int:
        return self._places.count(SHOWN)

    def __iter__(self) -> Iterator[Place]:
        return (place for place in self._places if place.shown)

    def at(self, index: int) -> Place:
        """Where the item number ``index`` stands; there must be one."""
        return self._places.at(SHOWN, index)

    def number(self, place: Place) -> int:
        """The number of the item that stands at ``place``."""
        return self._places.rank(SHOWN, place)

    def value(self, place: Place) -> Any:
        """The value of the item that stands at ``place``."""
        assigned = self.cells.newest(f"{place.key}v")
        if assigned is not None:
            return assigned.value
        initials = (home.initial for home in self._homes[place.key])
        return next(initial for initial in initials if initial is not NOTHING)

    def has_value(self, key: str) -> bool:
        """Whether there is an item with this key."""
        return f"{key}v" in self.cells or any(
            home.initial is not NOTHING for home in self._homes.get(key, ())
        )

    def value_stamp(self, place: Place) -> int:
        """The stamp of the newest assignment, 0 if there was none."""
        return self.cells.stamp(f"{place.key}v")

    def position_stamp(self, key: str) -> int:
        """The stamp of the newest move, 0 if there was none."""
        return self.cells.stamp(f"{key}p")

    def position(self, key: str) -> Position | None:
        return self._positions.get(key)

    def home(self, key: str) -> Place | None:
        """The home of an item: the first, should its element be there more than once."""
        homes = self._homes.get(key)
        return homes[0] if homes else None

    def elements(self, key: str) -> list[int]:
        """The numbers in the array of the elements of an item. Not of a head, which others need."""
        homes = self._homes.get(key, ())
        return [self.element(home) for home in homes if not _is_head(home)]

    def element(self, home: Place) -> int:
        """The number in the array of this element."""
        return self._places.rank(SLOTS, home)

    def count_elements(self) -> int:
        return self._places.count(SLOTS)

    def following_home(self, owner: Place | None) -> str:
        """The id of the first home behind ``owner`` that a position can name; "" if there is
        none."""
        rank = 0 if owner is None else self._places.rank(SLOTS, owner) + 1
        while rank < self._places.count(SLOTS):
            home = self._places.at(SLOTS, rank)
            if self.home(home.key) is home:
                return home.key[:-1]
            rank += 1
        return ""

    def home_at(self, at: int) -> Place:
        """The element number ``at`` of the array; there must be one."""
        return self._places.at(SLOTS, at)

    def free_tag(self, taken: set[str]) -> str | None:
        """A tag that no head has, and that is not among ``taken``; None if there is none."""
        return free_tag(taken.union(self._heads))

    def neighbour(self, place: Place, step: int) -> Place | None:
        """What stands ``step`` places further in the same gap, None if nothing does."""
        number = self._places.rank(ALL, place) + step
        if not 0 <= number < self._places.count(ALL):
            return None
        other = self._places.at(ALL, number)
        return None if other.slot else other

    def fallen(self) -> list[Place]:
        """What stands in a gap that it does not name, in order."""
        places = (self._moved.get(key) for key in self._fallen)
        fallen = [place for place in places if place is not None and place.has_fallen]
        return sorted(fallen, key=self.number)

    def is_held(self, key: str, *, but_for: str = "") -> bool:
        """Whether an item other than this one and ``but_for`` stands behind the home of ``key``."""
        return any(
            other not in (key, but_for) and self._positions[other].after == key[:-1]
            for other in self._pointing.get(key, ())
        )


def list_index(document: Document, array_name: str, map_name: str) -> ListIndex:
    """The index of a list of this document, as the document is now; one object per document and
    list."""
    index = document.attachments.get(array_name)
    if index is None:
        index = ListIndex(document.array(array_name), cells_of(document, map_name))
        document.attachments[array_name] = index
    index.refresh()
    return index


def _is_head(home: Place) -> bool:
    return home.element is not None and home.element.is_head


def _named(position: Position | None) -> list[str]:
    """The keys of the homes that a position names."""
    if position is None:
        return []
    return [f"{name}:" for name in {position.after, position.before} if name]


def _inserted(delta: Iterable[dict[str, Any]]) -> int:
    return sum(len(step.get("insert", ())) for step in delta)
