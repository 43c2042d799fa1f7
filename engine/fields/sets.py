"""SetOf: concurrent add and remove of one element: the add wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar, cast

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.values import decode_value, encode_value

from .base import FieldView

T = TypeVar("T")


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
        encoded = self._encode(element)
        with self._host.writing() as document:
            cells = cells_of(document, self._root)
            present = cells.siblings(encoded)
            # Adding again keeps the element's time, and with it its place in the iteration.
            stamp = present[-1].stamp if present else self._host.tick()
            cells.write(encoded, b"null", stamp)

    def discard(self, element: T) -> None:
        """Remove ``element`` if it is there. Raises WrongType, ValueRefused."""
        encoded = self._encode(element)
        if encoded in self._cells():
            with self._host.writing() as document:
                cells_of(document, self._root).remove(encoded)

    def __contains__(self, element: object) -> bool:
        return self._encode(element) in self._cells()

    def _names(self) -> list[str]:
        """The elements in the order of iteration."""
        cells = self._cells()
        return cells.derive(
            lambda: sorted(
                filter(_is_element, cells.names()),
                key=lambda name: (cells.siblings(name)[-1].stamp, name),
            )
        )

    def __iter__(self) -> Iterator[T]:
        return iter([cast("T", self._item.decode(name)) for name in self._names()])

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
        for element in value:
            self.add(element)

    def to_plain(self) -> list[T]:
        """The elements as a list, in the order of iteration."""
        return list(self)


def _is_element(name: str) -> bool:
    """Whether ``name`` is of this layout: the one encoding of a value."""
    try:
        return encode_value(decode_value(name), where="").decode() == name
    except ValueError:
        return False
