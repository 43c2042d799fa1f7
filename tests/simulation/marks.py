"""What became of every single edit: each leaves a mark, a text that is used once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Edit:
    """``removes``: the edit took the mark away, else it put it there."""

    mark: str
    removes: bool = False


@dataclass(slots=True)
class Marks:
    """The edits of one device. ``fresh`` are those that are not known to be on its disk."""

    fresh: list[Edit] = field(default_factory=list[Edit])
    durable: list[Edit] = field(default_factory=list[Edit])
    crashed: list[list[Edit]] = field(default_factory=list[list[Edit]])
    """What was fresh when the device died, one list for each time."""
    undone: list[str] = field(default_factory=list[str])
    """Made in transactions that raised."""

    def flushed(self, count: int) -> None:
        """The ``count`` oldest fresh edits are on the disk."""
        self.durable.extend(self.fresh[:count])
        del self.fresh[:count]

    def died(self) -> None:
        self.crashed.append(self.fresh)
        self.fresh = []


def check(devices: Sequence[Marks], present: Iterable[str]) -> None:
    """Check that ``present`` is what must be there once everything has come together."""
    found = Counter(present)
    double = [mark for mark, count in found.items() if count > 1]
    assert not double, f"edits applied twice: {double}"
    put: set[str] = set()
    for marks in devices:
        assert not marks.fresh, f"edits never flushed: {marks.fresh}"
        undone = [mark for mark in marks.undone if mark in found]
        assert not undone, f"edits of transactions that raised: {undone}"
        put.update(edit.mark for edit in _all_edits(marks) if not edit.removes)
    unknown = [mark for mark in found if mark not in put]
    assert not unknown, f"edits that nobody made: {unknown}"
    removed = {e.mark for marks in devices for e in _all_edits(marks) if e.removes}
    for marks in devices:
        _check_durable(marks, found, removed)
        for lost in marks.crashed:
            _check_prefix(lost, found, removed)


def _all_edits(marks: Marks) -> list[Edit]:
    return [*marks.durable, *(edit for lost in marks.crashed for edit in lost)]


def _check_durable(marks: Marks, found: Counter[str], removed: set[str]) -> None:
    for edit in marks.durable:
        if edit.removes:
            assert edit.mark not in found, f"removed and flushed, but there: {edit.mark}"
        elif edit.mark not in removed:
            assert edit.mark in found, f"flushed, but lost: {edit.mark}"


def _check_prefix(lost: list[Edit], found: Counter[str], removed: set[str]) -> None:
    """A crash may take the last edits, never one before an edit that is kept."""
    # Of a mark that somebody removed nothing can be told.
    kept = [edit.mark in found for edit in lost if edit.mark not in removed]
    assert kept == sorted(kept, reverse=True), f"a hole in what a crash left: {lost} {kept}"
