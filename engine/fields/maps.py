"""MapOf: a dict from str to values; each key merges by itself, the newest write wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, cast

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.errors import ValueRefused, WrongType

from .base import FieldView
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
        if not isinstance(key, str):
            raise WrongType(
                f"A key of {self._where} must be str, not {type(key).__qualname__}.",
                hint="Convert the key with str() first.",
            )
        check_text(key, f"A key of {self._where}")
        if len(key) > MAX_KEY:
            raise ValueRefused(
                f"A key of {self._where} has {len(key):,} characters.",
                hint=f"Keys have at most {MAX_KEY} characters.",
            )
        return key

    def __setitem__(self, key: str, value: V) -> None:
        self._check_key(key)
        encoded = self._item.encode(value, f"{self._where}[{key!r}]")
        with self._host.writing() as document:
            cells_of(document, self._root).write(
                key, encoded, self._host.tick(self._cells().stamp(key))
            )

    def __getitem__(self, key: str) -> V:
        cell = self._cells().newest(key)
        if cell is None:
            raise KeyError(key)
        return cast("V", self._item.restore(cell.value))

    def get(self, key: str, default: V | None = None) -> V | None:
        """The value of ``key``, or ``default``."""
        return self[key] if key in self else default  # noqa: SIM401  # this is what get() is

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        with self._host.writing() as document:
            cells_of(document, self._root).remove(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._cells()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._cells().names()))

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
        for key, item in value.items():
            self[key] = item

    def to_plain(self) -> dict[str, V]:
        """The content as a dict, in the order of the keys."""
        return dict(self.items())
