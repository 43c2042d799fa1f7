"""Places of a list: where its items stand, or could (list_index.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .list_layout import NOTHING, Element
from .ranked import Node

Order = tuple[int, str, str, str]
"""Sorts a gap: first those whose home it is, by place, then those that have fallen back here."""


class Place(Node):
    """Where an item can stand: a home, or a place in the gap behind ``owner`` (None: the first)."""

    __slots__ = ("element", "head", "key", "order", "owner")

    def __init__(
        self,
        key: str,
        element: Element | None = None,
        head: str = "",
        *,
        owner: Place | None = None,
        order: Order | None = None,
    ) -> None:
        super().__init__(slot=order is None, shown=order is not None)
        self.key = key
        self.element = element
        self.head = head
        """The id of the head that it is, or follows."""
        self.owner = owner
        self.order = order

    @property
    def initial(self) -> Any:
        """The value that the item was inserted with, or NOTHING."""
        return NOTHING if self.element is None else self.element.initial

    @property
    def position(self) -> str:
        """The string that orders its gap; empty of a home."""
        return "" if self.order is None else self.order[2]

    @property
    def has_fallen(self) -> bool:
        """Whether it stands in another gap than it says, because that is gone."""
        return self.order is not None and self.order[0] > 0


@dataclass(slots=True)
class Run:
    """The items behind a head, as far as their writer has come."""

    head: str
    tag: str
    length: int = 0
