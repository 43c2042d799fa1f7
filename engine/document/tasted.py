"""A document that is opened only to see whether it can be.

It walks through everything with the CRDT library's own readers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pycrdt

from .document import native_failures


class TastedDocument:
    """Integrates updates, and reads as readers do. What hangs or kills a reader does so here: keep
    it to a process that nobody minds. Raises DocumentBroken, after which it is of no use."""

    def __init__(self, updates: Iterable[bytes] = ()) -> None:
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=1)
        for update in updates:
            self.apply(update)

    def apply(self, update: bytes) -> None:
        """Integrate an update, which must have been parsed."""
        with native_failures():
            self._doc.apply_update(update)

    def read(self) -> None:
        """Read all that is there, in the order in which ``Document.to_dict`` tries types."""
        with native_failures():
            for name in sorted(self._doc.keys()):
                self._read(name)

    def _read(self, name: str) -> None:
        try:
            for kind, empty in ((pycrdt.Map, "{}"), (pycrdt.Text, "")):
                if str(self._doc.get(name, type=kind)) != empty:
                    return
            str(self._doc.get(name, type=pycrdt.Array))
        except ValueError:
            # As JSON not everything can be shown; it was walked through.
            return
