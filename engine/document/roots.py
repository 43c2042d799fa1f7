"""Roots: the top-level shared types of a document, each with a view of its content.

With document.py the only file that touches pycrdt. A root of a document has one type for ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import orjson
import pycrdt

from syncline.engine.updates.insertion import RUN, Id, insertion

_MAX_DELTAS = 1000  # changes that may wait for whoever follows an array
_FEW = 16  # texts inserted one by one: the next costs more than all that one transaction inserted
_EMBED = "\ufffc"
_PLAIN = (str, bool, int, float, bytes, list, dict, type(None))
"""The types of values in a map that are no shared types."""


class Owner(Protocol):
    """What a root needs of its document (document.py says what these are)."""

    touched: set[tuple[str, str | None]]
    capturing: bool

    @property
    def client_id(self) -> int: ...

    @property
    def guard(self) -> AbstractContextManager[None]: ...

    def next_operation(self) -> Id: ...


class Root(ABC):
    """A named top-level shared type of a document; keeps a view of its content up to date."""

    def __init__(self, document: Owner, name: str, shared: Any) -> None:
        self.document = document
        self.name = name
        self._shared = shared
        self._subscription = self._observe()

    def _observe(self) -> Any:
        # The native events: pycrdt's own also tell what changed, for which it walks all through a
        # text or an array, whatever the length of the change; and making them costs more than the
        # change of a map.
        return self._shared.integrated.observe_deep(self._on_events)

    @abstractmethod
    def _on_events(self, events: list[Any]) -> None:
        """Follow what a transaction did to the root, or to the shared types nested in it."""

    def forget(self) -> None:  # noqa: B027 - only those need it that follow what their methods do
        """Read the content again: a local change was made by other means than this object's."""

    def close(self) -> None:
        self._subscription.drop()


class MapRoot(Root):
    """A Y.Map root. Values are what Yjs calls Any: JSON-like, every number a float."""

    def __init__(self, document: Owner, name: str, shared: Any) -> None:
        self._items: dict[str, Any] | None = None
        self.changed: set[str] = set()
        """Keys changed since a reader last cleared this set."""
        super().__init__(document, name, shared)

    def _on_events(self, events: list[Any]) -> None:
        for event in events:
            path = event.path
            if path:
                self._items = None
                keys = {cast("str", path[0])}
            else:
                keys = self._on_own_event(event)
            self.changed.update(keys)
            self.document.touched.update((self.name, key) for key in keys)

    def _on_own_event(self, event: Any) -> set[str]:
        changes = cast("dict[str, dict[str, Any]]", event.keys)
        for key, change in changes.items():
            if self._items is None:
                break
            value = change.get("newValue")
            if change["action"] == "delete":
                self._items.pop(key, None)
            elif isinstance(value, _PLAIN):
                self._items[key] = value
            else:
                self._items = None  # a shared type: it is read when the transaction is over
        return set(changes)

    def items(self) -> dict[str, Any]:
        """The content by key. Do not change it."""
        items = self._items
        if items is None:
            with self.document.guard:
                items = self._texts()
                if items is None:
                    items = cast("dict[str, Any]", plain(self._shared))
            self._items = items
        return items

    def _texts(self) -> dict[str, Any] | None:
        """The content if all of it is text, as that of cells is: a fifth of what asking for each
        entry costs."""
        try:
            items: dict[str, Any] = orjson.loads(str(self._shared))
        except orjson.JSONDecodeError:  # Yjs' undefined is no JSON
            return None
        return items if all(type(value) is str for value in items.values()) else None

    def set(self, key: str, value: object) -> None:
        with self.document.guard:
            self._shared[key] = value

    def delete(self, key: str) -> None:
        with self.document.guard:
            del self._shared[key]


class ArrayRoot(Root):
    """A Y.Array root."""

    def __init__(self, document: Owner, name: str, shared: Any) -> None:
        self._items: list[Any] | None = None
        self._deltas: list[Any] | None = None
        super().__init__(document, name, shared)

    def _on_events(self, events: list[Any]) -> None:
        self._items = None
        self.document.touched.add((self.name, None))
        if self._deltas is not None:
            self._deltas += [event.delta for event in events if not event.path]
            if len(self._deltas) > _MAX_DELTAS:
                self._deltas = None

    def take_deltas(self) -> list[Any] | None:
        """What changed since the last call, in Yjs' form: lists of ``{"retain": n}``, ``{"delete":
        n}`` and ``{"insert": [...]}``. None for too much, and at first: read all ``items`` then."""
        deltas, self._deltas = self._deltas, []
        return deltas

    def items(self) -> list[Any]:
        """The content. Do not change it."""
        items = self._items
        if items is None:
            with self.document.guard:
                items = self._items = cast("list[Any]", plain(self._shared))
        return items

    def get(self, index: int) -> Any:
        """The element at ``index``, which there must be. Do not change it."""
        if self._items is not None:
            return self._items[index]
        with self.document.guard:
            return plain(self._shared[index])

    def texts(self) -> list[Any]:
        """The content in the form that costs least: a text as it is, other things as any value."""
        with self.document.guard:
            encoded = str(self._shared)
        try:
            return cast("list[Any]", orjson.loads(encoded))
        except orjson.JSONDecodeError:  # Yjs' undefined is no JSON
            return self.items()

    def insert(self, index: int, value: object) -> None:
        with self.document.guard:
            self._shared.insert(index, value)

    def insert_texts(self, index: int, texts: Sequence[str]) -> None:
        """Insert many before ``index``, at a cost that does not grow with the square of them."""
        if len(texts) <= _FEW:
            for place, text in enumerate(texts, index):
                self.insert(place, text)
            return
        left = self._operation(index - 1) if index else None
        right = self._operation(index) if index < self.length() else None
        update = insertion(self.document.next_operation(), self.name, texts, left, right)
        with self.document.guard:
            self._shared.doc.apply_update(update)

    def append_text(self, text: str) -> None:
        """Insert at the end. Many of these do not become one run, which would cost its length to
        part."""
        length = self.length()
        self.insert(length, text)
        if length and length % RUN == 0:
            self.insert(length, text)  # an operation in between, of which nothing stays
            self.delete(length)

    def length(self) -> int:
        with self.document.guard:
            return len(self._shared)

    def _operation(self, index: int) -> Id:
        """The operation that made the element at ``index``, which there must be."""
        with self.document.guard:
            made = self._shared.sticky_index(index).to_json()["item"]
        return made["client"], made["clock"]

    def delete(self, index: int) -> None:
        with self.document.guard:
            del self._shared[index]

    def delete_range(self, start: int, stop: int) -> None:
        """Delete from ``start`` up to ``stop``, a range that the caller has checked."""
        with self.document.guard:
            del self._shared[start:stop]


class TextRoot(Root):
    """A Y.Text root, addressed in code points.

    pycrdt counts UTF-8 bytes, and an insert inside a character shows locally and nowhere else. An
    embedded object (an image, a mention) reads as U+FFFC and counts as one.
    """

    def __init__(self, document: Owner, name: str, shared: Any) -> None:
        self._content: str | None = None
        self._embeds: frozenset[int] = frozenset()
        self._known = (0, 0)
        """A place in the content, in code points, and in UTF-8 bytes."""
        super().__init__(document, name, shared)

    def _on_events(self, events: list[Any]) -> None:
        if not self.document.capturing:
            self._content = None  # after a local change it is what insert or delete made it
        self.document.touched.add((self.name, None))

    def forget(self) -> None:
        self._content = None

    def content(self) -> str:
        if self._content is None:
            with self.document.guard:
                content = str(self._shared)
                embeds: list[int] = []
                if len(self._shared) != _utf8_length(content):
                    content, embeds = self._content_with_embeds()
            self._content, self._embeds = content, frozenset(embeds)
            self._known = (0, 0)
        return self._content

    def runs(self) -> list[tuple[Any, dict[str, Any]]]:
        """The runs of (characters or embed, formats); an embedded shared type as plain values."""
        with self.document.guard:
            found = cast("list[tuple[Any, Any]]", self._shared.diff())
            return [(plain(chunk), formats or {}) for chunk, formats in found]

    def _content_with_embeds(self) -> tuple[str, list[int]]:
        content, embeds = "", list[int]()
        for chunk, _attributes in self._shared.diff():
            if isinstance(chunk, str):
                content += chunk
            else:
                embeds.append(len(content))
                content += _EMBED
        return content, embeds

    def _offset(self, content: str, index: int) -> int:
        if content.isascii():
            self._known = index, index
            return index
        # From the place that was used last, since the next is often beside it.
        known, bytes_before = self._known
        if index >= known:
            bytes_before += _utf8_length(content[known:index])
        elif index < known - index:
            bytes_before = _utf8_length(content[:index])
        else:
            bytes_before -= _utf8_length(content[index:known])
        self._known = index, bytes_before
        embeds = sum(1 for position in self._embeds if position < index)
        return bytes_before - embeds * (len(_EMBED.encode()) - 1)

    def insert(self, index: int, text: str) -> None:
        """Insert before the code point ``index``, which the caller has checked."""
        content = self.content()
        with self.document.guard:
            self._shared.insert(self._offset(content, index), text)
        # Reading a long text back after every keystroke would cost its length in UTF-8 decoding.
        self._content = None if self._embeds else content[:index] + text + content[index:]

    def delete(self, index: int, length: int) -> None:
        """Delete ``length`` code points from ``index``, a range that the caller has checked."""
        content = self.content()
        stop, start = self._offset(content, index + length), self._offset(content, index)
        with self.document.guard:
            del self._shared[start:stop]
        self._content = None if self._embeds else content[:index] + content[index + length :]


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def plain(value: Any, depth: int = 0) -> Any:
    """A shared type as plain values, XML and texts as str; None for what is nested too deep."""
    if not isinstance(value, _SHARED_TYPES):
        return value
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, pycrdt.Map):
        entries: dict[str, Any] = dict(cast("Any", value))
        return {key: plain(item, depth + 1) for key, item in entries.items()}
    if isinstance(value, pycrdt.Array):
        return [plain(item, depth + 1) for item in value]
    return None if isinstance(value, pycrdt.Doc) else str(value)


def formatted(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, pycrdt.Text):
        runs = cast("list[tuple[Any, Any]]", value.diff())
        return [(formatted(chunk, depth + 1), formats) for chunk, formats in runs]
    if isinstance(value, pycrdt.Map):
        entries: dict[str, Any] = dict(cast("Any", value))
        return {key: formatted(item, depth + 1) for key, item in entries.items()}
    if isinstance(value, pycrdt.Array):
        return [formatted(item, depth + 1) for item in value]
    return plain(value, depth)  # XML shows its formats as tags


# pycrdt's own to_py raises on XML and on subdocuments.
_XML = (pycrdt.XmlElement, pycrdt.XmlFragment, pycrdt.XmlText)
_SHARED_TYPES = (pycrdt.Map, pycrdt.Array, pycrdt.Text, pycrdt.Doc, *_XML)
_MAX_DEPTH = 100  # of nested shared types; the parser of updates lets many more pass
