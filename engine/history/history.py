"""Histories: what a document's update says, item by item, in the order that its readers see.

pycrdt shows values; rebuilding a document, or taking its edits to another history, needs what lies
below: which operation made which content, what stands beside what, what was deleted. So this reads
the bytes of a whole document and integrates them as Yjs does (YATA: Nicolaescu et al., "Near
Real-Time Peer-to-Peer Shared Editing on Extensible Data Types", 2016; Yjs, src/structs/Item.js),
whatever the types of its roots: nothing in a document says them, and nothing here asks.

Contents are kept as their bytes, so that everything that a Yjs update can hold (formatting,
embeds, XML, numbers of every kind, subdocuments) can be written again exactly.

The bytes must be those of ``Document.diff({})``: whole, and written by the CRDT library itself.
Later updates of that document keep a history current.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from syncline.engine.errors import DocumentBroken, LimitExceeded
from syncline.engine.updates.delete_set import read_deletes
from syncline.engine.updates.parse import StateVector
from syncline.engine.updates.struct_format import ANY, STRING, TYPE
from syncline.engine.updates.update_values import Budget, uint

from .structs import UNBOUNDED, Id, Parent, Struct, read_struct

_MAX_STEPS = 2_000_000
"""Items looked at to find the places of items that were put at one place concurrently. Honest
writers need a few each; items can be laid so that each looks at all."""


class Branch:
    """A shared type: a sequence of items, and items by key. ``parent`` names it in an update."""

    __slots__ = ("entries", "parent", "start")

    def __init__(self, parent: Parent) -> None:
        self.parent = parent
        self.start: Item | None = None
        self.entries: dict[str, Item] = {}
        """The latest item of each key; it may be deleted."""

    def items(self) -> Iterator[Item]:
        """The sequence, deleted items included."""
        item = self.start
        while item is not None:
            yield item
            item = item.right

    def entry(self, key: str) -> Item | None:
        """The item that ``key`` shows."""
        item = self.entries.get(key)
        return None if item is None or item.deleted else item


class Item:
    """A run of operations of one client that stand side by side.

    Kind, length, content and origins are those of its struct. ``home`` is None for what was
    collected, or lies in something that was.
    """

    __slots__ = (
        "branch", "client", "clock", "content", "deleted", "home", "key", "kind", "left", "length",
        "origin", "right", "right_origin",
    )  # fmt: skip

    def __init__(self, client: int, clock: int, struct: Struct) -> None:
        self.client = client
        self.clock = clock
        self.kind, self.length, self.content, self.origin, self.right_origin, _, self.key = struct
        self.deleted = self.content is None
        self.home: Branch | None = None
        self.branch = Branch((client, clock)) if self.kind == TYPE else None
        self.left: Item | None = None
        self.right: Item | None = None

    @property
    def id(self) -> Id:
        return self.client, self.clock

    @property
    def last_id(self) -> Id:
        return self.client, self.clock + self.length - 1

    def atoms(self) -> int:
        """How many code points, values or other single things it shows."""
        if self.deleted:
            return 0
        return len(self.content) if self.kind in (STRING, ANY) else 1


class History:
    """All items of one document. Raises DocumentBroken if ``update`` is not a whole document."""

    def __init__(self, update: bytes, max_steps: int = _MAX_STEPS) -> None:
        self.roots: dict[str, Branch] = {}
        self._items: dict[int, list[Item]] = {}
        self._clocks: dict[int, list[int]] = {}
        self.halved = False
        """Whether a character was cut in two, at which others, and the CRDT library, may part."""
        self._max_steps = max_steps
        self._steps = 0
        self.apply(update)

    def apply(self, update: bytes) -> bool:
        """Integrate an update; it must go on where this history ends, or be known already. Returns
        whether it was not. Raises DocumentBroken, or LimitExceeded for one that was made to take
        for ever; the history is of no use then."""
        try:
            return self._read(update)
        except (IndexError, KeyError, ValueError, UnicodeError) as error:
            raise _unreadable() from error

    def add(self, client: int, clock: int, struct: Struct, home: Branch, left: Item | None) -> Item:
        """The item of a struct that has just been made: the next of ``client``, after ``left``, of
        which it becomes a part if that is text that it goes on with."""
        if (
            left is not None
            and struct.kind == left.kind == STRING
            and struct.origin == left.last_id == (client, clock - 1)
            and struct.right_origin == left.right_origin
            and not left.deleted
        ):
            left.content += struct.content
            left.length += struct.length
            return left
        item = Item(client, clock, struct)
        self._items.setdefault(client, []).append(item)
        self._clocks.setdefault(client, []).append(clock)
        link(item, home, left)
        return item

    def ends(self) -> dict[int, int]:
        """For each client, the clock after its last operation."""
        return {client: self._end(client) for client, items in self._items.items() if items}

    def _end(self, client: int) -> int:
        items = self._items.get(client)
        return items[-1].clock + items[-1].length if items else 0

    def root(self, name: str) -> Branch:
        branch = self.roots.get(name)
        if branch is None:
            branch = self.roots[name] = Branch(name)
        return branch

    def find(self, client: int, clock: int) -> Item:
        """The item that holds this operation."""
        place = bisect_right(self._clocks[client], clock) - 1
        item = self._items[client][place]
        if place < 0 or clock >= item.clock + item.length:
            raise _unreadable()
        return item

    def starting(self, client: int, clock: int) -> Item:
        """The item that begins with this operation, split off if need be."""
        item = self.find(client, clock)
        return item if item.clock == clock else self._split(item, clock - item.clock)

    def ending(self, client: int, clock: int) -> Item:
        """The item that ends with this operation, split off if need be."""
        item = self.find(client, clock)
        if clock + 1 < item.clock + item.length:
            self._split(item, clock + 1 - item.clock)
        return item

    def between(self, client: int, start: int, end: int) -> Iterator[Item]:
        """The items that hold operations ``start`` to ``end``, in the order of their clocks."""
        clocks, items = self._clocks[client], self._items[client]
        place = bisect_right(clocks, start) - 1
        while place < len(items) and items[place].clock < end:
            yield items[place]
            place += 1

    def cut(self, state: StateVector) -> None:
        """Split items so that none lies on both sides of ``state``."""
        for client, clock in state.items():
            clocks = self._clocks[client]
            if (
                clock
                and clocks
                and clock < self._items[client][-1].clock + (self._items[client][-1].length)
            ):
                self.starting(client, clock)

    def _split(self, item: Item, offset: int) -> Item:
        content = tail = item.content
        if content is not None and item.kind == STRING:
            # A character that is cut in two becomes two U+FFFD, as in Yjs.
            encoded = content.encode("utf-16-le")
            self.halved = self.halved or 0xD8 <= encoded[offset * 2 - 1] <= 0xDB
            content = encoded[: offset * 2].decode("utf-16-le", "replace")
            tail = encoded[offset * 2 :].decode("utf-16-le", "replace")
        elif content is not None and item.kind == ANY:
            content, tail = content[:offset], content[offset:]
        origin = (item.client, item.clock + offset - 1)
        struct = Struct(
            item.kind, item.length - offset, tail, origin, item.right_origin, None, item.key
        )
        rest = Item(item.client, item.clock + offset, struct)
        item.content, item.length = content, offset
        rest.deleted, rest.home = item.deleted, item.home
        if item.home is not None:
            rest.left, rest.right = item, item.right
            item.right = rest
            if rest.right is not None:
                rest.right.left = rest
            elif rest.key is not None:
                item.home.entries[rest.key] = rest
        place = bisect_right(self._clocks[item.client], item.clock)
        self._clocks[item.client].insert(place, rest.clock)
        self._items[item.client].insert(place, rest)
        return rest

    def _read(self, update: bytes) -> bool:
        changed = False
        queues: dict[int, list[tuple[Item, Parent | None]]] = {}
        budget = Budget(UNBOUNDED)
        sections, at = uint(update, 0)
        for _ in range(sections):
            count, at = uint(update, at)
            client, at = uint(update, at)
            clock, at = uint(update, at)
            known = self._end(client)
            if clock > known:
                raise _unreadable()
            queue: list[tuple[Item, Parent | None]] = []
            for _ in range(count):
                struct, at = read_struct(update, at, budget)
                if clock >= known:
                    changed = True
                    queue.append((Item(client, clock, struct), struct.parent))
                elif clock + struct.length > known:
                    raise _unreadable()  # the library begins with what is new
                clock += struct.length
            queues[client] = queue
        self._integrate_all(queues)
        for client, clock, length in read_deletes(update, at):
            changed |= self._delete(client, clock, clock + length)
        return changed

    def _delete(self, client: int, start: int, end: int) -> bool:
        changed = False
        for item in list(self.between(client, start, end)):
            if item.deleted:
                continue
            if item.clock < start:
                item = self._split(item, start - item.clock)  # noqa: PLW2901
            if item.clock + item.length > end:
                self._split(item, end - item.clock)
            item.deleted = changed = True
        return changed

    def _integrate_all(self, queues: dict[int, list[tuple[Item, Parent | None]]]) -> None:
        reached = {client: self._end(client) for client in queues}
        place = dict.fromkeys(queues, 0)
        for client in queues:
            self._items.setdefault(client, [])
            self._clocks.setdefault(client, [])
        for first in queues:
            # Whoever is on top goes on until an item waits for another client, which goes first.
            stack = [first]
            idle = 0  # how deep it was at the last progress: waiting for each other never ends
            while stack:
                client = stack[-1]
                if place[client] == len(queues[client]):
                    stack.pop()
                    continue
                item, parent = queues[client][place[client]]
                for needed in (item.origin, item.right_origin, parent):
                    if isinstance(needed, tuple) and (
                        reached.get(needed[0], self._end(needed[0])) <= needed[1]
                    ):
                        other = needed[0]
                        if (
                            other not in queues
                            or place[other] == len(queues[other])
                            or len(stack) > idle + len(queues)
                        ):
                            raise _unreadable()
                        stack.append(other)
                        break
                else:
                    self._items[client].append(item)
                    self._clocks[client].append(item.clock)
                    self._integrate(item, parent)
                    idle = len(stack)
                    place[client] += 1
                    reached[client] += item.length

    def _integrate(self, item: Item, parent: Parent | None) -> None:
        left = self.ending(*item.origin) if item.origin else None
        right = self.starting(*item.right_origin) if item.right_origin else None
        if (left and left.home is None) or (right and right.home is None):
            item.deleted = True  # beside what was collected: Yjs collects it too
            return
        beside = left or right
        if beside is not None:
            item.home, item.key = beside.home, beside.key
        elif isinstance(parent, str):
            item.home = self.root(parent)
        elif parent is not None:
            created = self.find(*parent)
            item.home = None if created.content is None else created.branch
        if item.home is None:
            item.deleted = True
            return
        if left.right is not right if left else right is None or right.left is not None:
            left = self._resolve(item, item.home, left, right)
        link(item, item.home, left)

    def _resolve(
        self, item: Item, home: Branch, left: Item | None, right: Item | None
    ) -> Item | None:
        """After which item it goes, of those that were put at one place concurrently."""
        other = left.right if left else _first(home, item.key)
        before: set[int] = set()
        conflicting: set[int] = set()
        while other is not None and other is not right:
            self._steps += 1
            if self._steps > self._max_steps:
                raise LimitExceeded(
                    "The history of this document cannot be read: its operations are laid so that "
                    f"ordering them takes more than {self._max_steps:,} steps.",
                    hint="No editor makes such a document. Texts of it can be read as str.",
                )
            before.add(id(other))
            conflicting.add(id(other))
            if other.origin == item.origin:
                if other.client < item.client:
                    left = other
                    conflicting.clear()
                elif other.right_origin == item.right_origin:
                    break
            elif other.origin and id(origin := self.find(*other.origin)) in before:
                if id(origin) not in conflicting:
                    left = other
                    conflicting.clear()
            else:
                break
            other = other.right
        return left


def link(item: Item, home: Branch, left: Item | None) -> None:
    """Put ``item`` after ``left``, or first."""
    item.home = home
    item.left = left
    item.right = left.right if left else _first(home, item.key)
    if left is not None:
        left.right = item
    elif item.key is None:
        home.start = item
    if item.right is not None:
        item.right.left = item
    elif item.key is not None:
        home.entries[item.key] = item


def _first(home: Branch, key: str | None) -> Item | None:
    if key is None:
        return home.start
    item = home.entries.get(key)
    while item is not None and item.left is not None:
        item = item.left
    return item


def _unreadable() -> DocumentBroken:
    return DocumentBroken(
        "The history of this document cannot be read: operations are missing, or a character was "
        "cut in two.",
        hint="It stays as it is, and can be used. Please report it with the document's updates.",
    )
