"""Seeds: initial content that several devices may each put in, without doubling it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from syncline.engine.document.document import Document, merge_updates
from syncline.engine.fields import Host
from syncline.engine.identity import MAX_CLIENT_ID
from syncline.engine.names import Address
from syncline.engine.records.liveness import write_live
from syncline.records.record import Record

from .shared_document import SharedDocument


class _SeedHost(Host):
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


@dataclass(frozen=True, slots=True)
class _Seed:
    """What the seeding function fills, and the update that this makes."""

    subject: Any
    host: _SeedHost

    def update(self) -> bytes:
        return merge_updates(self.host.document().take_captured())


def seed_update(model: type[Record] | None, address: Address, fn: Callable[[Any], None]) -> bytes:
    """What ``fn`` fills the document or record with: the same bytes wherever it does the same."""
    # The content decides the client id: other content under the same id would corrupt documents.
    draft = _begun(model, address, 1)
    fn(draft.subject)
    digest = hashlib.sha256(str(address).encode() + b"\0" + draft.update()).digest()
    low = 1 << 32
    client_id = low + int.from_bytes(digest[:8]) % (MAX_CLIENT_ID - low)
    final = _begun(model, address, client_id)
    fn(final.subject)
    return final.update()


def _begun(model: type[Record] | None, address: Address, client_id: int) -> _Seed:
    host = _SeedHost(client_id)
    if model is None:
        return _Seed(SharedDocument(host, address), host)
    with host.writing() as document:
        write_live(document, True, model.__schema__.delete_vs_edit, host.tick())
    return _Seed(model.attach(host, address), host)
