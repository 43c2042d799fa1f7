"""Edits: one local change of a document, made item by item and written as one update."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from syncline.engine.document.document import Document
from syncline.engine.errors import ValueRefused
from syncline.engine.history.history import Branch, Item
from syncline.engine.history.history_writer import HistoryWriter
from syncline.engine.updates.struct_format import ANY, TYPE

from .items import Items, width
from .place import Place
from .values import check_value, write_any

MAX_DEPTH = 100
"""How deep shared types may nest that are put in from Python, or read as plain values or XML."""


class Draft(Protocol):
    """A shared type that a program has made (shared_type.py)."""

    def check_unplaced(self, where: str) -> None: ...

    def place_at(self, place: Place | None) -> None: ...

    def type_head(self) -> bytes: ...

    def fill_branch(self, edit: Edit, branch: Branch, where: str, depth: int) -> None: ...


class Edit:
    """Puts items in and deletes them; nothing reaches the document before ``finish``."""

    def __init__(self, items: Items, document: Document, place: Place) -> None:
        self.items = items
        self._document = document
        self._place = place
        self._writer = HistoryWriter(*document.next_operation())
        self._placed: list[Draft] = []
        self._unfilled: deque[tuple[Draft, Branch, str, int]] = deque()

    def insert(self, home: Branch, left: Item | None, kind: int, content: Any) -> Item:
        """Put content into a sequence, after ``left``, or first."""
        right = left.right if left else home.start
        clock = self._writer.clock
        struct = self._writer.add(
            kind,
            content,
            home.parent,
            origin=left.last_id if left else None,
            right_origin=right.id if right else None,
        )
        item = self.items.history.add(self._writer.client, clock, struct, home, left)
        self.items.changed(home, None if right else item)
        return item

    def set(self, home: Branch, key: str, kind: int, content: Any) -> Item:
        """Put content under a key, in the place of what was there."""
        old = home.entries.get(key)
        clock = self._writer.clock
        struct = self._writer.add(
            kind, content, home.parent, key=key, origin=old.last_id if old else None
        )
        item = self.items.history.add(self._writer.client, clock, struct, home, old)
        if old is not None:
            self.delete(old)
        return item

    def delete(self, item: Item) -> None:
        if not item.deleted:
            self._writer.delete(item.client, item.clock, item.length)
            item.deleted = True
            if item.key is None:
                self.items.changed(item.home)

    def delete_between(
        self, home: Branch, start: int, stop: int, counted: frozenset[int]
    ) -> Item | None:
        """Delete from ``start`` up to ``stop`` in a sequence; returns the item before."""
        left = self.items.before(home, start, counted)
        self.items.before(home, stop, counted)  # splits there
        item, count = left.right if left else home.start, stop - start
        while count and item is not None:
            wide = width(item, counted)
            if wide:
                self.delete(item)
                count -= wide
            item = item.right
        return left

    def put(self, home: Branch, left: Item | None, value: Any, where: str, depth: int = -1) -> Item:
        """Put a value, or a shared type that is in no document yet, into a sequence. ``depth`` is
        that of ``home``, if it is known."""
        kind, content, shared = _content(value, where)
        item = self.insert(home, left, kind, content)
        self._keep(shared, item, where, depth)
        return item

    def put_under(self, home: Branch, key: str, value: Any, where: str, depth: int = -1) -> None:
        """Put a value, or a shared type that is in no document yet, under a key."""
        kind, content, shared = _content(value, where)
        self._keep(shared, self.set(home, key, kind, content), where, depth)

    def _keep(self, shared: Draft | None, item: Item, where: str, depth: int) -> None:
        if shared is None or item.branch is None or item.home is None:
            return
        depth = (self.items.depth(item.home) if depth < 0 else depth) + 1
        if depth > MAX_DEPTH:
            raise ValueRefused(
                f"{where} would be nested {depth} shared types deep.",
                hint=f"Nest at most {MAX_DEPTH} deep.",
            )
        shared.place_at(self._place.inside(item.id, where))
        self._placed.append(shared)
        self._unfilled.append((shared, item.branch, where, depth))

    def finish(self) -> None:
        """Write it to the document."""
        while self._unfilled:
            shared, branch, where, depth = self._unfilled.popleft()
            shared.fill_branch(self, branch, where, depth)
        update = self._writer.update()
        if update is not None:
            self._document.write(update)

    def abort(self) -> None:
        """Nothing of it was written."""
        self.items.forget()
        for shared in self._placed:
            shared.place_at(None)


def _content(value: Any, where: str) -> tuple[int, Any, Draft | None]:
    if not hasattr(value, "fill_branch"):
        return ANY, [write_any(check_value(value, where))], None
    draft: Draft = value
    draft.check_unplaced(where)
    return TYPE, draft.type_head(), draft
