"""Counter: concurrent increments add up."""

from __future__ import annotations

import re
from typing import Any

from syncline.engine.errors import ValueRefused, WrongType

from .base import FieldView

MAX_DIGITS = 1000
"""Longest sum of one writer. Python reads and writes no int of more than 4,300 digits."""
_SUM = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}", re.ASCII)


class Counter(FieldView):
    """A whole number that several devices change at once without losing a step.

    ``record.visits += 1`` and ``-= 1`` count; ``int(counter)`` and comparisons read. A step that is
    no int raises WrongType, a sum of more than 1,000 digits ValueRefused.

    Layout: the root map ``counter:<field>`` holds for each writer the sum of its own steps, in
    decimal digits; the value is the sum of all (the PN-counter of Shapiro et al., 2011, with signed
    sums).
    """

    kind = "counter"

    def _sums(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for writer, digits in self._host.document().map(self._root).items().items():
            if isinstance(digits, str) and _SUM.fullmatch(digits):  # else not of this layout
                sums[writer] = int(digits)
        return sums

    def _add(self, step: object, sign: int = 1) -> None:
        if type(step) is not int:
            raise WrongType(
                f"{self._where} counts in whole numbers, not {type(step).__qualname__}.",
                hint="Add an int; for amounts of money use a Decimal field.",
            )
        with self._host.writing() as document:
            writer = str(document.client_id)
            total = self._sums().get(writer, 0) + sign * step
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

    def __int__(self) -> int:
        return sum(self._sums().values())

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


def _number(other: Any) -> Any:
    return int(other) if isinstance(other, Counter) else other
