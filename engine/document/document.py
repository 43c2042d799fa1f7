"""Documents: the only file that touches pycrdt.

What it keeps its callers from (each measured, see docs/architecture.md):

- an update is captured in the transaction that made it, remote ones are not captured again;
- a panic of the native library derives from BaseException: it becomes DocumentBroken, and a broken
  document refuses further use, because its state cannot be trusted; its owner rebuilds it from the
  log;
- observers are removed by ``close``: pycrdt leaks a document that is still observed;
- root types only, each declared with one type, because pycrdt reads another type's root as its own.

A document belongs to one thread. Callers apply only updates that are causally covered
(updates/parse.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar, cast

import pycrdt

from syncline.engine.errors import DocumentBroken, SchemaError
from syncline.engine.updates.parse import StateVector, decode_state_vector, encode_state_vector

EMPTY_UPDATE = b"\x00\x00"
_MERGE_CHUNK = 100  # merging n updates at once costs n^2 beyond this (4.7 ms for 1,000)

R = TypeVar("R", bound="Root")


def merge_updates(updates: Sequence[bytes]) -> bytes:
    """Merge updates of one document, given in causal order, into one. Raises DocumentBroken."""
    merged = list(updates)
    try:
        while len(merged) > 1:
            merged = [
                pycrdt.merge_updates(*merged[start : start + _MERGE_CHUNK])
                for start in range(0, len(merged), _MERGE_CHUNK)
            ]
    except BaseException as error:
        if _is_native_failure(error):
            raise _broken() from error
        raise
    return merged[0] if merged else EMPTY_UPDATE


class _Guard:
    """Turns whatever the native library raises into DocumentBroken and marks the document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def __enter__(self) -> None:
        if self._document.broken:
            raise _broken()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and _is_native_failure(error):
            self._document.broken = True
            raise _broken() from error


def _is_native_failure(error: BaseException) -> bool:
    # PanicException is defined by PyO3 at run time and cannot be imported.
    return isinstance(error, ValueError | RuntimeError) or type(error).__name__ == "PanicException"


def _broken() -> DocumentBroken:
    return DocumentBroken(
        "The CRDT library failed on this document, so its state in memory is not used.",
        hint="Open it again: it is rebuilt from its log. If that fails too, an update in the log "
        "is bad.",
    )


class Root(ABC):
    """A named top-level shared type of a document; keeps a view of its content up to date."""

    def __init__(self, document: Document, name: str, shared: Any) -> None:
        self.document = document
        self.name = name
        self._shared = shared
        self._subscription = self._observe()

    def _observe(self) -> Any:
        # The native events: pycrdt's own also tell what changed, for which it walks all through a
        # text or an array, whatever the length of the change.
        return self._shared.integrated.observe_deep(self._on_events)

    @abstractmethod
    def _on_events(self, events: list[Any]) -> None:
        """Follow what a transaction did to the root, or to the shared types nested in it."""

    def close(self) -> None:
        self._subscription.drop()


class MapRoot(Root):
    """A Y.Map root. Values are what Yjs calls Any: JSON-like, every number a float."""

    def __init__(self, document: Document, name: str, shared: Any) -> None:
        self._items: dict[str, Any] | None = None
        self.changed: set[str] = set()
        """Keys changed since a reader last cleared this set."""
        super().__init__(document, name, shared)

    def _observe(self) -> Any:
        return self._shared.observe_deep(self._on_events)

    def _on_events(self, events: list[Any]) -> None:
        for event in events:
            if event.path:
                self._items = None
                keys = {cast("str", event.path[0])}
            else:
                keys = self._on_own_event(event)
            self.changed.update(keys)
            self.document.touched.update((self.name, key) for key in keys)

    def _on_own_event(self, event: Any) -> set[str]:
        changes = cast("dict[str, dict[str, Any]]", event.keys)
        if self._items is not None:
            for key, change in changes.items():
                if change["action"] == "delete":
                    self._items.pop(key, None)
                else:
                    self._items[key] = _plain(change["newValue"])
        return set(changes)

    def items(self) -> dict[str, Any]:
        """The content by key. Do not change it."""
        items = self._items
        if items is None:
            with self.document.guard:
                items = self._items = cast("dict[str, Any]", _plain(self._shared))
        return items

    def set(self, key: str, value: object) -> None:
        with self.document.guard:
            self._shared[key] = value

    def delete(self, key: str) -> None:
        with self.document.guard:
            del self._shared[key]


class ArrayRoot(Root):
    """A Y.Array root."""

    def __init__(self, document: Document, name: str, shared: Any) -> None:
        self._items: list[Any] | None = None
        super().__init__(document, name, shared)

    def _on_events(self, events: list[Any]) -> None:
        self._items = None
        self.document.touched.add((self.name, None))

    def items(self) -> list[Any]:
        """The content. Do not change it."""
        items = self._items
        if items is None:
            with self.document.guard:
                items = self._items = cast("list[Any]", _plain(self._shared))
        return items

    def insert(self, index: int, value: object) -> None:
        with self.document.guard:
            self._shared.insert(index, value)

    def delete(self, index: int) -> None:
        with self.document.guard:
            del self._shared[index]


_EMBED = "\ufffc"


class TextRoot(Root):
    """A Y.Text root, addressed in code points.

    pycrdt counts UTF-8 bytes, and an insert inside a character shows locally and nowhere else. An
    embedded object (an image, a mention) reads as U+FFFC and counts as one.
    """

    def __init__(self, document: Document, name: str, shared: Any) -> None:
        self._content: str | None = None
        self._embeds: frozenset[int] = frozenset()
        super().__init__(document, name, shared)

    def _on_events(self, events: list[Any]) -> None:
        if not self.document.capturing:
            self._content = None  # after a local change it is what insert or delete made it
        self.document.touched.add((self.name, None))

    def content(self) -> str:
        if self._content is None:
            with self.document.guard:
                content = str(self._shared)
                embeds: list[int] = []
                if len(self._shared) != _utf8_length(content):
                    content, embeds = self._content_with_embeds()
            self._content, self._embeds = content, frozenset(embeds)
        return self._content

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
            return index
        embeds = sum(1 for position in self._embeds if position < index)
        return _utf8_length(content[:index]) - embeds * (len(_EMBED.encode()) - 1)

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
        start, stop = self._offset(content, index), self._offset(content, index + length)
        with self.document.guard:
            del self._shared[start:stop]
        self._content = None if self._embeds else content[:index] + content[index + length :]


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _plain(value: Any, depth: int = 0) -> Any:
    """A shared type as plain values, XML and texts as str; None for what is nested too deep."""
    if not isinstance(value, _SHARED_TYPES):
        return value
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, pycrdt.Map):
        entries: dict[str, Any] = dict(cast("Any", value))
        return {key: _plain(item, depth + 1) for key, item in entries.items()}
    if isinstance(value, pycrdt.Array):
        return [_plain(item, depth + 1) for item in value]
    return None if isinstance(value, pycrdt.Doc) else str(value)


def _formatted(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, pycrdt.Text):
        runs = cast("list[tuple[Any, Any]]", value.diff())
        return [(_formatted(chunk, depth + 1), formats) for chunk, formats in runs]
    if isinstance(value, pycrdt.Map):
        entries: dict[str, Any] = dict(cast("Any", value))
        return {key: _formatted(item, depth + 1) for key, item in entries.items()}
    if isinstance(value, pycrdt.Array):
        return [_formatted(item, depth + 1) for item in value]
    return _plain(value, depth)  # XML shows its formats as tags


# pycrdt's own to_py raises on XML and on subdocuments.
_XML = (pycrdt.XmlElement, pycrdt.XmlFragment, pycrdt.XmlText)
_SHARED_TYPES = (pycrdt.Map, pycrdt.Array, pycrdt.Text, pycrdt.Doc, *_XML)
_MAX_DEPTH = 100  # of nested shared types; the parser of updates lets many more pass


_SHARED: dict[type[Root], type[Any]] = {
    MapRoot: pycrdt.Map,
    ArrayRoot: pycrdt.Array,
    TextRoot: pycrdt.Text,
}


class Document:
    """One CRDT document, with the updates that local changes made.

    ``client_id`` writes its local changes; ``updates`` is its log, in causal order, and ``epoch``
    the epoch that these are of.
    """

    def __init__(self, client_id: int, updates: Iterable[bytes] = (), epoch: int = 0) -> None:
        self.client_id = client_id
        self.epoch = epoch
        self.broken = False
        self.guard = _Guard(self)
        self.touched: set[tuple[str, str | None]] = set()
        """(root, key or None) of what changed since a reader last cleared this set."""
        self.attachments: dict[str, Any] = {}
        """What field types derive from a root's content, by root name; lives as long as the
        document."""
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client_id)
        self._roots: dict[str, Root] = {}
        self._captured: list[bytes] = []
        self.capturing = False
        """Whether changes are local ones; false while an update from elsewhere is integrated."""
        self._changed = False
        self._state: StateVector | None = None
        with self.guard:
            for update in updates:
                self._doc.apply_update(update)
        self._subscription = self._doc.observe(self._on_transaction)
        self.capturing = True

    def _on_transaction(self, event: Any) -> None:
        self._state = None
        self._changed = True
        if self.capturing:
            self._captured.append(event.update)

    def map(self, name: str) -> MapRoot:
        return self._root(name, MapRoot)

    def array(self, name: str) -> ArrayRoot:
        return self._root(name, ArrayRoot)

    def text(self, name: str) -> TextRoot:
        return self._root(name, TextRoot)

    def _root(self, name: str, kind: type[R]) -> R:
        root = self._roots.get(name)
        if root is None:
            with self.guard:
                shared = self._doc.get(name, type=_SHARED[kind])
                root = self._roots[name] = kind(self, name, shared)
        if not isinstance(root, kind):
            raise SchemaError(
                f"The root {name!r} is open as {type(root).__name__}, not as {kind.__name__}.",
                hint="A root of a document has one type for ever; use another name.",
            )
        return root

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Make the local changes inside one update. They stay even if the block raises.

        Roots show them when the block has ended (texts at once).
        """
        raised: BaseException | None = None
        with self.guard, self._doc.transaction():
            try:
                yield
            except BaseException as error:  # noqa: BLE001 - the caller's own: not the guard's to judge
                raised = error
        if raised is not None:
            raise raised

    def take_captured(self) -> list[bytes]:
        """The updates of local changes since the last call, in order."""
        captured, self._captured = self._captured, []
        return captured

    def apply(self, update: bytes) -> bool:
        """Integrate an update from elsewhere, which must have been parsed, and be covered.

        Returns whether it changed anything.
        """
        self.capturing = self._changed = False
        try:
            with self.guard:
                self._doc.apply_update(update)
        finally:
            self.capturing = True
        return self._changed

    def apply_unseen(self, update: bytes) -> bytes:
        """Integrate an update as ``apply`` does; return the part of it that was not known."""
        self.take_captured()
        with self.guard:
            self._doc.apply_update(update)
        captured = self.take_captured()
        return captured[0] if captured else EMPTY_UPDATE

    def adopt(self, update: bytes) -> None:
        """Integrate an update that was made for this document under its own client id.

        It counts as a local change.
        """
        if self.apply(update):
            self._captured.append(update)

    def state_vector(self) -> StateVector:
        """Per client, the number of its operations that are integrated. Do not change it."""
        if self._state is None:
            with self.guard:
                self._state = decode_state_vector(self._doc.get_state())
        return self._state

    def diff(self, state_vector: StateVector) -> bytes:
        """The update that brings a replica at ``state_vector`` to this document's state."""
        with self.guard:
            return self._doc.get_update(encode_state_vector(state_vector))

    def to_dict(self) -> dict[str, Any]:
        """The content of every root by name, as plain values, equal on equal documents.

        Nothing in a document says of which type a root is: a root with keys reads as a dict, else
        one with characters as a str, else as a list.
        """
        return self._content(_plain)

    def to_formatted(self) -> dict[str, Any]:
        """As ``to_dict``, with every text as its runs of (characters or embed, formats)."""
        return self._content(_formatted)

    def _content(self, read: Callable[[Any], Any]) -> dict[str, Any]:
        with self.guard:
            update = self._doc.get_update()
            # Copies, because reading a root declares its type.
            copies: dict[type[Any], pycrdt.Doc[Any]] = {}
            content: dict[str, Any] = {}
            for name in sorted(self._doc.keys()):
                for kind in (pycrdt.Map, pycrdt.Text, pycrdt.Array):
                    if kind not in copies:
                        copies[kind] = pycrdt.Doc()
                        copies[kind].apply_update(update)
                    value = read(copies[kind].get(name, type=kind))
                    if value:
                        content[name] = value
                        break
            return content

    def close(self) -> None:
        """Let go of the native document. The object is of no use afterwards."""
        try:
            for root in self._roots.values():
                root.close()
            self._doc.unobserve(self._subscription)
        except BaseException as error:
            # After a panic any call may panic again; what then stays observed leaks.
            if not (self.broken and _is_native_failure(error)):
                raise
