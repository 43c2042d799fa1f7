"""Numbers and truth values, from text or from what a database gives."""

from __future__ import annotations

import decimal
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Literal, TypeAlias

from .rule import Row, Rule, Stage, check_option, library

Rounding: TypeAlias = Literal["half-even", "half-up", "down", "refuse"]

MAX_DIGITS = 65
"""Most digits before the decimal point, and after it: MariaDB's largest DECIMAL has as many."""

_PLAIN = re.compile(r"[+-]?\d+(\.\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_ROUNDINGS: dict[str, str] = {
    "half-even": decimal.ROUND_HALF_EVEN,
    "half-up": decimal.ROUND_HALF_UP,
    "down": decimal.ROUND_DOWN,
}
_EXACT = decimal.Context(prec=4 * MAX_DIGITS, traps=[decimal.InvalidOperation])
_WORDS = {"true": True, "false": False, "1": True, "0": False}


class Number(Rule):
    """A Decimal, from digits or as ``locale`` writes numbers (``1.234,5`` in ``de``).

    With ``places``, that many digits after the point, rounded half to even, ``half-up``, ``down``,
    or ``refuse``; without, no zeros at the end, so that 1.50 and 1.5 are one value.
    """

    name: ClassVar[str] = "Decimal"
    stage: ClassVar[Stage] = "type"
    gives: ClassVar[type] = Decimal

    def __init__(
        self,
        locale: str | None = None,
        *,
        places: int | None = None,
        rounding: Rounding = "half-even",
    ) -> None:
        self._locale = locale
        self._places = places
        self._rounding = rounding
        few = places is None or (type(places) is int and 0 <= places <= MAX_DIGITS)
        check_option(few, self.name, f"takes no places of {places!r}", f"Give 0 to {MAX_DIGITS}.")
        known = rounding in (*_ROUNDINGS, "refuse")
        hint = f"Use one of {', '.join(_ROUNDINGS)}, refuse."
        check_option(known, self.name, f"knows no rounding {rounding!r}", hint)
        if locale is not None:
            babel = library("babel", self.name)
            try:
                babel.Locale.parse(locale)
            except (babel.UnknownLocaleError, ValueError, TypeError):
                hint = 'Write a code such as "de" or "en_GB".'
                check_option(False, self.name, f"knows no locale {locale!r}", hint)

    def apply(self, value: Any, row: Row) -> Any:
        number = self._number(value)
        if number is None or not number.is_finite():
            raise self.refusal(value, "is not a number", hint=self._hint())
        exponent = number.as_tuple().exponent
        if number.adjusted() >= MAX_DIGITS or not -MAX_DIGITS <= int(exponent) <= MAX_DIGITS:
            hint = f"At most {MAX_DIGITS} stand before the point, and after it."
            raise self.refusal(value, "has too many digits", hint=hint)
        if self._places is None:
            return _shortest(number)
        unit = Decimal(1).scaleb(-self._places)
        rounded = number.quantize(
            unit, _ROUNDINGS.get(self._rounding, decimal.ROUND_HALF_EVEN), _EXACT
        )
        if self._rounding == "refuse" and rounded != number:
            raise self.refusal(
                value,
                f"has more than {self._places} digits after the point",
                hint="Round it, or allow rounding.",
                suggestion=str(rounded),
            )
        return abs(rounded) if rounded.is_zero() else rounded

    def _number(self, value: Any) -> Decimal | None:
        if isinstance(value, Decimal):
            return value
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return Decimal(value) if abs(value) < 10**MAX_DIGITS else Decimal("1E+99")
        if isinstance(value, float):
            return Decimal(repr(value))
        return self._parsed(value.strip()) if isinstance(value, str) else None

    def _parsed(self, text: str) -> Decimal | None:
        if self._locale is None:
            return Decimal(text) if _PLAIN.fullmatch(text) else None
        from babel.numbers import NumberFormatError, parse_decimal

        try:
            return parse_decimal(text, self._locale, strict=True)
        except (NumberFormatError, decimal.InvalidOperation):
            return None

    def _hint(self) -> str:
        written = f"as it is written in {self._locale}" if self._locale else "in digits, as in 12.5"
        return f"Write it {written}, without a unit."


class Integer(Rule):
    """An int, from digits with or without a sign, or from a number without a fraction."""

    name: ClassVar[str] = "Integer"
    stage: ClassVar[Stage] = "type"
    gives: ClassVar[type] = int

    def apply(self, value: Any, row: Row) -> Any:
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            number = int(value) if len(value.strip()) <= MAX_DIGITS else None
        elif isinstance(value, float | Decimal) and _is_whole(Decimal(str(value))):
            number = int(value)
        if number is None:
            raise self.refusal(
                value,
                "is not a whole number",
                hint=f"Write at most {MAX_DIGITS} digits, without points, spaces or a unit.",
            )
        return number


class Boolean(Rule):
    """A bool, from ``true``, ``false``, 1 and 0, and from ``words``, whatever their case."""

    name: ClassVar[str] = "Boolean"
    stage: ClassVar[Stage] = "type"
    gives: ClassVar[type] = bool

    def __init__(self, words: Mapping[str, bool] | None = None) -> None:
        self._words = dict(_WORDS)
        for word, meaning in (words or {}).items():
            key = word.strip().casefold()
            check_option(
                self._words.setdefault(key, meaning) == meaning,
                self.name,
                f"takes no {word!r} for {meaning!r}",
                "Each word means one thing, and 1, 0, true and false mean what they do.",
            )

    def apply(self, value: Any, row: Row) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        meaning = self._words.get(value.strip().casefold()) if isinstance(value, str) else None
        if meaning is None:
            hint = f"The words are {', '.join(self._words)}."
            raise self.refusal(value, "is neither true nor false", hint=hint)
        return meaning


def _is_whole(number: Decimal) -> bool:
    if not number.is_finite() or number.adjusted() >= MAX_DIGITS:
        return False
    return number == number.to_integral_value()


def _shortest(number: Decimal) -> Decimal:
    """``number`` without zeros after the point at its end, exactly, and without an exponent."""
    whole, _, fraction = format(number, "f").partition(".")
    fraction = fraction.rstrip("0")
    shortest = Decimal(f"{whole}.{fraction}" if fraction else whole)
    return abs(shortest) if shortest.is_zero() else shortest
