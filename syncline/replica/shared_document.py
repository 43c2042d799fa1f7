"""Documents without a schema, as a program sees them."""

from __future__ import annotations

from typing import Any

from syncline.engine.fields import Host
from syncline.engine.fields.shared import SharedArray, SharedMap, SharedText
from syncline.engine.names import Address


class SharedDocument:
    """A document without a schema, shared with whoever names it, Yjs editors included."""

    def __init__(self, host: Host, address: Address) -> None:
        self._host = host
        self.address = address

    def text(self, name: str) -> SharedText:
        """The Y.Text root called ``name``."""
        return SharedText(self._host, str(self.address), name)

    def map(self, name: str) -> SharedMap:
        """The Y.Map root called ``name``."""
        return SharedMap(self._host, str(self.address), name)

    def array(self, name: str) -> SharedArray:
        """The Y.Array root called ``name``."""
        return SharedArray(self._host, str(self.address), name)

    def to_dict(self) -> dict[str, Any]:
        """The content by root, as plain values."""
        return self._host.document().to_dict()
