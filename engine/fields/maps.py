"""MapOf: a dict from str to values; each key merges by itself, the newest write wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, Self, TypeVar, cast

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.frozen import thaw
from syncline.engine.errors import ValueRefused

from .base import FieldView, check_str_key
from .text import check_text

V = TypeVar("V")

MAX_KEY = 512
"""Longest key, in code points."""


class MapOf(FieldView, Generic[V]):
    """A dict with string keys. Iteration is in the order of the keys.

    ``labels[key]``, ``labels[key] = value``, ``del labels[key]``, ``in``, ``len``, ``==`` and
    ``for`` do what they do with a ``dict``; a key that is not there raises KeyError. A key has at
    most 512 code points. What cannot be stored raises WrongType or ValueRefused.

    Layout: the root map ``map:<field>`` holds a cell (cells.py) for each key and writer. Deleting
    removes the cells that were seen, so a value set at the same time elsewhere stays.
    """

    kind = "map"

    def _cells(self) -> Cells:
        return cells_of(self._host.document(), self._root)

    def _check_key(self, key: object) -> str:
        key = check_str_key(self._where, key)
        check_text(key, f"A key of {self._where}")
        if len(key) > MAX_KEY:
            raise ValueRefused(
                f"A key of {self._where} has {len(key):,} characters.",
                hint=f"Keys have at most {MAX_KEY} characters.",
            )
        return key

    def __setitem__(self, key: str, value: V) -> None:
        self.update({key: value})

    def update(self, entries: Mapping[str, V]) -> None:
        """Set each of ``entries``, in one change; nothing if one is refused."""
        encoded = {
            self._check_key(key): self._item.encode(value, f"{self._where}[{key!r}]")
            for key, value in entries.items()
        }
        if not encoded:
            return
        with self._host.writing() as document:
            cells = cells_of(document, self._root)
            for key, value in encoded.items():
                cells.write(key, value, self._host.tick(cells.stamp(key)))

    def __ior__(self, entries: Mapping[str, V]) -> Self:
        self.update(entries)
        return self

    def __getitem__(self, key: str) -> V:
        cell = self._cells().newest(check_str_key(self._where, key))
        if cell is None:
            raise KeyError(key)
        return cast("V", self._item.restore(cell.value))

    def get(self, key: str, default: V | None = None) -> V | None:
        """The value of ``key``, or ``default``."""
        return self[key] if key in self else default  # noqa: SIM401  # this is what get() is

    def __delitem__(self, key: str) -> None:
        if check_str_key(self._where, key) not in self:
            raise KeyError(key)
        with self._host.writing() as document:
            cells_of(document, self._root).remove(key)

    def pop(self, key: str, *default: V) -> V:
        """Remove ``key`` and return its value; ``default``, if given, where it is not there. Raises
        KeyError."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove every key that is there."""
        if self:
            with self._host.writing() as document:
                cells = cells_of(document, self._root)
                for key in cells.names():
                    cells.remove(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._cells()

    def __iter__(self) -> Iterator[str]:
        cells = self._cells()
        return iter(cells.derive(lambda: sorted(cells.names())))

    def keys(self) -> list[str]:
        """The keys, in order."""
        return list(self)

    def values(self) -> list[V]:
        """The values, in the order of the keys."""
        return [self[key] for key in self]

    def items(self) -> Iterator[tuple[str, V]]:
        """(key, value) in the order of the keys."""
        return ((key, self[key]) for key in self)

    def __len__(self) -> int:
        return len(self._cells())

    def __bool__(self) -> bool:
        return len(self) > 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MapOf):
            return self.to_plain() == cast("MapOf[V]", other).to_plain()
        return self.to_plain() == other

    __hash__ = None  # type: ignore[assignment]

    def fill(self, value: Mapping[str, V]) -> None:
        """Set each key of ``value``."""
        self.update(value)

    def to_plain(self) -> dict[str, V]:
        """The content as a dict, in the order of the keys."""
        return cast("dict[str, V]", thaw(dict(self.items())))
