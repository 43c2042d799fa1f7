"""Lists and dicts that were read from a field: equal to plain ones, and not to be changed in place.

A register holds a whole value. Changing what was read would change a copy and lose the edit in
silence, so every method that changes raises, and says to assign.
"""

from __future__ import annotations

from typing import Any, NoReturn, cast

from syncline.engine.errors import WrongType


def _raising(kind: str, hint: str) -> Any:
    """A method that raises WrongType, whatever it is called with."""

    def refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
        raise WrongType(
            f"The {kind} in {self.where} cannot be changed in place: the change would be lost.",
            hint=hint,
        )

    return refuse


def _joined(self: Any, other: Any) -> Any:
    return [*self, *other]


def _repeated(self: Any, count: Any) -> Any:
    return list(self) * count


def _merged(self: Any, other: Any) -> Any:
    return {**self, **dict(other)}


class FrozenList(list[Any]):
    """A list of ``where``. ``list(it)``, ``copy()`` and slices are plain lists; nested lists and
    dicts are frozen too. ``+=`` makes a plain list, so ``record.names += ["x"]`` is a write."""

    __slots__ = ("where",)

    def __init__(self, items: list[Any], where: str) -> None:
        super().__init__(items)
        self.where = where

    append = extend = insert = remove = pop = clear = sort = reverse = __setitem__ = __delitem__ = (
        _raising(
            "list",
            "Assign a changed copy, such as [*record.names, 'new'], to the field; list(…) makes "
            "one to work with, and items of a ListOf field are changed one by one.",
        )
    )
    __iadd__: Any = _joined
    __imul__: Any = _repeated

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list(self),)  # copies and pickles are plain


class FrozenDict(dict[str, Any]):
    """A dict of ``where``. ``dict(it)`` and ``copy()`` are plain dicts; nested lists and dicts are
    frozen too. ``|=`` makes a plain dict, so ``record.options |= {"x": 1}`` is a write."""

    __slots__ = ("where",)

    def __init__(self, entries: dict[str, Any], where: str) -> None:
        super().__init__(entries)
        self.where = where

    pop = popitem = clear = update = setdefault = __setitem__ = __delitem__ = _raising(
        "dict",
        "Assign a changed copy, such as {**record.options, 'key': 1}, to the field; dict(…) makes "
        "one to work with, and keys of a MapOf field are changed one by one.",
    )
    __ior__: Any = _merged

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)


def freeze(value: Any, where: str) -> Any:
    """``value``, every list and dict in it frozen; ``where`` names the field in the errors."""
    if isinstance(value, list):
        return FrozenList([freeze(item, where) for item in cast("list[Any]", value)], where)
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return FrozenDict({key: freeze(item, where) for key, item in entries.items()}, where)
    return value


def thaw(value: Any) -> Any:
    """``value`` with plain lists and dicts all through, which the caller may change."""
    if isinstance(value, list):
        return [thaw(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in cast("dict[Any, Any]", value).items()}
    return value
