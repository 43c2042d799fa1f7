"""Digests: whether two replicas have the same, without sending it.

A state vector is not enough: a deletion has no clock. So a document's digest covers its state
vector and what is deleted in it, both in one canonical form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from syncline.engine.lib0 import write_buf, write_string, write_uint
from syncline.engine.names import Address
from syncline.engine.updates.delete_set import joined
from syncline.engine.updates.parse import UpdateLimits, encode_state_vector, parse_update

from .document import Document

_OWN = UpdateLimits(1 << 30, max_structs=1 << 30, max_clients=1 << 20, max_nesting=1 << 53)
"""What a document says of itself is not a stranger's."""


_READER = 1  # the client id of documents that nobody writes here


class Digested(NamedTuple):
    """A document and its digest."""

    address: Address
    epoch: int
    digest: bytes


def document_digest(document: Document) -> bytes:
    """SHA-256 of what ``document`` knows: equal for documents that have the same operations and
    deletions, in whatever order they came."""
    state = document.state_vector()
    out = bytearray()
    write_buf(out, encode_state_vector(state))
    deletes = parse_update(document.diff(state), _OWN).deletes
    for client in sorted(deletes):
        for start, end in joined(deletes[client]):
            write_uint(out, client)
            write_uint(out, start)
            write_uint(out, end)
    return hashlib.sha256(out).digest()


def log_digest(updates: Iterable[bytes]) -> bytes:
    """The digest of the document that these updates make. Raises DocumentBroken."""
    document = Document(_READER, updates)
    try:
        return document_digest(document)
    finally:
        document.close()


def range_digest(documents: Iterable[Digested]) -> bytes:
    """SHA-256 over several documents, in the order of their addresses."""
    out = bytearray()
    for address, epoch, digest in documents:
        write_string(out, str(address))
        write_uint(out, epoch)
        write_buf(out, digest)
    return hashlib.sha256(out).digest()
