"""Y.Map: a dict that several people edit at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from syncline.engine.fields.base import check_str_key
from syncline.engine.fields.text import check_text
from syncline.engine.history.history import Branch

from .content import plain_branch
from .edit import Edit
from .items import MAP_SHAPE
from .shared_type import Shared


class SharedMap(Shared, MutableMapping[str, Any]):
    """A Y.Map: a dict whose concurrent writes of one key resolve as Yjs does it, by client id.

    Values are what JSON and JavaScript have: None, bool, numbers, str, lists and dicts; each is
    written whole, and what was read of it is frozen. A whole number reads as an int, because
    JavaScript does not tell 1 from 1.0. A SharedMap, SharedArray, SharedText or XML node as a value
    is edited by several people at once, too: assign a new one, and read it as a live object.
    Anything else raises ValueRefused; a key that is not there raises KeyError.

    ``SharedMap({…})`` makes one to put into a map, an array or a text.
    """

    shape = MAP_SHAPE

    def __init__(self, initial: Mapping[str, Any] | None = None) -> None:
        self._initial = dict(initial or {})

    def __getitem__(self, key: str) -> Any:
        _, branch = self.found()
        item = branch.entry(check_str_key(self.where, key))
        if item is None:
            raise KeyError(key)
        return self.value(item, -1, f"{self.where}[{key!r}]")

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        return self[key] if key in self else default  # noqa: SIM401  # this is what get() is

    def __setitem__(self, key: str, value: Any) -> None:
        check_text(key, f"A key of {self.where}")
        with self.editing() as (edit, branch):
            edit.put_under(branch, key, value, f"{self.where}[{key!r}]")

    def __delitem__(self, key: str) -> None:
        if check_str_key(self.where, key) not in self:
            raise KeyError(key)
        with self.editing() as (edit, branch):
            item = branch.entry(key)
            if item is not None:
                edit.delete(item)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.found()[1].entry(key) is not None

    def __iter__(self) -> Iterator[str]:
        _, branch = self.found()
        return iter(sorted(key for key in branch.entries if branch.entry(key)))

    def __len__(self) -> int:
        _, branch = self.found()
        return sum(1 for key in branch.entries if branch.entry(key))

    def to_plain(self) -> dict[str, Any]:
        """The content as a dict: shared types in it as plain values too, texts and XML as str.
        Raises LimitExceeded if they nest deeper than 100."""
        items, branch = self.found()
        found: dict[str, Any] = plain_branch(items, branch, self.shape, self.where)
        return found

    def fill_branch(self, edit: Edit, branch: Branch, where: str, depth: int) -> None:
        """Put in what it was made with."""
        for key, value in self._initial.items():
            check_text(key, f"A key of {where}")
            edit.put_under(branch, key, value, f"{where}[{key!r}]", depth)

    def __repr__(self) -> str:
        if self._place is None:
            return f"<SharedMap in no document: {self._initial!r}>"
        return f"<SharedMap {self.where}: {self.to_plain()!r}>"
