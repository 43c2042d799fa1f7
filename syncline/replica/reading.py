"""Reading many: what a query finds, from its table, page by page and without a document.

Without an order a page is a stretch of the table's key. With one, the keys are read in their order
first, and then the rows of a page of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from sqlalchemy import ColumnElement, Select, select

if TYPE_CHECKING:
    from .local.workspace import Workspace

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]

PAGE = 1000
"""Rows that one SELECT reads."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is read: ``columns`` of the rows that meet ``criteria``, in ``order`` and then by
    ``key``, at most ``limit`` after the first ``offset``."""

    key: ColumnElement[str]
    columns: tuple[ColumnElement[Any], ...]
    criteria: tuple[ColumnElement[bool], ...] = ()
    order: tuple[ColumnElement[Any], ...] = ()
    limit: int | None = None
    offset: int = 0

    def keys(self) -> Select[str]:
        """All keys, in order."""
        statement = select(self.key).where(*self.criteria).order_by(*self.order, self.key)
        return statement.limit(self.limit).offset(self.offset or None)


class _Pages:
    """The statements that read a selection, each made from what the one before it found."""

    def __init__(self, selection: Selection, size: int) -> None:
        self._selection = selection
        self._size = size
        self._keys: list[str] | None = None  # in order, and not read yet
        self._after: str | None = None
        self._left = selection.limit
        self._done = False

    def next(self) -> Select[*tuple[Any, ...]] | None:
        """The statement to execute now, whose rows go to ``take``; None after the last."""
        wanted = self._selection
        if self._done or self._left == 0:
            return None
        if wanted.order and self._keys is None:
            return wanted.keys()
        rows = select(wanted.key, *wanted.columns).where(*wanted.criteria)
        if self._keys is not None:
            return rows.where(wanted.key.in_(self._keys[: self._size]))
        rows = rows.order_by(wanted.key)
        if self._after is None:
            rows = rows.offset(wanted.offset or None)
        else:
            rows = rows.where(wanted.key > self._after)
        return rows.limit(self._size if self._left is None else min(self._size, self._left))

    def take(self, found: list[Row]) -> list[Row]:
        """The next rows of the selection, each the key and its columns."""
        wanted = self._selection
        if wanted.order and self._keys is None:
            self._keys = [row[0] for row in found]
            self._done = not self._keys
            return []
        if self._keys is not None:
            by_key = {row[0]: row for row in found}
            some, self._keys = self._keys[: self._size], self._keys[self._size :]
            self._done = not self._keys
            return [by_key[key] for key in some if key in by_key]
        if self._left is not None:
            self._left -= len(found)
        self._done = len(found) < self._size
        if found:
            self._after = found[-1][0]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Reading(Generic[T]):
    """What a query reads, for ``for`` and for ``async for``; each time anew.

    It sees every change that the program made before the loop began. What changes while it runs
    may be in a later page, or not; a row that is gone by then is left out. ``for`` blocks for the
    time of one SELECT at each page; ``async for`` has the store's thread do it, and lets the event
    loop turn at each page. Raises what a query does.
    """

    _workspace: Workspace
    _selection: Selection
    _make: Callable[[Row], T]
    _size: int = PAGE

    def __iter__(self) -> Iterator[T]:
        workspace, pages = self._workspace, _Pages(self._selection, self._size)
        workspace.begin_query()
        workspace.journal.save()
        while (statement := pages.next()) is not None:
            workspace.owner.check()
            for row in pages.take(workspace.store.select(statement)):
                yield self._make(row)

    async def __aiter__(self) -> AsyncIterator[T]:
        workspace, pages = self._workspace, _Pages(self._selection, self._size)
        workspace.begin_query()
        await workspace.journal.flushed()
        while (statement := pages.next()) is not None:
            workspace.owner.check()
            found = await workspace.store_thread(workspace.store.select, statement)
            for row in pages.take(found):
                yield self._make(row)
