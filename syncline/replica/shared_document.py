"""Documents without a schema, as a program sees them."""

from __future__ import annotations

from typing import Any

from syncline.engine.fields import Host
from syncline.engine.names import Address
from syncline.engine.shared import (
    SharedArray,
    SharedMap,
    SharedText,
    XmlFragment,
    document_content,
)


class SharedDocument:
    """A document without a schema, shared with whoever names it, Yjs editors included.

    A root has one type for ever, and nothing but what lies in it says which. So a root in which
    something is raises SchemaError when it is used as another type, before anything is read or
    written; one in which nothing is becomes what it is asked for as.
    """

    def __init__(self, host: Host, address: Address) -> None:
        self._host = host
        self.address = address

    def text(self, name: str) -> SharedText:
        """The Y.Text root called ``name``."""
        return SharedText.of_root(self._host, str(self.address), name)

    def map(self, name: str) -> SharedMap:
        """The Y.Map root called ``name``."""
        return SharedMap.of_root(self._host, str(self.address), name)

    def array(self, name: str) -> SharedArray:
        """The Y.Array root called ``name``."""
        return SharedArray.of_root(self._host, str(self.address), name)

    def xml(self, name: str) -> XmlFragment:
        """The Y.XmlFragment root called ``name``, as ProseMirror, TipTap and BlockNote use it."""
        return XmlFragment.of_root(self._host, str(self.address), name)

    def to_dict(self) -> dict[str, Any]:
        """The content by root, as plain values: a dict, a list, or a str of a text or of XML.

        An embedded object in a text reads as U+FFFC, a shared type nested deeper than 100 levels as
        None, and a whole number as an int.
        """
        return document_content(self._host.document())
