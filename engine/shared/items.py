"""The items of one document, kept current, and of which kind its roots are.

Nothing in a Yjs document says of which type a root is: its first reader says so, and whatever
another type's methods then put in is kept, synced, and breaks the editor whose root it is. So a
root's kind is read off what lies in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken, LimitExceeded, SchemaError
from syncline.engine.history.history import Branch, History, Item
from syncline.engine.history.structs import Id, units
from syncline.engine.updates.struct_format import (
    ANY,
    BINARY,
    DOCUMENT,
    EMBED,
    FORMAT,
    STRING,
    TYPE,
    XML_ELEMENT,
)

from .values import read_text

TEXT = frozenset((STRING, EMBED, TYPE))
"""What counts in a text; in an array; among the children of an XML node."""
VALUES = frozenset((STRING, EMBED, TYPE, ANY, BINARY, DOCUMENT))
NODES = frozenset((TYPE,))

# Shared types by their number in an update.
ARRAY_SHAPE, MAP_SHAPE, TEXT_SHAPE, ELEMENT_SHAPE, FRAGMENT_SHAPE, XML_TEXT_SHAPE = 0, 1, 2, 3, 4, 6
_XML_SHAPES = (ELEMENT_SHAPE, XML_TEXT_SHAPE)
KIND_NAMES = {
    MAP_SHAPE: "Y.Map",
    ARRAY_SHAPE: "Y.Array",
    TEXT_SHAPE: "Y.Text",
    FRAGMENT_SHAPE: "Y.XmlFragment",
}
_METHODS = {MAP_SHAPE: "map", ARRAY_SHAPE: "array", TEXT_SHAPE: "text", FRAGMENT_SHAPE: "xml"}
_MAX_WAITING = 256
"""Updates that wait to be read for who reads the document's items next; then all is read again."""
_KEY = "\0items"


def items_of(document: Document) -> Items:
    """The items of ``document``; one object for each."""
    items = document.attachments.get(_KEY)
    if items is None:
        items = document.attachments[_KEY] = Items(document)
    return items


class Items:
    """What lies in one document, item by item."""

    def __init__(self, document: Document, max_waiting: int = _MAX_WAITING) -> None:
        self._document = document
        self._max_waiting = max_waiting
        self._history: History | None = None
        self._waiting: list[bytes] = []
        self._ends: dict[Branch, Item] = {}
        self._atoms: dict[tuple[Branch, frozenset[int]], list[tuple[Item, int]]] = {}
        self._confirmed: set[tuple[str, int]] = set()
        self._blank: dict[str, bytes] = {}
        document.followers.append(self._follow)

    def _follow(self, update: bytes) -> None:
        for name in [name for name, encoded in self._blank.items() if encoded in update]:
            del self._blank[name]  # whatever comes into an empty root names it
        if self._history is not None:
            self._waiting.append(update)
            if len(self._waiting) > self._max_waiting:
                self.forget()

    def forget(self) -> None:
        """Read all again at the next use."""
        self._history = None
        self._waiting = []

    @property
    def history(self) -> History:
        """Raises DocumentBroken, LimitExceeded for what cannot be read."""
        history = self._history
        if history is not None and not self._waiting:
            return history
        waiting, self._waiting, self._history = self._waiting, [], None
        if history is not None:
            try:
                for update in waiting:
                    if history.apply(update):
                        self._atoms.clear()
            except DocumentBroken:  # part of a piece that is known: the document has it whole
                history = None
        if history is None:
            self._ends, self._atoms = {}, {}
            history = History(self._document.diff({}))
            ends = history.ends()
            if any(ends.get(each, 0) < end for each, end in self._document.state_vector().items()):
                raise DocumentBroken(
                    "The items of this document cannot be read: an editor has cut a character in "
                    "two, and the CRDT library has lost count of it.",
                    hint="Texts of it can be read and edited without formats; have an editor "
                    "delete the character.",
                )
        self._history = history
        return history

    def changed(self, branch: Branch | None, appended: Item | None = None) -> None:
        """Items of a sequence were deleted, split or put in; or one was ``appended``."""
        for counted in (VALUES, NODES):
            if branch is not None and (atoms := self._atoms.get((branch, counted))) is not None:
                if appended is None:
                    del self._atoms[branch, counted]
                else:
                    atoms.extend((appended, at) for at in range(width(appended, counted)))

    # Where things are

    def branch(self, made_by: Id) -> Branch | None:
        """The shared type that this operation made, None if it is not, or no longer, there."""
        try:
            item = self.history.find(*made_by)
        except (KeyError, IndexError, DocumentBroken):
            return None
        if item.branch is None or not self._is_shown(item):
            return None
        return item.branch

    def _is_shown(self, item: Item) -> bool:
        while not item.deleted and item.home is not None:
            parent = item.home.parent
            if isinstance(parent, str):
                return True
            item = self.history.find(*parent)
        return False

    def owner(self, branch: Branch) -> Item | None:
        """The item that made a shared type, None for a root."""
        return None if isinstance(branch.parent, str) else self.history.find(*branch.parent)

    def depth(self, branch: Branch) -> int:
        """How many shared types are around it."""
        depth = 0
        while (item := self.owner(branch)) is not None and item.home is not None:
            branch = item.home
            depth += 1
        return depth

    def atoms(self, branch: Branch, counted: frozenset[int]) -> Sequence[tuple[Item, int]]:
        """What a sequence shows: items, with the place in them."""
        found = self._atoms.get((branch, counted))
        if found is None:
            found = self._atoms[branch, counted] = [
                (item, offset) for item in branch.items() for offset in range(width(item, counted))
            ]
        return found

    def from_end(
        self, branch: Branch, index: int, counted: frozenset[int]
    ) -> tuple[Item, int] | None:
        """What a sequence shows ``index`` before its end, -1 for the last: without reading all."""
        item = self.end(branch)
        while item is not None:
            wide = width(item, counted)
            if wide >= -index:
                return item, wide + index
            index += wide
            item = item.left
        return None

    def end(self, branch: Branch) -> Item | None:
        """The last item of a sequence."""
        item = self._ends.get(branch, branch.start)
        while item is not None and item.right is not None:
            item = item.right
        if item is not None:
            self._ends[branch] = item
        return item

    def before(self, branch: Branch, index: int, counted: frozenset[int]) -> Item | None:
        """The item behind which something goes that is to be at ``index``; one is split there."""
        left, item = None, branch.start
        while index and item is not None:
            wide = width(item, counted)
            if wide > index:
                self.split(item, index)
                return item
            index -= wide
            left, item = item, item.right
        return left

    def split(self, item: Item, atoms: int) -> None:
        """Split ``item`` after so many of its atoms."""
        clocks = units(item.content[:atoms]) if item.kind == STRING else atoms
        self.history.starting(item.client, item.clock + clocks)
        self.changed(item.home)

    # Kinds of roots

    def check(self, address: str, name: str, kind: int) -> None:
        """Raise SchemaError if the root ``name`` is of another kind than ``kind``. One in which
        nothing is is of any kind: what is asked for is what it becomes."""
        if (name, kind) in self._confirmed or name in self._blank:
            return
        fitting = False
        try:
            self.history  # noqa: B018 - whether it can be read
        except (DocumentBroken, LimitExceeded):
            return  # what cannot be known is taken as it is asked for
        for kinds in self._evidence(name):
            if kind in kinds:
                self._confirmed.add((name, kind))
                return
            fitting = True
        if not fitting:
            self._blank[name] = name.encode()
            return
        kept = self.kind(name)
        raise SchemaError(
            f"The root {name!r} of {address} is a {KIND_NAMES[kept]}, and cannot be used as a "
            f"{KIND_NAMES[kind]}.",
            hint=f"Use document.{_METHODS[kept]}({name!r}), or another name: a root has one "
            "type for ever, and an editor fails on what another type's methods put into it.",
        )

    def _evidence(self, name: str) -> Iterator[frozenset[int]]:
        """For each thing that lies in a root, the kinds that can hold it."""
        root = self.history.roots.get(name)
        if root is None:
            return
        shown = False
        for item in root.items():
            if not item.deleted:
                shown = True
                yield _fitting(item)
        if root.entries:
            yield frozenset((MAP_SHAPE,))
        elif not shown and root.start is not None:
            # All was deleted, and of what is deleted a document says only that it was a sequence.
            yield frozenset((ARRAY_SHAPE, TEXT_SHAPE, FRAGMENT_SHAPE))

    def kind(self, name: str) -> int:
        """The kind that a root most probably has."""
        root = self.history.root(name)
        shown = [item for item in root.items() if not item.deleted]
        if any(item.kind == TYPE and item.content[0] in _XML_SHAPES for item in shown) and all(
            item.kind == TYPE for item in shown
        ):
            return FRAGMENT_SHAPE
        if any(root.entry(key) for key in root.entries):
            return MAP_SHAPE
        if any(item.kind in (STRING, FORMAT, EMBED) for item in shown):
            return TEXT_SHAPE
        return MAP_SHAPE if root.entries else ARRAY_SHAPE


def _fitting(item: Item) -> frozenset[int]:
    if item.kind in (STRING, FORMAT, EMBED):
        return frozenset((TEXT_SHAPE,))
    if item.kind == TYPE:
        other = FRAGMENT_SHAPE if item.content[0] in _XML_SHAPES else TEXT_SHAPE
        return frozenset((ARRAY_SHAPE, other))
    return frozenset((ARRAY_SHAPE,))


def width(item: Item, counted: frozenset[int]) -> int:
    """How many atoms an item shows where these kinds count."""
    if item.deleted or item.kind not in counted:
        return 0
    return len(item.content) if item.kind in (STRING, ANY) else 1


def shape_of(item: Item) -> int:
    """The number of the shared type that an item of kind TYPE has made."""
    shape: int = item.content[0]
    return shape


def tag_of(item: Item) -> str:
    """The name of the XML element that an item has made."""
    return read_text(item.content, 1)[0] if shape_of(item) == XML_ELEMENT else ""
