"""Plain Yjs types of a document without a schema, as editors use them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast, overload

from syncline.engine.document.frozen import freeze, thaw
from syncline.engine.document.roots import ArrayRoot, MapRoot
from syncline.engine.errors import ValueRefused

from .base import Host, check_index, check_str_key, index_in
from .text import Text, check_text

_EXACT_INT = (1 << 53) - 1
_MAX_DEPTH = 32


class SharedText(Text):
    """A Y.Text root under its own name. It is used as a Text is."""

    def __init__(self, host: Host, owner: str, name: str) -> None:
        self._host = host
        self._where = f"{owner}:{name}"
        self._root = name


class SharedMap:
    """A Y.Map root: a dict whose concurrent writes of one key resolve as Yjs does it, by client id.

    Values are what JSON and JavaScript have: None, bool, numbers, str, lists and dicts. A whole
    number reads as an int, because JavaScript does not tell 1 from 1.0. Anything else raises
    ValueRefused; a key that is not there raises KeyError.
    """

    def __init__(self, host: Host, owner: str, name: str) -> None:
        self._host = host
        self._where = f"{owner}:{name}"
        self._root = name

    def _map(self) -> MapRoot:
        return self._host.document().map(self._root)

    def __getitem__(self, key: str) -> Any:
        value = self._map().items()[check_str_key(self._where, key)]
        return freeze(_natural(value), f"{self._where}[{key!r}]")

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        return self[key] if key in self else default  # noqa: SIM401  # this is what get() is

    def __setitem__(self, key: str, value: Any) -> None:
        where = f"{self._where}[{key!r}]"
        check_text(key, f"A key of {self._where}")
        plain = _checked(value, where, 0)
        with self._host.writing() as document:
            document.map(self._root).set(key, plain)

    def __delitem__(self, key: str) -> None:
        if check_str_key(self._where, key) not in self:
            raise KeyError(key)
        with self._host.writing() as document:
            document.map(self._root).delete(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._map().items()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._map().items()))

    def __len__(self) -> int:
        return len(self._map().items())

    def to_plain(self) -> dict[str, Any]:
        """The content as a dict."""
        return {key: thaw(self[key]) for key in self}

    def __repr__(self) -> str:
        return f"<SharedMap {self._where}: {self.to_plain()!r}>"


class SharedArray:
    """A Y.Array root: a list; values as in SharedMap."""

    def __init__(self, host: Host, owner: str, name: str) -> None:
        self._host = host
        self._where = f"{owner}:{name}"
        self._root = name

    def _array(self) -> ArrayRoot:
        return self._host.document().array(self._root)

    def insert(self, index: int, value: Any) -> None:
        """Insert before ``index``; like ``list.insert``, an index beyond an end means that end."""
        length = len(self)
        check_index(self._where, index)
        index = max(0, index + length) if index < 0 else min(index, length)
        plain = _checked(value, f"{self._where}[{index}]", 0)
        with self._host.writing() as document:
            document.array(self._root).insert(index, plain)

    def append(self, value: Any) -> None:
        """Insert at the end."""
        self.insert(len(self), value)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        array = self._array()
        if isinstance(index, slice):
            return [self._read(item) for item in array.items()[index]]
        return self._read(array.get(index_in(self._where, array.length(), index)))

    def _read(self, item: Any) -> Any:
        return freeze(_natural(item), f"an item of {self._where}")

    def __delitem__(self, index: int) -> None:
        index = index_in(self._where, len(self), index)
        with self._host.writing() as document:
            document.array(self._root).delete(index)

    def pop(self, index: int = -1) -> Any:
        """Remove the item at ``index`` and return it. Raises OutOfRange."""
        value = self[index]
        del self[index]
        return value

    def __iter__(self) -> Iterator[Any]:
        return iter([self._read(item) for item in self._array().items()])

    def __len__(self) -> int:
        return self._array().length()

    def to_plain(self) -> list[Any]:
        """The content as a list."""
        return cast("list[Any]", thaw(list(self)))

    def __repr__(self) -> str:
        return f"<SharedArray {self._where}: {self.to_plain()!r}>"


def _natural(value: Any) -> Any:
    """What Yjs stored, with whole numbers as ints."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_INT:
        return int(value)
    if isinstance(value, list):
        return [_natural(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _natural(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


def _checked(value: Any, where: str, depth: int) -> Any:
    """``value``, if Yjs stores it as it is. Raises ValueRefused."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_text(value, where)
        return value
    if type(value) is int and abs(value) <= _EXACT_INT:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if depth < _MAX_DEPTH and isinstance(value, list):
        return [_checked(item, where, depth + 1) for item in cast("list[Any]", value)]
    if depth < _MAX_DEPTH and isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        for key in entries:
            check_text(key, f"A key of {where}")
        return {key: _checked(item, where, depth + 1) for key, item in entries.items()}
    raise ValueRefused(
        f"{where} cannot store {value!r:.60} of type {type(value).__qualname__}.",
        hint="A document without a schema holds what JSON holds: None, bool, str, finite numbers "
        f"up to 2^53-1, lists and dicts nested at most {_MAX_DEPTH} deep. Records hold more types.",
    )
