"""Y.Text: characters, formats and embedded objects."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from syncline.engine.document.document import Document
from syncline.engine.errors import (
    DocumentBroken,
    LimitExceeded,
    OutOfRange,
    ValueRefused,
    WrongType,
)
from syncline.engine.fields.text import Characters, EditableText, check_text
from syncline.engine.history.history import Branch
from syncline.engine.updates.struct_format import EMBED

from .edit import Edit
from .items import TEXT_SHAPE, items_of
from .rich_text import Cursor, content, runs
from .shared_type import Shared, plain_value
from .values import check_value

_OPERATIONS = ("insert", "retain", "delete")


class SharedText(Shared, EditableText):
    """A Y.Text: a text that several people edit at once, with formats and embedded objects.

    All positions are code points, as in ``str``. ``str(text)``, ``len(text)``, ``part in text``,
    ``text == other`` and ``text += more`` do what they do with a ``str``; an embedded object reads
    as U+FFFC and counts as one character. Formats (``attributes`` in Yjs and Quill) are a dict of
    plain values by name; None ends a format.

    ``SharedText("…")``, or with a delta, makes one to put into a map, an array or a text.
    """

    shape = TEXT_SHAPE

    def __init__(self, initial: str | Sequence[Mapping[str, Any]] = "") -> None:
        self._initial = initial

    # Reading and writing characters

    def _characters(self) -> Characters:
        return self._in(self.place.host.document())

    @contextmanager
    def _writing(self) -> Generator[Characters]:
        if isinstance(self._characters(), _Characters):
            with self.editing() as (edit, branch):
                yield _Characters(branch, edit)
        else:
            with self.place.host.writing() as document:
                yield document.text(self.place.root)

    def _in(self, document: Document) -> Characters:
        place = self.place
        if place.made_by is None:
            items_of(document).check(place.address, place.root, self.shape)
            root = document.text(place.root)
            # Where an editor has cut a character in two, the library reads and counts wrongly.
            try:
                if not _has_astral(root.content()) or not items_of(document).history.halved:
                    return root
            except (DocumentBroken, LimitExceeded):
                return root
        return _Characters(self.found_in(document)[1])

    def insert(self, index: int, text: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Insert before code point ``index``; ``len(self)`` appends. Without ``attributes`` the
        text gets the format of what stands before it, with ``{}`` none. Raises OutOfRange,
        WrongType, ValueRefused."""
        if attributes is None:
            super().insert(index, text)
            return
        check_text(text, self.where)
        formats = self._checked(attributes)
        self._check_range(index, 0)
        if text:
            with self.editing() as (edit, branch):
                self._cursor(edit, branch, index).insert(text, formats)

    def insert_embed(
        self, index: int, embed: Any, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Insert an object, such as ``{"image": "cat.png"}``, or a shared type that is in no
        document yet, as one character. Raises OutOfRange, ValueRefused."""
        formats = None if attributes is None else self._checked(attributes)
        self._check_range(index, 0)
        with self.editing() as (edit, branch):
            self._embed(self._cursor(edit, branch, index), embed, formats)

    def _embed(self, cursor: Cursor, embed: Any, formats: dict[str, Any] | None) -> None:
        if isinstance(embed, Shared):
            cursor.put(embed, formats, f"an object in {self.where}")
        else:
            cursor.insert_embed(check_value(embed, f"an object in {self.where}"), formats)

    # Formats

    def format(self, start: int, stop: int, attributes: Mapping[str, Any]) -> None:
        """Give the characters from ``start`` up to ``stop`` these formats; None ends one. Raises
        OutOfRange, ValueRefused."""
        formats = self._checked(attributes)
        self._check_range(start, stop - start)
        if stop > start:
            with self.editing() as (edit, branch):
                self._cursor(edit, branch, start).format(stop - start, formats)

    def delta(self) -> list[dict[str, Any]]:
        """The text as in Yjs and Quill: a list of ``{"insert": …}``, with ``"attributes"`` where
        there is a format. What is inserted is a str, an embedded object, or a live shared type.
        Costs the length of the text."""
        try:
            _, branch = self.found()
        except DocumentBroken:
            if self.place.made_by is not None:
                raise
            root = self.place.host.document().text(self.place.root)
            return [
                {"insert": insert, "attributes": formats} if formats else {"insert": insert}
                for insert, formats in root.runs()
            ]
        found: list[dict[str, Any]] = []
        for run in runs(branch):
            insert: Any = run.text
            if run.item is not None:
                where = f"an object in {self.where}"
                insert = (
                    plain_value(run.item, 0)
                    if run.item.kind == EMBED
                    else self.value(run.item, 0, where)
                )
            found.append(
                {"insert": insert, "attributes": dict(run.formats)}
                if run.formats
                else {"insert": insert}
            )
        return found

    def apply_delta(self, delta: Sequence[Mapping[str, Any]]) -> None:
        """Make the edits of a delta, from the start on: ``{"retain": n}`` goes forward, and formats
        with ``"attributes"``; ``{"insert": …}`` inserts text or an object, with just its
        attributes; ``{"delete": n}`` deletes. All of it is one change. Raises OutOfRange,
        WrongType, ValueRefused, and then changes nothing."""
        operations = self._operations(delta)
        left = len(self)
        for name, what, _ in operations:
            if name != "insert":
                left -= what
        if left < 0:
            raise OutOfRange(
                f"The delta goes {-left} characters beyond the end of {self.where}.",
                hint="What it retains and deletes must lie inside the text.",
            )
        if operations:
            with self.editing() as (edit, branch):
                self._play(Cursor(edit, branch), operations)

    def _play(self, cursor: Cursor, operations: list[tuple[str, Any, dict[str, Any]]]) -> None:
        for name, what, formats in operations:
            if name == "delete":
                cursor.delete(what)
            elif name == "retain":
                if formats:
                    cursor.format(what, formats)
                else:
                    cursor.advance(what)
            elif isinstance(what, str):
                if what:
                    cursor.insert(what, formats)
            else:
                self._embed(cursor, what, formats)

    def _operations(
        self, delta: Sequence[Mapping[str, Any]]
    ) -> list[tuple[str, Any, dict[str, Any]]]:
        operations: list[tuple[str, Any, dict[str, Any]]] = []
        for operation in delta:
            names = [name for name in _OPERATIONS if name in operation]
            if len(names) != 1 or not set(operation) <= {*names, "attributes"}:
                raise ValueRefused(
                    f"{operation!r:.80} is no operation of a delta of {self._label}.",
                    hint='It has one of "insert", "retain", "delete", and may have "attributes".',
                )
            name, what = names[0], operation[names[0]]
            if name != "insert" and (not isinstance(what, int) or what < 0):
                raise WrongType(
                    f"A delta of {self._label} can {name} a number of characters, and not "
                    f"{what!r:.40}.",
                    hint="Give an int of at least 0.",
                )
            if isinstance(what, str):
                check_text(what, self._label)
            operations.append((name, what, self._checked(operation.get("attributes") or {})))
        return operations

    @property
    def _label(self) -> str:
        return self._place.where if self._place else "a SharedText"

    def _checked(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        label = f"The attributes of {self._label}"
        return cast("dict[str, Any]", check_value(dict(attributes), label))

    def _check_range(self, start: int, length: int) -> None:
        size = len(self)
        if not 0 <= start <= start + length <= size:
            raise OutOfRange(
                f"{self.where} has {size} characters, so there is no range from {start} to "
                f"{start + length}.",
                hint="The range must lie inside the text.",
            )

    @staticmethod
    def _cursor(edit: Edit, branch: Branch, index: int) -> Cursor:
        cursor = Cursor(edit, branch)
        cursor.advance(index)
        return cursor

    def fill_branch(self, edit: Edit, branch: Branch, where: str, depth: int) -> None:
        """Put in what it was made with."""
        del where, depth
        initial = self._initial
        delta = [{"insert": initial}] if isinstance(initial, str) else initial
        self._play(Cursor(edit, branch), self._operations(delta))

    def to_plain(self) -> str:
        """The characters as a str; ``delta()`` has the formats."""
        return self._characters().content()

    def __repr__(self) -> str:
        if self._place is None:
            return f"<{type(self).__name__} in no document>"
        return f"<{type(self).__name__} {self.where}: {self.to_plain()!r}>"


class _Characters:
    """The characters of a text, read and edited item by item."""

    def __init__(self, branch: Branch, edit: Edit | None = None) -> None:
        self._branch = branch
        self._edit = edit

    def content(self) -> str:
        return content(self._branch)

    def insert(self, index: int, text: str) -> None:
        self._at(index).insert(text, None)

    def delete(self, index: int, length: int) -> None:
        self._at(index).delete(length)

    def _at(self, index: int) -> Cursor:
        if self._edit is None:
            raise AssertionError("only what _writing() gives is written")
        cursor = Cursor(self._edit, self._branch)
        cursor.advance(index)
        return cursor


def _has_astral(text: str) -> bool:
    return not text.isascii() and len(text.encode("utf-16-le")) != 2 * len(text)
