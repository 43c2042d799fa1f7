"""Where the documents of Yjs clients lie, which know names and no collections."""

from __future__ import annotations

from syncline.engine.names import Address

DEFAULT_COLLECTION = "documents"
"""Where a document is whose name has no slash."""


def address_of(name: str) -> Address:
    """The address that a Yjs client's document name means. Raises InvalidName."""
    return Address.parse(name if "/" in name else f"{DEFAULT_COLLECTION}/{name}")
