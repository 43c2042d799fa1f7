"""ListOf: an ordered list whose items move, concurrently, without doubling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar, cast

import orjson

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.document import Document
from syncline.engine.errors import LimitExceeded, OutOfRange

from .base import FieldView
from .order import MAX_LENGTH, is_position, position_between

T = TypeVar("T")


class _Item(NamedTuple):
    """Sorts by position; the id settles equal ones the same way everywhere."""

    position: str
    id: str


class ListOf(FieldView, Generic[T]):
    """A list of values with stable identities.

    ``items[0]``, ``items[0] = value``, ``del items[0]``, ``in``, ``len``, ``==`` and ``for`` do
    what they do with a ``list``; there are no slices. An index beyond the ends raises OutOfRange.

    Layout: an item has an id, made of the stamp and writer that created it, and two registers in
    the root map ``list:<field>``: ``<id>.v`` its value, ``<id>.p`` its position (order.py). A move
    is a write of the position, so concurrent moves of one item leave it once, where the newest put
    it (Kleppmann, "Moving Elements in List CRDTs", 2020). An item exists while it has a value:
    removing it beats a concurrent move, and yields to a concurrent assignment.
    """

    kind = "list"

    def _cells(self) -> Cells:
        return cells_of(self._host.document(), self._root)

    def _items(self) -> list[_Item]:
        cells = self._cells()
        return cells.derive(
            lambda: sorted(
                _Item(self._position(cells, name[:-2]), name[:-2])
                for name in cells.names()
                if name.endswith(".v")
            )
        )

    @staticmethod
    def _position(cells: Cells, item: str) -> str:
        cell = cells.newest(f"{item}.p")
        return cell.value if cell is not None and is_position(cell.value) else ""

    def _index(self, index: int, length: int) -> int:
        if not -length <= index < length:
            raise OutOfRange(
                f"{self._where} has {length} items, so there is none at {index}.",
                hint="Use an index from 0 to len - 1, or a negative one from the end.",
            )
        return index % length

    def _place(self, items: list[_Item], index: int, writer: int) -> str:
        """A position for what shall stand before ``items[index]``."""
        lower = items[index - 1].position if index else ""
        upper = next((item.position for item in items[index:] if item.position > lower), None)
        position = position_between(lower or None, upper, writer)
        if len(position) > MAX_LENGTH:
            raise LimitExceeded(
                f"{self._where} has no room left at index {index}: too many items were inserted "
                "there one after the other.",
                hint="Insert at an end of the list, or remove the items around and append them "
                "anew.",
            )
        return position

    def _write_position(self, document: Document, item: str, position: str, stamp: int) -> None:
        cells_of(document, self._root).write(f"{item}.p", orjson.dumps(position), stamp)

    def insert(self, index: int, value: T) -> None:
        """Insert before ``index``; like ``list.insert``, an index beyond an end means that end.
        Raises WrongType, ValueRefused, and LimitExceeded where there is no room between two items.
        """
        self._insert_all(index, [value])

    def append(self, value: T) -> None:
        """Insert at the end. Raises WrongType, ValueRefused."""
        self.extend([value])

    def extend(self, values: Iterable[T]) -> None:
        """Append each of ``values``, or none if one is refused. Raises WrongType, ValueRefused."""
        self._insert_all(len(self), values)

    def _insert_all(self, index: int, values: Iterable[T]) -> None:
        encoded = [self._item.encode(value, self._where) for value in values]
        items = list(self._items())
        index = max(0, index + len(items)) if index < 0 else min(index, len(items))
        with self._host.writing() as document:
            for place, value in enumerate(encoded, index):
                stamp = self._host.tick()
                position = self._place(items, place, document.client_id)
                item = f"{stamp:x}-{document.client_id:x}"
                cells_of(document, self._root).write(f"{item}.v", value, stamp)
                self._write_position(document, item, position, stamp)
                items.insert(place, _Item(position, item))

    def __getitem__(self, index: int) -> T:
        items = self._items()
        return self._value(items[self._index(index, len(items))])

    def _value(self, item: _Item) -> T:
        cell = self._cells().newest(f"{item.id}.v")
        return cast("T", self._item.restore(cell.value if cell else None))

    def __setitem__(self, index: int, value: T) -> None:
        items = self._items()
        item = items[self._index(index, len(items))]
        encoded = self._item.encode(value, f"{self._where}[{index}]")
        with self._host.writing() as document:
            cells = cells_of(document, self._root)
            position = cells.newest(f"{item.id}.p")
            name = f"{item.id}.v"
            cells.write(name, encoded, self._host.tick(cells.stamp(name)))
            if position is not None and item.position:
                # A removal elsewhere deletes the position that it saw; this value, which survives
                # it, keeps its place. The old stamp lets a concurrent move still win.
                self._write_position(document, item.id, item.position, position.stamp)

    def __delitem__(self, index: int) -> None:
        items = self._items()
        item = items[self._index(index, len(items))]
        with self._host.writing() as document:
            cells = cells_of(document, self._root)
            cells.remove(f"{item.id}.v")
            cells.remove(f"{item.id}.p")

    def pop(self, index: int = -1) -> T:
        """Remove the item at ``index`` and return its value. Raises OutOfRange."""
        value = self[index]
        del self[index]
        return value

    def move(self, from_index: int, to_index: int) -> None:
        """Move the item at ``from_index`` so that it stands at ``to_index``. Raises OutOfRange."""
        items = list(self._items())
        from_index = self._index(from_index, len(items))
        to_index = self._index(to_index, len(items))
        if from_index == to_index:
            return
        item = items.pop(from_index)
        with self._host.writing() as document:
            position = self._place(items, to_index, document.client_id)
            seen = self._cells().stamp(f"{item.id}.p")
            self._write_position(document, item.id, position, self._host.tick(seen))

    def __iter__(self) -> Iterator[T]:
        return iter([self._value(item) for item in self._items()])

    def __len__(self) -> int:
        return len(self._items())

    def __bool__(self) -> bool:
        return len(self) > 0

    def __contains__(self, value: object) -> bool:
        return value in list(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ListOf):
            return list(self) == list(cast("ListOf[T]", other))
        return list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def fill(self, value: Iterable[T]) -> None:
        """Append each of ``value``."""
        self.extend(value)

    def to_plain(self) -> list[T]:
        """The items as a list, in order."""
        return list(self)
