"""Stateless messages: what Hocuspocus clients say to the server beside the document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from syncline.access.access import Principal
from syncline.engine.names import Address


@dataclass(frozen=True, slots=True)
class StatelessMessage:
    """A text from the editor of a document, not stored. ``reply`` sends a text to that editor,
    ``broadcast`` to all that have the document open, the sender too."""

    payload: str
    workspace: str
    address: Address
    principal: Principal
    reply: Callable[[str], None] = field(repr=False)
    broadcast: Callable[[str], None] = field(repr=False)


OnStateless: TypeAlias = Callable[[StatelessMessage], Awaitable[None]]
"""Is called with each stateless message; the sender's next frames wait for it."""


async def ignore(_message: StatelessMessage) -> None:
    """What a relay does with stateless messages unless it is told otherwise."""
