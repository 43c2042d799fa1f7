"""Y.Array: a list that several people edit at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from syncline.engine.fields.base import check_index, index_in
from syncline.engine.history.history import Branch, Item

from .content import plain_branch, plain_item
from .edit import Edit
from .items import ARRAY_SHAPE, VALUES
from .shared_type import Shared


class SharedArray(Shared):
    """A Y.Array: a list; values as in SharedMap.

    ``SharedArray([…])`` makes one to put into a map, an array or a text.
    """

    shape = ARRAY_SHAPE

    def __init__(self, initial: Iterable[Any] = ()) -> None:
        self._initial = list(initial)

    def insert(self, index: int, value: Any) -> None:
        """Insert before ``index``; like ``list.insert``, an index beyond an end means that end."""
        length = len(self)
        check_index(self.where, index)
        index = max(0, index + length) if index < 0 else min(index, length)
        with self.editing() as (edit, branch):
            left = edit.items.before(branch, index, VALUES)
            edit.put(branch, left, value, f"{self.where}[{index}]")

    def append(self, value: Any) -> None:
        """Insert at the end."""
        self.extend([value])

    def extend(self, values: Iterable[Any]) -> None:
        """Insert all of these at the end, as one change."""
        values = list(values)
        where = f"an item of {self.where}"
        if values:
            with self.editing() as (edit, branch):
                left = edit.items.end(branch)
                for value in values:
                    left = edit.put(branch, left, value, where)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        items, branch = self.found()
        if isinstance(index, int) and index < 0:
            found = items.from_end(branch, index, VALUES)
            if found is not None:
                return self._read(*found, index)
        atoms = items.atoms(branch, VALUES)
        if isinstance(index, slice):
            return [self._read(*atoms[place], place) for place in range(len(atoms))[index]]
        place = index_in(self.where, len(atoms), index)
        return self._read(*atoms[place], place)

    def _read(self, item: Item, offset: int, index: int) -> Any:
        return self.value(item, offset, f"{self.where}[{index}]")

    def __setitem__(self, index: int, value: Any) -> None:
        """Delete the item at ``index`` and insert another one there. Raises OutOfRange."""
        index = index_in(self.where, len(self), index)
        with self.editing() as (edit, branch):
            left = edit.delete_between(branch, index, index + 1, VALUES)
            edit.put(branch, left, value, f"{self.where}[{index}]")

    def __delitem__(self, index: int | slice) -> None:
        self.delete_neighbours(index, len(self), VALUES)

    def pop(self, index: int = -1) -> Any:
        """Remove the item at ``index`` and return it, a shared type as plain values. Raises
        OutOfRange."""
        items, branch = self.found()
        atoms = items.atoms(branch, VALUES)
        place = index_in(self.where, len(atoms), index)
        value = plain_item(items, *atoms[place], f"{self.where}[{place}]")
        del self[place]
        return value

    def clear(self) -> None:
        """Remove all items."""
        del self[:]

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __contains__(self, value: object) -> bool:
        return any(value == item for item in self)

    def __len__(self) -> int:
        items, branch = self.found()
        return len(items.atoms(branch, VALUES))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SharedArray):
            return self.to_plain() == other.to_plain()
        return isinstance(other, list) and self.to_plain() == other

    __hash__ = None  # type: ignore[assignment]

    def to_plain(self) -> list[Any]:
        """The content as a list: shared types in it as plain values too, texts and XML as str.
        Raises LimitExceeded if they nest deeper than 100."""
        items, branch = self.found()
        found: list[Any] = plain_branch(items, branch, self.shape, self.where)
        return found

    def fill_branch(self, edit: Edit, branch: Branch, where: str, depth: int) -> None:
        """Put in what it was made with."""
        left: Item | None = None
        for index, value in enumerate(self._initial):
            left = edit.put(branch, left, value, f"{where}[{index}]", depth)

    def __repr__(self) -> str:
        if self._place is None:
            return f"<SharedArray in no document: {self._initial!r}>"
        return f"<SharedArray {self.where}: {self.to_plain()!r}>"
