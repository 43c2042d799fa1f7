"""Writing operations of one client as one update: new content, and copies out of other histories.

Pieces of text, and plain values, that stand side by side become one struct, so a copy costs what
its content costs, however many edits made it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from syncline.engine.lib0 import write_uint
from syncline.engine.updates.delete_set import encode_deletes
from syncline.engine.updates.struct_format import ANY, STRING

from .history import Branch, Item
from .structs import Id, Parent, Struct, units, write_struct


class HistoryWriter:
    """Collects operations of ``client``, the first of which takes ``clock``."""

    def __init__(self, client: int, clock: int = 0) -> None:
        self.client = client
        self.clock = clock
        """The clock that the next operation takes."""
        self._first = clock
        self._structs: list[Struct] = []
        self._deleted: dict[int, list[tuple[int, int]]] = {}

    def add(
        self,
        kind: int,
        content: Any,
        parent: Parent,
        *,
        key: str | None = None,
        origin: Id | None = None,
        right_origin: Id | None = None,
    ) -> Struct:
        """Write one struct, between two operations, or into what is yet empty there."""
        length = units(content) if kind == STRING else len(content) if kind == ANY else 1
        struct = Struct(kind, length, content, origin, right_origin, parent, key)
        self._structs.append(struct)
        self.clock += length
        return struct

    def copy(self, source: Branch, parent: Parent) -> None:
        """Copy all that ``source`` shows into ``parent``, which is empty."""
        todo = deque([(source, parent)])
        while todo:
            source, parent = todo.popleft()
            last: Id | None = None
            for kind, content, branch in runs(source.items()):
                clock = self.clock
                self.add(kind, content, parent, origin=last)
                last = (self.client, self.clock - 1)
                if branch is not None:
                    todo.append((branch, (self.client, clock)))
            for key in sorted(source.entries):
                item = source.entry(key)
                if item is not None:
                    clock = self.clock
                    self.add(item.kind, item.content, parent, key=key)
                    if item.branch is not None:
                        todo.append((item.branch, (self.client, clock)))

    def delete(self, client: int, clock: int, length: int) -> None:
        """Delete operations that are known."""
        self._deleted.setdefault(client, []).append((clock, length))

    def update(self) -> bytes | None:
        """What was written, None if nothing was."""
        if not self._structs and not self._deleted:
            return None
        out = bytearray()
        write_uint(out, 1 if self._structs else 0)
        if self._structs:
            write_uint(out, len(self._structs))
            write_uint(out, self.client)
            write_uint(out, self._first)
            for struct in self._structs:
                write_struct(out, struct)
        out += encode_deletes(self._deleted)
        return bytes(out)


def runs(items: Iterable[Item]) -> Iterator[tuple[int, Any, Branch | None]]:
    """What ``items`` show, as (kind, content, nested type), what can be joined being joined."""
    kind = -1
    contents: list[Any] = []
    for item in items:
        if item.deleted:
            continue
        if item.kind != kind or kind not in (STRING, ANY):
            if contents:
                yield kind, _join(kind, contents), None
            kind, contents = item.kind, []
        if item.kind in (STRING, ANY):
            contents.append(item.content)
        else:
            yield item.kind, item.content, item.branch
    if contents:
        yield kind, _join(kind, contents), None


def _join(kind: int, contents: list[Any]) -> Any:
    return "".join(contents) if kind == STRING else [value for part in contents for value in part]
