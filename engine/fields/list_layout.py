"""What a list is made of in its document: elements, ids, positions. docs/record-layout.md is
normative.

Elements of the array ``items:<field>`` are strings. ``@``, an id, and JSON: an item with the value
that it was inserted with. So that long lists cost little more than their values, items that are
inserted one behind the other share the long part of their ids: a **head**, ``@``, an id, ``#`` and
a tag, and behind it items of the form tag, two digits, JSON. The tag leads to the nearest head
before it that has this tag; its id and the two digits are the id of the item.

Names in the map ``list:<field>`` are an item's key and a letter: ``v`` for a value assigned later,
``p`` for a position that it was moved to. The key is the id and ``:``, or, of an item of the first
layout, which had no array, its id and ``.``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from itertools import product
from typing import Any, Final, NamedTuple

from syncline.engine.document.values import decode_value

from .order import DIGITS, base62, is_position

ARRAY: Final = "items"
"""Before the colon in the name of the root array."""
NOTHING: Final = object()
"""Stands for the value of an element that has none."""
RUN_LENGTH: Final = len(DIGITS) ** 2
"""Most items that share a head."""
_DIGITS = 9  # of base 62, for 53 bits
_ID = rf"[0-9A-Za-z]{{{2 * _DIGITS}}}"
_TAG = r"[0-9A-Za-z]|_[0-9A-Za-z]{2}"
_ITEM_ID = re.compile(rf"{_ID}(?:[0-9A-Za-z]{{2}})?", re.ASCII)
_HEAD = re.compile(rf"@({_ID})#({_TAG})", re.ASCII)
_STEM = re.compile(rf"@({_ID})|({_TAG})([0-9A-Za-z]{{2}})", re.ASCII)
_NAME = re.compile(rf"(?:{_ID}(?:[0-9A-Za-z]{{2}})?:|.*\.)[vp]", re.ASCII | re.DOTALL)


class Element(NamedTuple):
    """An element of the array. One with ``tag`` is a head, with ``own`` its id, or follows one."""

    own: str
    """The id, or the two digits that follow the head's."""
    tag: str = ""
    is_head: bool = False
    initial: Any = NOTHING

    @property
    def stem(self) -> str:
        """The text of an element of the same id without a value."""
        if self.is_head:
            return f"@{self.own}#{self.tag}"
        return f"{self.tag}{self.own}" if self.tag else f"@{self.own}"


class Position(NamedTuple):
    """Where an item was moved to: behind the home of the item ``after``, among others that were,
    in the order of ``place``. Should that home be gone, it stands before the home of ``before``,
    or last if that is empty.

    Before all homes if both are empty.
    """

    after: str
    before: str
    place: str

    def text(self) -> str:
        """The form that a document holds."""
        if not self.after and not self.before:
            return self.place
        return f"{self.after}/{self.before}/{self.place}"


def new_id(stamp: int, writer: int) -> str:
    """The id of the item, or of the head, that ``writer`` inserts with this stamp."""
    return base62(stamp, _DIGITS) + base62(writer, _DIGITS)


def in_run(number: int) -> str:
    """The two digits of the item number ``number`` behind a head."""
    return base62(number, 2)


def free_tag(taken: Container[str]) -> str | None:
    """The first tag that no head has, None if all are taken."""
    return next((tag for tag in _tags() if tag not in taken), None)


def _tags() -> Iterator[str]:
    yield from DIGITS
    for digits in product(DIGITS, repeat=2):
        yield "_" + "".join(digits)


def read_element(text: object) -> Element | None:
    """None of what is not of this layout."""
    if not isinstance(text, str):
        return None
    stem = _STEM.match(text)
    if stem is None:
        return None
    rest = text[stem.end() :]
    if rest.startswith("#"):
        head = _HEAD.fullmatch(text)
        return None if head is None else Element(head[1], head[2], is_head=True)
    own, tag = (stem[1], "") if stem[1] else (stem[3], stem[2])
    try:
        return Element(own, tag, initial=decode_value(rest) if rest else NOTHING)
    except ValueError:
        return None


def key_of(name: str) -> str | None:
    """The key of the item whose register is called ``name``; None if it is none of an item."""
    return name[:-1] if _NAME.fullmatch(name) else None


def read_position(value: object) -> Position | None:
    """The position that a register holds, None if it is none."""
    if not isinstance(value, str):
        return None
    after, slash, rest = value.partition("/")
    if not slash:
        return Position("", "", value) if is_position(value) else None
    before, _, place = rest.partition("/")
    if not _ITEM_ID.fullmatch(after) or (before and not _ITEM_ID.fullmatch(before)):
        return None
    return Position(after, before, place) if not place or is_position(place) else None
