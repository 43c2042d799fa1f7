"""Formatted text: edits of a sequence of characters, embedded objects and marks.

A mark says that from here on a format has a value, or none. Where edits put marks, and which they
leave out, is as in Yjs (src/types/YText.js), so that what one writes the other goes on with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from syncline.engine.history.history import Branch, Item
from syncline.engine.updates.struct_format import EMBED, FORMAT, STRING, TYPE

from .edit import Edit
from .items import TEXT, Items, width
from .values import read_format, same_json, write_format, write_json

EMBEDDED = "\ufffc"
"""What an embedded object reads as where only characters can stand."""


class Run(NamedTuple):
    """Characters of one format, or one embedded object; ``item`` is that of an object."""

    text: str
    item: Item | None
    formats: dict[str, Any]


def runs(branch: Branch) -> Iterator[Run]:
    """What a text shows, from start to end."""
    formats: dict[str, Any] = {}
    text: list[str] = []
    formatted: dict[str, Any] = {}  # how that text is
    for item in branch.items():
        if item.deleted:
            continue
        if item.kind == FORMAT:
            key, value = read_format(item.content)
            formats = {**formats, key: value}
            if value is None:
                del formats[key]
        elif item.kind == STRING:
            if text and not same_json(formatted, formats):
                yield Run("".join(text), None, formatted)
                text = []
            text.append(item.content)
            formatted = formats
        elif item.kind in (EMBED, TYPE):
            if text:
                yield Run("".join(text), None, formatted)
                text = []
            yield Run(EMBEDDED, item, formats)
    if text:
        yield Run("".join(text), None, formatted)


def content(branch: Branch) -> str:
    """The characters of a text, embedded objects as U+FFFC."""
    return "".join(
        item.content if item.kind == STRING else EMBEDDED
        for item in branch.items()
        if width(item, TEXT)
    )


class Cursor:
    """A place in a text: goes forward, and edits what comes next."""

    def __init__(self, edit: Edit, branch: Branch) -> None:
        self._edit = edit
        self._items: Items = edit.items
        self._branch = branch
        self._left: Item | None = None
        self._formats: dict[str, Any] = {}

    @property
    def _right(self) -> Item | None:
        return self._left.right if self._left else self._branch.start

    def _step(self) -> None:
        item = self._right
        if item is None:
            return
        if item.kind == FORMAT and not item.deleted:
            self._mark(*read_format(item.content))
        self._left = item

    def _mark(self, key: str, value: Any) -> None:
        if value is None:
            self._formats.pop(key, None)
        else:
            self._formats[key] = value

    def _pieces(self, count: int) -> Iterator[tuple[Item, int]]:
        """The items of the next ``count`` characters, each with how many of them it holds, and cut
        where they end. Whoever takes one goes on behind it before the next."""
        while count and (item := self._right) is not None:
            wide = width(item, TEXT)
            if wide > count:
                self._items.split(item, count)
                wide = count
            count -= wide
            yield item, wide

    def advance(self, count: int) -> None:
        """Go forward by so many characters."""
        for _ in self._pieces(count):
            self._step()

    def insert(self, text: str, formats: dict[str, Any] | None) -> None:
        """Insert characters; None: in the format that is here."""
        self._insert(STRING, text, formats)

    def insert_embed(self, embed: Any, formats: dict[str, Any] | None) -> None:
        """Insert an object; a shared type goes in by ``put``."""
        self._insert(EMBED, write_json(embed), formats)

    def put(self, shared: Any, formats: dict[str, Any] | None, where: str) -> None:
        """Insert a shared type."""
        closing = self._open(formats)
        self._left = self._edit.put(self._branch, self._left, shared, where)
        self._close(closing)

    def _insert(self, kind: int, data: Any, formats: dict[str, Any] | None) -> None:
        closing = self._open(formats)
        self._left = self._edit.insert(self._branch, self._left, kind, data)
        self._close(closing)

    def _open(self, formats: dict[str, Any] | None) -> dict[str, Any]:
        """Begin ``formats`` and no others; returns what they were here."""
        if formats is None:
            return {}
        return self._begin({**dict.fromkeys(self._formats), **formats})

    def _begin(self, formats: dict[str, Any]) -> dict[str, Any]:
        while (item := self._right) is not None:
            if not item.deleted:
                if item.kind != FORMAT:
                    break
                key, value = read_format(item.content)
                if not same_json(formats.get(key), value):
                    break
            self._step()
        before: dict[str, Any] = {}
        for key, value in formats.items():
            now = self._formats.get(key)
            if not same_json(now, value):
                before[key] = now
                self._write_mark(key, value)
        return before

    def _write_mark(self, key: str, value: Any) -> None:
        content = write_format(key, value)
        self._left = self._edit.insert(self._branch, self._left, FORMAT, content)
        self._mark(key, value)

    def _close(self, before: dict[str, Any]) -> None:
        """Let formats be again what they were."""
        while before and (item := self._right) is not None:
            if not item.deleted:
                if item.kind != FORMAT:
                    break
                key, value = read_format(item.content)
                if key not in before or not same_json(before[key], value):
                    break
                del before[key]
            self._step()
        for key, value in before.items():
            self._write_mark(key, value)

    def format(self, count: int, formats: dict[str, Any]) -> None:
        """Give the next characters formats, None for none; go behind them."""
        before = self._begin(formats)
        while (item := self._right) is not None and (count or before):
            wide = width(item, TEXT)
            if item.deleted:
                self._left = item
            elif item.kind == FORMAT:
                key, value = read_format(item.content)
                if key not in formats:
                    self._step()
                elif same_json(formats[key], value):
                    before.pop(key, None)
                    self._replace_mark(item)
                elif not count:
                    break
                else:
                    before[key] = value
                    self._replace_mark(item)
            elif not count:
                break
            else:
                if wide > count:
                    self._items.split(item, count)
                    wide = count
                count -= wide
                self._left = item
        self._close(before)

    def _replace_mark(self, item: Item) -> None:
        self._edit.delete(item)
        self._left = item

    def delete(self, count: int) -> None:
        """Delete the next characters."""
        for item, wide in self._pieces(count):
            if wide:
                self._edit.delete(item)
                self._left = item
            else:
                self._step()
