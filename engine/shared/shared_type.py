"""Shared types as objects of a program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from syncline.engine.document.document import Document
from syncline.engine.document.frozen import freeze
from syncline.engine.errors import Detached, ValueRefused, WrongType
from syncline.engine.fields import Host
from syncline.engine.fields.base import index_in
from syncline.engine.history.history import Branch, Item
from syncline.engine.updates.struct_format import ANY, BINARY, DOCUMENT, EMBED

from .edit import Edit
from .items import Items, items_of, shape_of
from .place import Place
from .values import read_any, read_binary, read_json, read_subdocument


class Shared(ABC):
    """A shared type: live in a document, or made by a program and not yet put into one.

    What a live one shows is always current. One that was deleted, by whomever, raises Detached.
    """

    shape: ClassVar[int]
    _by_shape: ClassVar[dict[int, type[Shared]]] = {}
    _place: Place | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "shape" in cls.__dict__:
            cls._by_shape[cls.shape] = cls

    @classmethod
    def of_root(cls, host: Host, address: str, name: str) -> Self:
        """The root ``name`` of a document, as this type."""
        made = cls.__new__(cls)
        made.place_at(Place(host, address, name, f"{address}:{name}"))
        return made

    @staticmethod
    def at(place: Place, shape: int) -> Shared:
        """The shared type at a place."""
        kind = Shared._by_shape[shape]
        made = kind.__new__(kind)
        made.place_at(place)
        return made

    def place_at(self, place: Place | None) -> None:
        """Be the shared type at ``place``; None for no longer being one."""
        self._place = place

    def check_unplaced(self, where: str) -> None:
        """Raise ValueRefused for what is in a document: it cannot be in two places."""
        if self._place is not None:
            raise ValueRefused(
                f"{where} cannot hold {self._place.where} as well: a shared type has one place.",
                hint="Put in what its to_plain() gives, or a new one made of it.",
            )

    @property
    def place(self) -> Place:
        """Raises Detached for what is in no document yet."""
        if self._place is None:
            raise Detached(
                f"This {type(self).__name__} is in no document yet.",
                hint="Put it into a map, an array, a text or an XML node first; then use it.",
            )
        return self._place

    @property
    def where(self) -> str:
        """What errors call it."""
        return self.place.where

    def type_head(self) -> bytes:
        """The content of the operation that makes such a type."""
        return bytes([self.shape])

    @abstractmethod
    def fill_branch(self, edit: Edit, branch: Branch, where: str, depth: int) -> None:
        """Put what the program gave it into the type that has just been made."""

    def found(self) -> tuple[Items, Branch]:
        """The type as it is now. Raises Detached, SchemaError, RecordNotFound."""
        return self.found_in(self.place.host.document())

    def found_in(self, document: Document) -> tuple[Items, Branch]:
        place, items = self.place, items_of(document)
        if place.made_by is None:
            items.check(place.address, place.root, self.shape)
            return items, items.history.root(place.root)
        branch = items.branch(place.made_by) if place.epoch == document.epoch else None
        if branch is None:
            raise Detached(
                f"{place.where} was deleted.",
                hint="Get what is there now from the document.",
            )
        return items, branch

    @contextmanager
    def editing(self) -> Generator[tuple[Edit, Branch]]:
        """The type, for one change of it; what raises changes nothing."""
        self.found()
        with self.place.host.writing() as document:
            items, branch = self.found_in(document)
            edit = Edit(items, document, self.place)
            try:
                yield edit, branch
                edit.finish()
            except BaseException:
                edit.abort()
                raise

    def delete_neighbours(self, index: int | slice, length: int, counted: frozenset[int]) -> None:
        """Delete one of the ``length`` things in it that ``counted`` counts, or a slice of them
        without a step. Raises WrongType, OutOfRange."""
        if isinstance(index, slice):
            start, stop, step = index.indices(length)
            if step != 1:
                raise WrongType(
                    f"Of {self.where} only neighbours are deleted at once, not every {step}th.",
                    hint="Delete a slice without a step.",
                )
        else:
            start = index_in(self.where, length, index)
            stop = start + 1
        if stop > start:
            with self.editing() as (edit, branch):
                edit.delete_between(branch, start, stop, counted)

    def value(self, item: Item, offset: int, where: str) -> Any:
        """What an item in this type holds at ``offset``: a shared type as a live object."""
        if item.branch is not None:
            return Shared.at(self.place.inside(item.id, where), shape_of(item))
        return freeze(plain_value(item, offset), where)


def plain_value(item: Item, offset: int) -> Any:
    """What an item that is no shared type holds at ``offset``; -1 for the last."""
    reader = _READERS.get(item.kind)
    if reader is not None:
        return reader(item.content)
    value = item.content[offset]
    return read_any(value) if item.kind == ANY else value


_READERS: dict[int, Callable[[bytes], Any]] = {
    BINARY: read_binary,
    EMBED: read_json,
    DOCUMENT: read_subdocument,
}
