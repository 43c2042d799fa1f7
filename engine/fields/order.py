"""Positions in a list: strings that sort, with room between any two.

The algorithm is fractional indexing as described by David Greenspan ("Implementing Fractional
Indexing", 2020): an integer part whose first character tells its length, so that appending grows by
a digit only every 62-fold, then fraction digits of which the last is not ``0``.

A position ends with the mark of its writer, so that no two writers ever make the same one.
"""

from __future__ import annotations

import re

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FIRST = "a0"
_SMALLEST = "A" + "0" * 26
_MARK_DIGITS = 9  # 62^9 > 2^53, the largest client id
MAX_LENGTH = 4096
_WELL_FORMED = re.compile(r"[A-Za-z][0-9A-Za-z]+", re.ASCII)


def position_between(lower: str | None, upper: str | None, writer: int) -> str:
    """A position that sorts after ``lower`` and before ``upper`` (None: no bound on that side).

    Both must be well formed, and ``lower < upper``.
    """
    mark = _mark(writer)
    key = _between(lower, upper)
    while upper is not None and key + mark >= upper:
        # The key is a prefix of ``upper``: any key further down is not, so its mark cannot pass it.
        key = _between(lower, key)
    return key + mark


def is_position(text: object) -> bool:
    """Whether ``text`` is a position that ``position_between`` takes."""
    if not isinstance(text, str) or len(text) > MAX_LENGTH or not _WELL_FORMED.fullmatch(text):
        return False
    length = _integer_length(text[0])
    return len(text) >= length and text != _SMALLEST and not text[length:].endswith("0")


def positions_between(lower: str | None, upper: str | None, count: int, writer: int) -> list[str]:
    """``count`` rising positions between two as in ``position_between``, as short as can be."""
    if not count:
        return []
    middle = position_between(lower, upper, writer)
    before = (count - 1) // 2
    return [
        *positions_between(lower, middle, before, writer),
        middle,
        *positions_between(middle, upper, count - 1 - before, writer),
    ]


def base62(number: int, width: int) -> str:
    """``number`` in digits of base 62, as many as ``width`` says."""
    digits = ""
    for _ in range(width):
        number, rank = divmod(number, len(DIGITS))
        digits = DIGITS[rank] + digits
    return digits


def _mark(writer: int) -> str:
    return base62(writer, _MARK_DIGITS) + "V"  # a fraction may not end in 0


def _integer_length(head: str) -> int:
    return ord(head) - ord("a") + 2 if head >= "a" else ord("Z") - ord(head) + 2


def _split(key: str) -> tuple[str, str]:
    length = _integer_length(key[0])
    return key[:length], key[length:]


def _between(lower: str | None, upper: str | None) -> str:
    if lower is None:
        if upper is None:
            return _FIRST
        integer, fraction = _split(upper)
        if integer == _SMALLEST:
            return integer + _midpoint("", fraction)
        return integer if fraction else _previous(integer)
    integer, fraction = _split(lower)
    if upper is None:
        following = _next(integer)
        return integer + _above(fraction) if following is None else following
    upper_integer, upper_fraction = _split(upper)
    if integer == upper_integer:
        return integer + _midpoint(fraction, upper_fraction)
    following = _next(integer)
    if following is not None and following < upper:
        return following
    return integer + _above(fraction)


def _midpoint(lower: str, upper: str) -> str:
    """A fraction between two; ``""`` is zero. Never ends in ``0``."""
    common = 0
    while (lower[common : common + 1] or DIGITS[0]) == upper[common]:
        common += 1
    prefix, lower, upper = upper[:common], lower[common:], upper[common:]
    low, high = DIGITS.index(lower[0]) if lower else 0, DIGITS.index(upper[0])
    if high - low > 1:
        return prefix + DIGITS[(low + high) // 2]
    if len(upper) > 1:
        return prefix + upper[0]
    return prefix + DIGITS[low] + _above(lower[1:])


def _above(lower: str) -> str:
    """A fraction between ``lower`` and one."""
    full = len(lower) - len(lower.lstrip(DIGITS[-1]))
    low = DIGITS.index(lower[full]) if full < len(lower) else 0
    return lower[:full] + DIGITS[(low + len(DIGITS)) // 2]


def _next(integer: str) -> str | None:
    head, digits = integer[0], list(integer[1:])
    for place in reversed(range(len(digits))):
        rank = DIGITS.index(digits[place]) + 1
        if rank < len(DIGITS):
            digits[place] = DIGITS[rank]
            return head + "".join(digits)
        digits[place] = DIGITS[0]
    if head == "Z":
        return _FIRST
    if head == "z":
        return None
    head = chr(ord(head) + 1)
    return head + DIGITS[0] * (_integer_length(head) - 1)


def _previous(integer: str) -> str:
    """The integer part before one that is not the smallest."""
    head, digits = integer[0], list(integer[1:])
    for place in reversed(range(len(digits))):
        rank = DIGITS.index(digits[place]) - 1
        if rank >= 0:
            digits[place] = DIGITS[rank]
            return head + "".join(digits)
        digits[place] = DIGITS[-1]
    if head == "a":
        return "Z" + DIGITS[-1]
    head = chr(ord(head) - 1)
    return head + DIGITS[-1] * (_integer_length(head) - 1)
