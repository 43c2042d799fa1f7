"""What lies in a document as plain values: dicts, lists, texts and XML as str."""

from __future__ import annotations

from typing import Any

from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken, LimitExceeded
from syncline.engine.history.history import Branch, Item
from syncline.engine.updates.struct_format import TYPE

from .edit import MAX_DEPTH
from .items import (
    ARRAY_SHAPE,
    MAP_SHAPE,
    TEXT_SHAPE,
    VALUES,
    Items,
    items_of,
    shape_of,
)
from .markup import branch_markup
from .rich_text import content
from .shared_type import plain_value


def document_content(document: Document, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The content of every root by name; equal on equal documents.

    A root is read as what lies in it: a dict, a list, or a str of a text's characters or of XML.
    What is nested deeper than ``max_depth`` shared types reads as None.
    """
    items = items_of(document)
    try:
        history = items.history
    except (DocumentBroken, LimitExceeded):
        return document.to_dict()  # as the library reads it
    found: dict[str, Any] = {}
    for name in sorted(history.roots):
        value = _Plain(items, None, max_depth).branch(history.roots[name], items.kind(name))
        if value:
            found[name] = value
    return found


def plain_branch(
    items: Items, branch: Branch, shape: int, where: str, max_depth: int = MAX_DEPTH
) -> Any:
    """A shared type as plain values. Raises LimitExceeded."""
    return _Plain(items, where, max_depth).branch(branch, shape)


def plain_item(items: Items, item: Item, offset: int, where: str) -> Any:
    """One value in a shared type as plain values. Raises LimitExceeded."""
    return _Plain(items, where, MAX_DEPTH).item(item, offset, 0)


class _Plain:
    """Reads shared types; ``where`` names what is read in the error about what is nested too deep,
    None for reading that as None."""

    def __init__(self, items: Items, where: str | None, max_depth: int) -> None:
        self._items = items
        self._where = where
        self._max_depth = max_depth

    def branch(self, branch: Branch, shape: int, depth: int = 0) -> Any:
        if depth > self._max_depth:
            return self._too_deep()
        if shape == MAP_SHAPE:
            return {
                key: self.item(item, -1, depth)
                for key in sorted(branch.entries)
                if (item := branch.entry(key)) is not None
            }
        if shape == ARRAY_SHAPE:
            return [
                self.item(item, offset, depth) for item, offset in self._items.atoms(branch, VALUES)
            ]
        if shape == TEXT_SHAPE:
            return content(branch)
        try:
            return branch_markup(self._items, branch, self._where or "", self._max_depth - depth)
        except LimitExceeded:
            return self._too_deep()

    def item(self, item: Item, offset: int, depth: int) -> Any:
        if item.kind == TYPE and item.branch is not None:
            return self.branch(item.branch, shape_of(item), depth + 1)
        return plain_value(item, offset)

    def _too_deep(self) -> None:
        if self._where is not None:
            raise too_deep(self._where, self._max_depth)


def too_deep(where: str, allowed: int) -> LimitExceeded:
    return LimitExceeded(
        f"{where} nests shared types deeper than {allowed} levels.",
        hint="Read it level by level.",
    )
