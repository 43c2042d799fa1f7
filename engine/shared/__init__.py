"""Documents of Yjs editors: shared types inside shared types, formatted text, XML, as live objects.

Everything here reads and writes through the document's items (engine/history), which have an
identity, (client, clock): so an object of a program means the same element after others have
inserted before it. The CRDT library's own handles do not survive that, nor the deletion of what
they point to.
"""

from __future__ import annotations

from .array import SharedArray
from .content import document_content
from .map import SharedMap
from .text import SharedText
from .values import Subdocument
from .xml import XmlElement, XmlFragment, XmlText

__all__ = [
    "SharedArray",
    "SharedMap",
    "SharedText",
    "Subdocument",
    "XmlElement",
    "XmlFragment",
    "XmlText",
    "document_content",
]
