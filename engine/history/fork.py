"""Forking: edits that were made on an old history, made again on a new one.

A document that was rebuilt has a new history (rebuild.py), and a replica may hold edits of the old
one that the relay does not have. Merging the two histories would show everything twice. So three
documents are compared: ``base``, what the relay had acknowledged of the old history, ``edited``,
that and the edits, and ``onto``, the new history, which may hold newer edits of others. What
``edited`` has beyond ``base`` is written into ``onto``, as new operations of its writer:

- entries of maps by key. Cells and counters compare with what is there as readers do, so they end
  as if all had happened in one history, and doing it twice changes nothing; of two values of a
  plain Yjs map the one that is written again wins. A removal is repeated where ``onto`` still
  holds what was removed;
- sequences (texts, arrays, XML) by their exact edits, which the operations of the old history tell,
  at the places that ``align`` finds in ``onto``. What was inserted where ``onto`` holds something
  else now goes behind that; what ``onto`` has changed is not deleted. Insertions have no identity
  beyond their history: doing it twice inserts twice;
- types inside others by their key, or by what they hold. Where others changed one of several, the
  changed ones are matched in their order, if they are as many as before; where one has no match,
  the edited one is put beside, whole. If others set its key to something else, that stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson

from syncline.engine.document.document import Document
from syncline.engine.errors import ValueRefused
from syncline.engine.records.liveness import is_live
from syncline.engine.records.schema import REGISTERS
from syncline.engine.updates.parse import StateVector, covers

from .alignment import Alignment, align
from .fork_values import cell_stamp, has_seen, is_deletion, next_sum
from .history import Branch, History, Item, link
from .history_writer import HistoryWriter, runs
from .shapes import Places, Shapes
from .structs import Id, text_value


def reapply(base: Document, edited: Document, onto: Document) -> bool:
    """Write what ``edited`` has beyond ``base`` into ``onto``, as one local change of it.

    ``edited`` is ``base`` and further edits. Returns whether anything was written. Raises
    ValueRefused if ``edited`` is of another history, LimitExceeded if types nest too deep.
    """
    if not covers(edited.state_vector(), base.state_vector()):
        raise ValueRefused(
            "The edited document is not a later state of the base that it is compared with.",
            hint="Give the same history without and with the edits.",
        )
    update = _Fork(base, edited, onto).update()
    if update is None:
        return False
    onto.adopt(update)
    return True


class _Branches(NamedTuple):
    """One shared type in the three histories, and the name of its root (``""`` inside others)."""

    base: Branch
    edited: Branch
    onto: Branch
    root: str


class _Insert(NamedTuple):
    """New items, and before which atom of the base they stand."""

    place: int
    items: list[Item]


class _Edits(NamedTuple):
    """What was done to one sequence, in atoms of the base."""

    inserts: list[_Insert]
    deletes: list[tuple[int, int]]
    """(start, end)"""
    inside: list[tuple[int, Branch, Item]]
    """Types that were edited inside: where, as they were, and as they are."""


class _Fork:
    """One run of ``reapply``."""

    def __init__(self, base: Document, edited: Document, onto: Document) -> None:
        self._is_live = partial(is_live, edited)
        self._known = base.state_vector()
        self._base = History(base.diff({}))
        self._edited = History(edited.diff({}))
        self._edited.cut(self._known)
        self._onto = History(onto.diff({}))
        self._state = dict(onto.state_vector())
        self._writer = HistoryWriter(onto.client_id, self._state.get(onto.client_id, 0))
        self._shapes = Shapes()
        self._todo: deque[_Branches] = deque()
        self._deletions: list[tuple[str, Item]] = []
        """Cells that delete the record under keep-edit: they come last, having seen the rest."""

    def update(self) -> bytes | None:
        for name in sorted(self._edited.roots):
            self._todo.append(
                _Branches(
                    self._base.root(name), self._edited.roots[name], self._onto.root(name), name
                )
            )
        grown = self._deletes() and self._grown()
        while self._todo:
            branches = self._todo.popleft()
            self._entries(branches)
            self._sequence(branches)
        for key, item in self._deletions:
            self._delete_record(key, item, grown)
        return self._writer.update()

    # Entries

    def _entries(self, branches: _Branches) -> None:
        base, edited, onto, _ = branches
        for key in sorted(edited.entries):
            old, new, there = base.entry(key), edited.entry(key), onto.entry(key)
            if new is None:
                if old is not None and there is not None and self._unchanged(key, old, there):
                    self._delete(there)
            elif old is None or old.last_id != new.last_id:
                self._write(branches, key, old, new)
            elif old.branch is not None and new.branch is not None and self._differ(old, new):
                if there is None:
                    self._set(onto, key, new.kind, new.content, new.branch)
                elif there.branch is not None and there.content == new.content:
                    self._todo.append(_Branches(old.branch, new.branch, there.branch, ""))

    def _differ(self, old: Item, new: Item) -> bool:
        """Whether one type was edited inside."""
        return self._shapes.number(old.branch) != self._shapes.number(new.branch)

    def _unchanged(self, key: str, old: Item, there: Item) -> bool:
        stamp = cell_stamp(key, old)
        if stamp is not None:
            return cell_stamp(key, there) == stamp
        return self._shapes.same(old, there)

    def _write(self, branches: _Branches, key: str, old: Item | None, new: Item) -> None:
        root, onto = branches.root, branches.onto
        there = onto.entry(key)
        stamp, other = cell_stamp(key, new), cell_stamp(key, there)
        if stamp is not None and other is not None and other >= stamp:
            return
        if is_deletion(root, key) and has_seen(key, new):
            self._deletions.append((key, new))
            return
        content = new.content
        total = next_sum(root, old, new, there)
        if total is not None:
            content = [text_value(total)]
        if there is None or there.content != content or not self._shapes.same(new, there):
            self._set(onto, key, new.kind, content, new.branch)

    def _set(
        self, home: Branch, key: str, kind: int, content: Any, source: Branch | None = None
    ) -> None:
        before = home.entries.get(key)
        origin = None if before is None else before.last_id
        if before is not None and not before.deleted:
            self._delete(before)
        self._put(home, before, kind, content, source, key=key, origin=origin)

    def _put(
        self,
        home: Branch,
        left: Item | None,
        kind: int,
        content: Any,
        source: Branch | None,
        *,
        key: str | None = None,
        origin: Id | None,
        right_origin: Id | None = None,
    ) -> Item:
        """Write one struct; the histories then hold it too, so that the next one finds it."""
        clock = self._writer.clock
        struct = self._writer.add(
            kind, content, home.parent, key=key, origin=origin, right_origin=right_origin
        )
        item = Item(self._writer.client, clock, struct)
        link(item, home, left)
        if source is not None:
            self._writer.copy(source, item.id)
        return item

    def _delete(self, item: Item) -> None:
        item.deleted = True
        self._writer.delete(item.client, item.clock, item.length)

    def _delete_record(self, key: str, item: Item, grown: bool) -> None:
        """Repeat a deletion under keep-edit: it has seen ``onto``, unless others edited that."""
        seen: StateVector = {}
        if not self._is_live():
            if not grown:
                seen.update(self._state)
            seen[self._writer.client] = self._writer.clock + 1
        stamp = cell_stamp(key, item)
        value = orjson.dumps([stamp, sorted(seen.items())]).decode()
        self._set(self._onto.root(REGISTERS), key, item.kind, [text_value(value)])

    def _deletes(self) -> bool:
        return any(
            has_seen(key, item)
            for key, item in self._edited.root(REGISTERS).entries.items()
            if is_deletion(REGISTERS, key)
        )

    def _grown(self) -> bool:
        """Whether ``onto`` shows something that the base did not, the existence of it aside."""
        for name, onto in self._onto.roots.items():
            base = self._base.root(name)
            for key in onto.entries:
                there, old = onto.entry(key), base.entry(key)
                if there is None or is_deletion(name, key):
                    continue
                if old is None or not self._unchanged(key, old, there):
                    return True
            common = align(*self._comparable(base, onto))
            if any(new_end > new for _, _, new, new_end in common.gaps()):
                return True
        return False

    # Sequences

    def _sequence(self, branches: _Branches) -> None:
        edits = self._edits(branches.edited)
        if not any(edits):
            return
        common = align(*self._comparable(branches.base, branches.onto))
        places = Places(branches.onto)
        types = places.types()
        pairs = _paired(common, Places(branches.base).types(), types)
        inserts = list(edits.inserts)
        for place, old, new in edits.inside:
            image = common.image(place)
            image = pairs.get(place) if image is None else image
            if image is None or new.branch is None:
                inserts.append(_Insert(place + 1, [new]))
            elif (inner := types[image].branch) is not None:
                self._todo.append(_Branches(old, new.branch, inner, ""))
        deletes = [
            span
            for start, end in edits.deletes
            for new, new_end in _images(common, start, end)
            for span in places.spans(new, new_end)
        ]
        anchored = [
            (_anchor(places, common.place(place)), items)
            for place, items in sorted(inserts, key=_by_place)
        ]
        for span in deletes:
            self._writer.delete(*span)
        self._insert(branches.onto, anchored)

    def _comparable(self, base: Branch, onto: Branch) -> tuple[Sequence[Any], Sequence[Any]]:
        old, new = self._shapes.atoms(base), self._shapes.atoms(onto)
        return (old, new) if type(old) is type(new) else (list(old), list(new))

    def _edits(self, edited: Branch) -> _Edits:
        edits = _Edits([], [], [])
        place = 0
        for item in edited.items():
            if item.clock >= self._known.get(item.client, 0):
                if item.deleted:
                    continue
                if edits.inserts and edits.inserts[-1].place == place:
                    edits.inserts[-1].items.append(item)
                else:
                    edits.inserts.append(_Insert(place, [item]))
                continue
            end = item.clock + item.length
            self._base.starting(item.client, item.clock)
            self._base.ending(item.client, end - 1)
            for old in self._base.between(item.client, item.clock, end):
                atoms = old.atoms()
                if item.deleted and atoms:
                    edits.deletes.append((place, place + atoms))
                elif atoms and old.branch is not None and self._differ(old, item):
                    edits.inside.append((place, old.branch, item))
                place += atoms
        return edits

    def _insert(self, onto: Branch, anchored: list[tuple[Id | None, list[Item]]]) -> None:
        anchor: Id | None = None
        left: Item | None = None
        for number, (following, items) in enumerate(anchored):
            if not number or following != anchor:
                anchor = following
                left = None if anchor is None else self._onto.ending(*anchor)
            for kind, content, source in runs(items):
                right = onto.start if left is None else left.right
                left = self._put(
                    onto,
                    left,
                    kind,
                    content,
                    source,
                    origin=None if left is None else left.last_id,
                    right_origin=None if right is None else right.id,
                )


def _by_place(insert: _Insert) -> int:
    return insert.place


def _anchor(places: Places, place: int) -> Id | None:
    """The operation that what shall stand before the atom ``place`` stands behind."""
    for client, clock, length in places.spans(place - 1, place) if place else ():
        return client, clock + length - 1
    return None


def _images(common: Alignment, start: int, end: int) -> Iterator[tuple[int, int]]:
    """What is left of the old atoms from ``start`` to ``end``: ranges of the new ones."""
    for block in common.overlapping(start, end):
        first, last = max(start, block.old), min(end, block.old + block.size)
        yield block.new + first - block.old, block.new + last - block.old


def _paired(common: Alignment, old: dict[int, Item], new: dict[int, Item]) -> dict[int, int]:
    """Types that others changed, by their place in the base: where they are now.

    Between what is common they keep their order; if they are not as many as before, nothing says
    which is which.
    """
    pairs: dict[int, int] = {}
    for start, end, new_start, new_end in common.gaps():
        before = [place for place in old if start <= place < end]
        after = [place for place in new if new_start <= place < new_end]
        if [old[place].content for place in before] == [new[place].content for place in after]:
            pairs.update(zip(before, after, strict=True))
    return pairs
