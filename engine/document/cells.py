"""Cells: the layout under registers, sets, lists and maps.

In a Y.Map the higher client id wins concurrent sets of a key. So no two writers share a key here:
a cell is the entry ``name/writer`` of a root map, ``writer`` being the client id that wrote it,
and its value is the JSON text ``[stamp, value]``. A write puts the writer's own cell and removes
the other cells of that name that it has seen; whatever was written concurrently stays beside it
until a later write has seen it. Readers choose by stamp. docs/record-layout.md is normative.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, TypeVar, cast

import orjson

from syncline.engine.clock import MAX_STAMP

from .document import Document
from .roots import MapRoot
from .values import unpack

D = TypeVar("D")

_WRITER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)  # one spelling for each client id


class Cell(NamedTuple):
    """One written value. Cells of one name order by time, then by writer: the greatest is
    newest."""

    stamp: int
    writer: int
    value: Any


class Cells:
    """The cells of one root map, parsed once and kept current."""

    def __init__(self, root: MapRoot) -> None:
        self._root = root
        self._by_name: dict[str, dict[int, Cell]] = {}
        self._derived: Any = None
        self.latest = 0
        """The highest stamp read so far."""
        self._news: set[str] | None = None
        root.changed.clear()
        for key in root.items():
            self._read(key)

    def _current(self) -> dict[str, dict[int, Cell]]:
        if self._root.changed:
            for key in self._root.changed:
                self._read(key)
            self._root.changed.clear()
            self._derived = None
        return self._by_name

    def _read(self, key: str) -> None:
        name, slash, writer_text = key.rpartition("/")
        if not slash or not _WRITER.fullmatch(writer_text):
            return  # not of this layout: some other program's entry
        if self._news is not None:
            self._news.add(name)
        writer = int(writer_text)
        siblings = self._by_name.setdefault(name, {})
        cell = _parse_cell(writer, self._root.items().get(key))
        if cell is None:
            siblings.pop(writer, None)
            if not siblings:
                del self._by_name[name]
        else:
            siblings[writer] = cell
            self.latest = max(self.latest, cell.stamp)

    def derive(self, build: Callable[[], D]) -> D:
        """What ``build`` makes of all cells, made again only after a change."""
        self._current()
        if self._derived is None:
            self._derived = build()
        return cast("D", self._derived)

    def follow(self) -> None:
        """Collect from now on the names that change, for ``take_news``."""
        self._current()
        self._news = set()

    def take_news(self) -> set[str]:
        """The names whose cells have changed since the last call. ``follow`` comes first."""
        self._current()
        news, self._news = self._news or set(), set()
        return news

    def names(self) -> Iterator[str]:
        """The names that have a cell, in no particular order."""
        return iter(list(self._current()))

    def __contains__(self, name: str) -> bool:
        return name in self._current()

    def __len__(self) -> int:
        return len(self._current())

    def siblings(self, name: str) -> list[Cell]:
        """The cells of ``name`` that no write has replaced, newest first."""
        found = self._current().get(name)
        if not found:
            return []
        if len(found) == 1:
            return list(found.values())
        return sorted(found.values(), key=_age, reverse=True)

    def contested(self) -> set[str]:
        """The names of which there are several cells: written at the same time."""
        return {name for name, found in self._current().items() if len(found) > 1}

    def newest(self, name: str) -> Cell | None:
        found = self._current().get(name)
        return max(found.values(), key=_age) if found else None

    def stamp(self, name: str) -> int:
        """The newest stamp under ``name``, 0 if there is none."""
        newest = self.newest(name)
        return newest.stamp if newest else 0

    def write(self, name: str, encoded: bytes, stamp: int) -> None:
        """Write our cell and remove the others. Call inside the document's transaction."""
        writer = self._root.document.client_id
        others = [other for other in self._current().get(name, ()) if other != writer]
        self._root.set(f"{name}/{writer}", f"[{stamp},{encoded.decode()}]")
        for other in others:
            self._root.delete(f"{name}/{other}")

    def restamp(self, name: str, stamp: int) -> None:
        """Write the newest value of ``name`` again, with another stamp. Call inside the document's
        transaction. Raises KeyError."""
        newest = self.newest(name)
        if newest is None:
            raise KeyError(name)
        text: str = self._root.items()[f"{name}/{newest.writer}"]
        self.write(name, text.strip()[:-1].partition(",")[2].encode(), stamp)

    def remove(self, name: str) -> None:
        """Remove every cell of ``name`` that we see. Call inside the document's transaction."""
        for writer in list(self._current().get(name, ())):
            self._root.delete(f"{name}/{writer}")


def cells_of(document: Document, root_name: str) -> Cells:
    """The cells of a root of this document; one object per document and root."""
    cells = document.attachments.get(root_name)
    if cells is None:
        cells = document.attachments[root_name] = Cells(document.map(root_name))
    return cells


def clear_cells(root: MapRoot, keep: Collection[str] = ()) -> None:
    """Remove every entry whose key is that of a cell, whether this version knows its value or not,
    but for the names in ``keep``. Call inside the document's transaction."""
    for key in list(root.items()):
        name, slash, writer = key.rpartition("/")
        if slash and name not in keep and _WRITER.fullmatch(writer):
            root.delete(key)


def _age(cell: Cell) -> tuple[int, int]:
    return cell.stamp, cell.writer


def _parse_cell(writer: int, text: object) -> Cell | None:
    """None for what is not of this layout: a reader ignores it, a writer replaces it."""
    if not isinstance(text, str):
        return None
    try:
        stamp, packed = orjson.loads(text)
        value = unpack(packed)
    except (ValueError, TypeError):
        return None
    if type(stamp) is not int or not 0 <= stamp <= MAX_STAMP:
        return None
    return Cell(stamp, writer, value)
