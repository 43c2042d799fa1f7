"""Where the views of records and documents find the document that they show."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from syncline.engine.document.document import Document
from syncline.engine.errors import RecordNotFound, SynclineError
from syncline.engine.fields import Host
from syncline.engine.names import Address

from .workspace import Workspace


class DocumentHost(Host):
    """The host of the views of a document without a schema."""

    def __init__(self, workspace: Workspace, address: Address) -> None:
        self._workspace = workspace
        self._address = address

    def document(self) -> Document:
        return self._workspace.documents.use(self._address)

    @contextmanager
    def writing(self) -> Generator[Document]:
        with self._workspace.writing(self._address) as document:
            yield document

    def tick(self, seen: int = 0) -> int:
        self._workspace.clock.follow(seen)
        return self._workspace.clock.tick()

    def same_place(self, other: Host) -> bool:
        return isinstance(other, DocumentHost) and self._workspace is other._workspace


class RecordHost(DocumentHost):
    """The host of the views of a record: of one that was deleted there is nothing to see."""

    def document(self) -> Document:
        workspace = self._workspace
        # Every reading of a field comes here; the documents check the thread, once.
        if not workspace.records.exists(self._address):
            raise self._missing()
        return workspace.documents.use(self._address)

    @contextmanager
    def writing(self) -> Generator[Document]:
        if not self._workspace.records.exists(self._address):
            raise self._missing()
        with super().writing() as document:
            yield document

    def _missing(self) -> SynclineError:
        self._workspace.owner.check()
        return RecordNotFound(
            f"There is no record {str(self._address)!r}.",
            hint="It was never created here, or it has been deleted; `key in collection` tells.",
        )
