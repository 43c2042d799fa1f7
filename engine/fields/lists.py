"""ListOf: an ordered list whose items move, concurrently, without doubling."""

from __future__ import annotations

import operator
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Self, SupportsIndex, TypeVar, cast, overload

from syncline.engine.document.document import Document
from syncline.engine.errors import WrongType

from .base import FieldView, index_in
from .list_edit import ListEdit
from .list_index import ListIndex, list_index
from .list_layout import ARRAY
from .list_place import Place

T = TypeVar("T")


class ListOf(FieldView, Generic[T]):
    """A list of values with stable identities.

    ``items[0]``, ``items[0] = value``, ``del items[0]``, the slices ``items[1:3]`` and
    ``del items[1:3]``, ``in``, ``len``, ``==`` and ``for`` do what they do with a ``list``. An
    index beyond the ends raises OutOfRange, one that is no int WrongType.

    Layout: the root array ``items:<field>`` holds an element for each item, its id and the value
    that it was inserted with, and the root map ``list:<field>`` holds registers of those items only
    that were moved or assigned since. A move is a write of a register, so concurrent moves of one
    item leave it once, where the newest put it (Kleppmann, "Moving Elements in List CRDTs", 2020).
    Removing an item beats a concurrent move, and yields to a concurrent assignment.
    list_index.py says how order comes about. Looking up, inserting, moving and removing one item
    cost the logarithm of the length; the first use of a list in a document reads all of it.
    """

    kind = "list"

    def _items(self) -> ListIndex:
        return list_index(self._host.document(), self._array_root, self._root)

    @property
    def _array_root(self) -> str:
        return f"{ARRAY}:{self._root.removeprefix(f'{self.kind}:')}"

    @contextmanager
    def _editing(self) -> Generator[ListEdit]:
        with self._host.writing() as document:
            edit = self._edit(document)
            yield edit
            edit.done()

    def _edit(self, document: Document) -> ListEdit:
        index = list_index(document, self._array_root, self._root)
        return ListEdit(document, index, document.array(self._array_root), self._host.tick)

    def _settled(self) -> ListIndex:
        """The items, after what fell back on other homes has been written where it stands."""
        items = self._items()
        if items.fallen():
            with self._host.writing() as document:
                edit = self._edit(document)
                edit.settle()
                edit.done()
            items = self._items()
        return items

    def _index(self, index: object, length: int) -> int:
        if not isinstance(index, SupportsIndex):
            raise WrongType(
                f"An index of {self._where} must be an int, not {type(index).__qualname__}.",
                hint="Items are replaced one by one: items[0] = value.",
            )
        return index_in(self._where, length, operator.index(index))

    def insert(self, index: int, value: T) -> None:
        """Insert before ``index``; like ``list.insert``, an index beyond an end means that end.
        Raises WrongType, ValueRefused."""
        self._insert_all(index, [value])

    def append(self, value: T) -> None:
        """Insert at the end. Raises WrongType, ValueRefused."""
        self.extend([value])

    def extend(self, values: Iterable[T]) -> None:
        """Append each of ``values``, or none if one is refused. Raises WrongType, ValueRefused."""
        self._insert_all(len(self), values)

    def _insert_all(self, index: int, values: Iterable[T]) -> None:
        encoded = [self._item.encode(value, self._where) for value in values]
        length = len(self._settled())
        index = max(0, index + length) if index < 0 else min(index, length)
        if encoded:
            with self._editing() as edit:
                edit.insert(index, encoded)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return list(self)[index]
        items = self._items()
        return self._value(items, items.at(self._index(index, len(items))))

    def _value(self, items: ListIndex, place: Place) -> T:
        return cast("T", self._item.restore(items.value(place)))

    def __setitem__(self, index: int, value: T) -> None:
        items = self._settled()
        place = items.at(self._index(index, len(items)))
        encoded = self._item.encode(value, f"{self._where}[{index}]")
        with self._editing() as edit:
            edit.assign(place, encoded, self._host.tick(items.value_stamp(place)))

    def __delitem__(self, index: int | slice) -> None:
        items = self._settled()
        if isinstance(index, slice):
            places = list(items)[index]
        else:
            places = [items.at(self._index(index, len(items)))]
        if places:
            with self._editing() as edit:
                for place in places:
                    edit.remove(place)

    def clear(self) -> None:
        """Remove every item."""
        del self[:]

    def index(self, value: object) -> int:
        """The index of the first item that equals ``value``. Raises ValueError, as a list does."""
        return list(self).index(cast("T", value))

    def remove(self, value: object) -> None:
        """Remove the first item that equals ``value``. Raises ValueError, as a list does."""
        del self[self.index(value)]

    def __iadd__(self, values: Iterable[T]) -> Self:
        self.extend(values)
        return self

    def pop(self, index: int = -1) -> T:
        """Remove the item at ``index`` and return its value. Raises OutOfRange."""
        value = self[index]
        del self[index]
        return value

    def move(self, from_index: int, to_index: int) -> None:
        """Move the item at ``from_index`` so that it stands at ``to_index``. Raises OutOfRange."""
        items = self._settled()
        from_index = self._index(from_index, len(items))
        to_index = self._index(to_index, len(items))
        if from_index == to_index:
            return
        place = items.at(from_index)
        with self._editing() as edit:
            edit.move(place, to_index, self._host.tick(items.position_stamp(place.key)))

    def __iter__(self) -> Iterator[T]:
        items = self._items()
        return iter([self._value(items, place) for place in items])

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
