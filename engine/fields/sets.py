"""SetOf: concurrent add and remove of one element: the add wins."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Set
from typing import Generic, Self, TypeVar, cast

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.values import decode_value, encode_value

from .base import FieldView

T = TypeVar("T")


class _Elements:
    """The elements of one root, in order and kept current: an add does not sort them all again."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._stamps: dict[str, int] = {}
        self._order: list[tuple[int, str]] = []
        cells.follow()
        self._read(set(cells.names()))

    def _read(self, names: set[str]) -> None:
        one_by_one = len(names) < len(self._order) // 8
        for name in names:
            before = self._stamps.pop(name, None)
            if before is not None and one_by_one:
                del self._order[bisect_left(self._order, (before, name))]
            if name in self._cells and _is_element(name):
                stamp = self._stamps[name] = self._cells.siblings(name)[-1].stamp
                if one_by_one:
                    insort(self._order, (stamp, name))
        if names and not one_by_one:
            self._order = sorted((stamp, name) for name, stamp in self._stamps.items())

    def names(self) -> Iterator[str]:
        self._read(self._cells.take_news())
        return (name for _, name in self._order)

    def __len__(self) -> int:
        self._read(self._cells.take_news())
        return len(self._order)


class SetOf(FieldView, Generic[T]):
    """A set of values. Iteration is in the order of first addition by time, equal on equal
    replicas. ``in``, ``len``, ``==`` and ``for`` do what they do with a ``set``.

    Layout: the root map ``set:<field>`` holds a cell (cells.py) for each element and writer that
    added it; the name is the element as an exact value, the value is null. Removing deletes the
    cells that were seen, so an add that was not seen stays: the observed-remove set of Shapiro et
    al., 2011.
    """

    kind = "set"

    def _cells(self) -> Cells:
        return cells_of(self._host.document(), self._root)

    def _encode(self, element: object) -> str:
        return self._item.encode(element, self._where).decode()

    def add(self, element: T) -> None:
        """Add ``element``; of no effect locally if it is there, but it still outlives a removal
        that another device makes at the same time. Raises WrongType, ValueRefused."""
        self.update((element,))

    def update(self, elements: Iterable[T]) -> None:
        """Add each of ``elements``, in one change; none if one is refused. Raises WrongType,
        ValueRefused."""
        encoded = dict.fromkeys(map(self._encode, elements))
        if not encoded:
            return
        with self._host.writing() as document:
            cells = cells_of(document, self._root)
            for element in encoded:
                present = cells.siblings(element)
                # Adding again keeps the element's time, and with it its place in the iteration.
                stamp = present[-1].stamp if present else self._host.tick()
                cells.write(element, b"null", stamp)

    def __ior__(self, elements: Set[T]) -> Self:
        self.update(elements)
        return self

    def discard(self, element: T) -> None:
        """Remove ``element`` if it is there. Raises WrongType, ValueRefused."""
        self.difference_update((element,))

    def remove(self, element: T) -> None:
        """Remove ``element``. Raises KeyError if it is not there."""
        if element not in self:
            raise KeyError(element)
        self.discard(element)

    def difference_update(self, elements: Iterable[T]) -> None:
        """Remove each of ``elements`` that is there, in one change."""
        self._remove(dict.fromkeys(map(self._encode, elements)))

    def __isub__(self, elements: Set[T]) -> Self:
        self.difference_update(elements)
        return self

    def clear(self) -> None:
        """Remove every element that is there."""
        self._remove(self._names().names())

    def _remove(self, encoded: Iterable[str]) -> None:
        present = [element for element in encoded if element in self._cells()]
        if present:
            with self._host.writing() as document:
                cells = cells_of(document, self._root)
                for element in present:
                    cells.remove(element)

    def __contains__(self, element: object) -> bool:
        return self._encode(element) in self._cells()

    def _names(self) -> _Elements:
        """The elements in the order of iteration."""
        document = self._host.document()
        name = f"elements of {self._root}"
        elements = document.attachments.get(name)
        if elements is None:
            elements = document.attachments[name] = _Elements(self._cells())
        return cast("_Elements", elements)

    def __iter__(self) -> Iterator[T]:
        return iter([cast("T", self._item.decode(name)) for name in self._names().names()])

    def __len__(self) -> int:
        return len(self._names())

    def __bool__(self) -> bool:
        return len(self) > 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SetOf):
            return set(self) == set(cast("SetOf[T]", other))
        return isinstance(other, set | frozenset) and set(self) == other

    __hash__ = None  # type: ignore[assignment]

    def fill(self, value: Iterable[T]) -> None:
        """Add each of ``value``."""
        self.update(value)

    def to_plain(self) -> list[T]:
        """The elements as a list, in the order of iteration."""
        return list(self)


def _is_element(name: str) -> bool:
    """Whether ``name`` is of this layout: the one encoding of a value."""
    try:
        return encode_value(decode_value(name), where="").decode() == name
    except ValueError:
        return False
