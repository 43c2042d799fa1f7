"""Counter: concurrent increments add up."""

from __future__ import annotations

import re
from typing import Any, cast

from syncline.engine.document.document import Document
from syncline.engine.document.roots import MapRoot
from syncline.engine.errors import ValueRefused, WrongType

from .base import FieldView

MAX_DIGITS = 1000
"""Longest sum of one writer. Python reads and writes no int of more than 4,300 digits."""
_SUM = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}", re.ASCII)
_WRITER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


class _Sums:
    """The sums of one root map, kept current: a step costs the same however many have counted."""

    def __init__(self, root: MapRoot) -> None:
        self._root = root
        self._by_writer: dict[str, int] = {}
        self._total = 0
        root.changed.clear()
        for writer in root.items():
            self._read(writer)

    def _refresh(self) -> None:
        if self._root.changed:
            for writer in self._root.changed:
                self._read(writer)
            self._root.changed.clear()

    def _read(self, writer: str) -> None:
        digits = self._root.items().get(writer)
        self._total -= self._by_writer.pop(writer, 0)
        if isinstance(digits, str) and _SUM.fullmatch(digits):  # else not of this layout
            self._by_writer[writer] = int(digits)
            self._total += self._by_writer[writer]

    def of(self, writer: str) -> int:
        """The sum of one writer."""
        self._refresh()
        return self._by_writer.get(writer, 0)

    def by_writer(self) -> dict[str, int]:
        """The sums of all writers, and what takes sums back, as entries of their own: a copy."""
        self._refresh()
        return dict(self._by_writer)

    def total(self) -> int:
        self._refresh()
        return self._total


def _sums_of(document: Document, root_name: str) -> _Sums:
    sums = document.attachments.get(root_name)
    if sums is None:
        sums = document.attachments[root_name] = _Sums(document.map(root_name))
    return cast("_Sums", sums)


class Counter(FieldView):
    """A whole number that several devices change at once without losing a step.

    ``record.visits += 1`` and ``-= 1`` count; ``int(counter)`` and comparisons read. A step that is
    no int raises WrongType, a sum of more than 1,000 digits ValueRefused.

    Layout: the root map ``counter:<field>`` holds for each writer the sum of its own steps, in
    decimal digits; the value is the sum of all (the PN-counter of Shapiro et al., 2011, with signed
    sums).
    """

    kind = "counter"

    def _sums(self) -> _Sums:
        return _sums_of(self._host.document(), self._root)

    def _add(self, step: object, sign: int = 1) -> None:
        if type(step) is not int:
            raise WrongType(
                f"{self._where} counts in whole numbers, not {type(step).__qualname__}.",
                hint="Add an int; for amounts of money use a Decimal field.",
            )
        with self._host.writing() as document:
            writer = str(document.client_id)
            total = _sums_of(document, self._root).of(writer) + sign * step
            if abs(total) >= 10**MAX_DIGITS:
                raise ValueRefused(
                    f"{self._where} cannot count beyond {MAX_DIGITS:,} digits.",
                    hint="Keep numbers of that size as bytes.",
                )
            document.map(self._root).set(writer, str(total))

    def __iadd__(self, step: int) -> Counter:
        self._add(step)
        return self

    def __isub__(self, step: int) -> Counter:
        self._add(step, -1)
        return self

    def __bool__(self) -> bool:
        return int(self) != 0

    def __format__(self, spec: str) -> str:
        return format(int(self), spec)

    def __int__(self) -> int:
        return self._sums().total()

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return bool(int(self) == _number(other))

    __hash__ = None  # type: ignore[assignment]  # it changes, like every view that compares by content

    def __lt__(self, other: float | Counter) -> bool:
        return bool(int(self) < _number(other))

    def __le__(self, other: float | Counter) -> bool:
        return bool(int(self) <= _number(other))

    def __gt__(self, other: float | Counter) -> bool:
        return bool(int(self) > _number(other))

    def __ge__(self, other: float | Counter) -> bool:
        return bool(int(self) >= _number(other))

    def __str__(self) -> str:
        return str(int(self))

    def fill(self, value: int) -> None:
        """Add ``value``."""
        self._add(value)

    def to_plain(self) -> int:
        """The number as an int."""
        return int(self)


def reset_counter(document: Document, root: str) -> None:
    """Make the counter in ``root`` 0, steps aside that this replica has not seen. Call inside the
    document's transaction.

    The entry ``-<writer>`` takes back that writer's sum. Deleting the sum instead would let it come
    back whole with the writer's next step, and two replicas that do the same at once take it back
    once, since both write the same entry. They are written by name: the library's order of a map is
    another one at each load.
    """
    entries, sums = document.map(root), _sums_of(document, root).by_writer()
    writers = {key for key in sums if _WRITER.fullmatch(key)}
    for key, total in sorted(sums.items()):
        if key in writers:
            if sums.get(f"-{key}", 0) != -total:
                entries.set(f"-{key}", str(-total))
        elif key[1:] not in writers or not key.startswith("-"):
            entries.delete(key)


def _number(other: Any) -> Any:
    return int(other) if isinstance(other, Counter) else other
