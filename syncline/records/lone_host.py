"""A document of its own for a record that is in no replica: one being seeded, or a draft."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from syncline.engine.document.document import Document
from syncline.engine.fields import Host


class LoneHost(Host):
    """The host of a document in the making: same calls, same bytes. Its clock starts at zero, so
    that whatever a person writes is newer."""

    def __init__(self, client_id: int) -> None:
        self._document = Document(client_id)
        self._stamp = 0

    def document(self) -> Document:
        return self._document

    @contextmanager
    def writing(self) -> Generator[Document]:
        with self._document.transaction():
            yield self._document

    def tick(self, seen: int = 0) -> int:
        self._stamp = max(self._stamp, seen) + 1
        return self._stamp
