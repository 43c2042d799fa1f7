"""Editors that were turned away a moment ago, and come again with the same.

y-websocket before 3.1 connects again after every close, up to ten times a second. What a relay
lacks it sends anew each time, also the nine megabytes that were refused.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.errors import SynclineError
from syncline.engine.names import Address

TURNED_AWAY_SECONDS = 30.0
"""How long a refusal is repeated; then the editor may send again what was refused."""
MAX_TURNED_AWAY = 1_000
"""Such refusals that are remembered."""

Coming: TypeAlias = tuple[str, Address, bytes]
"""Workspace, document, and the hash of what the editor had when it connected: another editor has
something else."""


def coming(workspace: str, address: Address, state_vector: bytes) -> Coming:
    """An editor that connects with this encoded state vector."""
    return workspace, address, hashlib.sha256(state_vector).digest()


class TurnedAway:
    """The latest refusals. Times are seconds of a clock that does not go back."""

    def __init__(self) -> None:
        self._refusals = BoundedCache[Coming, tuple[float, SynclineError]](MAX_TURNED_AWAY)

    def add(self, editor: Coming, error: SynclineError, now: float) -> None:
        """``editor`` was refused what the relay lacked, because of ``error``."""
        self._refusals.put(editor, (now + TURNED_AWAY_SECONDS, error))

    def check(self, editor: Coming, now: float) -> None:
        """Raises what ``editor`` was refused for, if that is not long ago."""
        until, error = self._refusals.get(editor) or (now, None)
        if error is not None and now < until:
            raise error
        self._refusals.discard(editor)
