"""Text: concurrent typing merges character by character."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, Self

from syncline.engine.errors import OutOfRange, ValueRefused, WrongType

from .base import FieldView, index_in

MAX_INSERT = 1 << 20
"""Most code points in one insert; longer text goes in by pieces."""


class Characters(Protocol):
    """What an EditableText edits. Ranges have been checked."""

    def content(self) -> str: ...

    def insert(self, index: int, text: str) -> None: ...

    def delete(self, index: int, length: int) -> None: ...


class EditableText(ABC):
    """A text that several people edit at once. All positions are code points, as in ``str``.

    ``str(text)``, ``len(text)``, ``part in text``, ``text == other`` and ``text += more`` do what
    they do with a ``str``. What goes in is a str of at most 1,048,576 code points at a time without
    lone surrogates; anything else raises WrongType or ValueRefused.
    """

    @property
    @abstractmethod
    def where(self) -> str:
        """What errors call it."""

    @abstractmethod
    def _characters(self) -> Characters:
        """The text as it is now."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Characters]:
        """The text, for one change of it."""

    def insert(self, index: int, text: str) -> None:
        """Insert before code point ``index``; ``len(self)`` appends. Raises OutOfRange, WrongType,
        ValueRefused."""
        check_text(text, self.where)
        _check_ints(self.where, index)
        length = len(self)
        if not 0 <= index <= length:
            raise OutOfRange(
                f"{self.where} has {length} characters, so nothing can be inserted at {index}.",
                hint=f"Use an index from 0 to {length}.",
            )
        if text:
            with self._writing() as characters:
                characters.insert(index, text)

    def delete(self, index: int, length: int) -> None:
        """Delete ``length`` code points from ``index``. Raises OutOfRange."""
        _check_ints(self.where, index, length)
        size = len(self)
        if index < 0 or length < 0 or index + length > size:
            raise OutOfRange(
                f"{self.where} has {size} characters, so {length} cannot be deleted from {index}.",
                hint="The range must lie inside the text.",
            )
        if length:
            with self._writing() as characters:
                characters.delete(index, length)

    def append(self, text: str) -> None:
        """Insert at the end. Raises WrongType, ValueRefused."""
        self.insert(len(self), text)

    def __iadd__(self, text: str) -> Self:
        self.append(text)
        return self

    def __str__(self) -> str:
        return self._characters().content()

    def __len__(self) -> int:
        return len(self._characters().content())

    def __bool__(self) -> bool:
        return len(self) > 0

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text in self._characters().content()

    def __getitem__(self, index: int | slice) -> str:
        """The characters at ``index``, as of a str. Raises OutOfRange."""
        content = self._characters().content()
        if isinstance(index, slice):
            return content[index]
        return content[index_in(self.where, len(content), index)]

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        return str(self) == (str(other) if isinstance(other, EditableText) else other)

    __hash__ = None  # type: ignore[assignment]


class Text(EditableText, FieldView):
    """A text that several people edit at once. All positions are code points, as in ``str``.

    ``str(text)``, ``len(text)``, ``part in text``, ``text == other`` and ``text += more`` do what
    they do with a ``str``. What goes in is a str of at most 1,048,576 code points at a time without
    lone surrogates; anything else raises WrongType or ValueRefused.

    Layout: the root text ``text:<field>``, a Y.Text that any Yjs editor can bind to.
    """

    kind = "text"

    @property
    def where(self) -> str:
        """The record's address and the field's name."""
        return self._where

    def _characters(self) -> Characters:
        return self._host.document().text(self._root)

    @contextmanager
    def _writing(self) -> Generator[Characters]:
        with self._host.writing() as document:
            yield document.text(self._root)

    def fill(self, value: str) -> None:
        """Append ``value``."""
        self.append(value)

    def to_plain(self) -> str:
        """The text as a str."""
        return str(self)


def _check_ints(where: str, *positions: object) -> None:
    for position in positions:
        if not isinstance(position, int):
            raise WrongType(
                f"{where} is addressed by int, not {type(position).__qualname__}.",
                hint="Positions and lengths are numbers of code points.",
            )


def check_text(text: object, where: str) -> None:
    """Raise WrongType or ValueRefused unless ``text`` can be inserted into a text."""
    if not isinstance(text, str):
        raise WrongType(
            f"{where} takes str, not {type(text).__qualname__}.",
            hint="Convert the value with str() first.",
        )
    if len(text) > MAX_INSERT:
        raise ValueRefused(
            f"{where} cannot take {len(text):,} characters in one insert.",
            hint=f"Insert at most {MAX_INSERT:,} characters at a time.",
        )
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueRefused(
            f"{where} cannot store a lone surrogate.",
            hint="Decode the bytes with errors='replace' first.",
        )
