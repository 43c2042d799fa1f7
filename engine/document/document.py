"""Documents: with roots.py and tasted.py the only file that touches pycrdt.

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

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, TypeVar

import pycrdt

from syncline.engine.errors import DocumentBroken, InvalidUpdate, SchemaError
from syncline.engine.updates.insertion import Id
from syncline.engine.updates.parse import (
    StateVector,
    decode_state_vector,
    encode_state_vector,
    parse_update,
)

from .roots import ArrayRoot, MapRoot, Root, TextRoot, formatted, plain

EMPTY_UPDATE = b"\x00\x00"
_FEW = 16  # updates, and
_SMALL = 1 << 12  # bytes of one, from which a state vector that is known is brought up to date
_READER = 1  # the client id of documents that nobody writes
_MERGE_CHUNK = 100  # merging n updates at once costs n^2 beyond this (4.7 ms for 1,000)

R = TypeVar("R", bound=Root)


def merge_updates(updates: Sequence[bytes]) -> bytes:
    """Merge updates of one document, given in causal order, into one. Raises DocumentBroken."""
    merged = list(updates)
    with native_failures():
        while len(merged) > 1:
            merged = [
                pycrdt.merge_updates(*merged[start : start + _MERGE_CHUNK])
                for start in range(0, len(merged), _MERGE_CHUNK)
            ]
    return merged[0] if merged else EMPTY_UPDATE


def difference(update: bytes, state_vector: StateVector) -> bytes:
    """The part of ``update`` beyond ``state_vector``, with everything that it deletes, without
    opening a document. Raises DocumentBroken."""
    with native_failures():
        return pycrdt.get_update(update, encode_state_vector(state_vector))


@contextmanager
def native_failures() -> Generator[None]:
    """Turns whatever the native library raises into DocumentBroken."""
    try:
        yield
    except BaseException as error:
        if _is_native_failure(error):
            raise _broken() from error
        raise


class _Guarded(Protocol):
    broken: bool


class _Closed:
    broken = True


_CLOSED = _Closed()


class _Guard:
    """Turns whatever the native library raises into DocumentBroken and marks the document."""

    def __init__(self, document: _Guarded) -> None:
        self._document = document

    def release(self) -> None:
        """Know the document no more: nothing may be done with it."""
        self._document = _CLOSED

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
        self.followers: list[Callable[[bytes], None]] = []
        """Called with the update of every transaction, local or not; they may not raise."""
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
        self._since: list[bytes] = []
        """What has been integrated since the state vector was read."""
        with self.guard:
            for update in updates:
                self._doc.apply_update(update)
        self._subscription = self._doc.observe(self._on_transaction)
        self.capturing = True

    def _on_transaction(self, event: Any) -> None:
        update = event.update
        self._changed = True
        if self._state is not None:
            self._since.append(update)
            if len(self._since) > _FEW or len(update) > _SMALL:
                self._state = None
        if self.capturing:
            self._captured.append(update)
        for follow in self.followers:
            follow(update)

    def map(self, name: str) -> MapRoot:
        return self._root(name, MapRoot)

    def array(self, name: str) -> ArrayRoot:
        return self._root(name, ArrayRoot)

    def text(self, name: str) -> TextRoot:
        return self._root(name, TextRoot)

    def root_names(self) -> list[str]:
        """The names of all roots that anything was ever written to, or that are open."""
        with self.guard:
            return sorted(self._doc.keys())

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

    def write(self, update: bytes) -> None:
        """Integrate a local change that was made as an update: operations of this document's own
        client id that begin with ``next_operation``. Call inside the document's transaction."""
        with self.guard:
            self._doc.apply_update(update)
        for root in self._roots.values():
            root.forget()

    def adopt(self, update: bytes) -> None:
        """Integrate an update that was made for this document under its own client id.

        It counts as a local change.
        """
        if self.apply(update):
            self._captured.append(update)

    def state_vector(self) -> StateVector:
        """Per client, the number of its operations that are integrated. Do not change it."""
        if self._state is not None and self._since:
            # To read what thousands of writers have written takes milliseconds: what is new, less.
            try:
                for update in self._since:
                    self._state = parse_update(update).advance(self._state)
            except InvalidUpdate:
                self._state = None
        self._since = []
        if self._state is None:
            with self.guard:
                self._state = decode_state_vector(self._doc.get_state())
        return self._state

    def next_operation(self) -> Id:
        """The operation that the next local change begins with, also inside a transaction."""
        with self.guard:
            state = decode_state_vector(self._doc.get_state())
        return self.client_id, state.get(self.client_id, 0)

    def diff(self, state_vector: StateVector) -> bytes:
        """The update that brings a replica at ``state_vector`` to this document's state."""
        with self.guard:
            return self._doc.get_update(encode_state_vector(state_vector))

    def to_dict(self) -> dict[str, Any]:
        """The content of every root by name, as plain values, equal on equal documents.

        Nothing in a document says of which type a root is: a root with keys reads as a dict, else
        one with characters as a str, else as a list.
        """
        return self._content(plain)

    def to_formatted(self) -> dict[str, Any]:
        """As ``to_dict``, with every text as its runs of (characters or embed, formats)."""
        return self._content(formatted)

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
        # What refers to each other would wait for Python's collector, which looks through all that
        # is in memory, in one go.
        self._roots.clear()
        self.attachments.clear()
        self.guard.release()


def log_state(updates: Iterable[bytes]) -> StateVector:
    """The state vector of the document that these updates make. Raises DocumentBroken."""
    document = Document(_READER, updates)
    try:
        return document.state_vector()
    finally:
        document.close()
