"""Rebuilding a document at the relay: its content in a new history, under a new epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from syncline.engine.clock import Milliseconds
from syncline.engine.errors import RecordNotFound
from syncline.engine.history.rebuild import rebuild_log
from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector, parse_update
from syncline.stores import DocumentWrite, Store, StoredDocument, Write


def rebuild_document(
    store: Store,
    workspace: str,
    address: Address,
    now: Milliseconds,
    rebuilt: Callable[[Sequence[bytes], int], bytes] = rebuild_log,
) -> int:
    """Give a document a history without tombstones and former writers; returns its new epoch.

    ``store`` is open, and nobody else writes to it; ``rebuilt`` makes the new history of the log.
    Replicas take it over when they connect, and make the edits again that the relay did not have.
    Raises RecordNotFound, DocumentBroken if the copy would not read as the original, StoreError.
    """
    stored = load_document(store, workspace, address)
    return replace_log(store, workspace, stored, stored.updates, now, rebuilt)


def load_document(store: Store, workspace: str, address: Address) -> StoredDocument:
    """A document that has to be there. Raises RecordNotFound."""
    stored = store.load(workspace, address)
    if stored is None:
        raise RecordNotFound(
            f"There is no document {address} in the workspace {workspace!r}.",
            hint="`syncline inspect` lists what a store holds.",
        )
    return stored


def replace_log(
    store: Store,
    workspace: str,
    stored: StoredDocument,
    updates: Sequence[bytes],
    now: Milliseconds,
    rebuilt: Callable[[Sequence[bytes], int], bytes],
) -> int:
    """Put a history made of ``updates`` in the place of a document's; returns its epoch."""
    # By the clock, so that a store restored from a backup does not give the same number to another
    # history. It is the new writer's client id too: that is how the beginning is known.
    epoch = max(stored.epoch + 1, now())
    update = rebuilt(updates, epoch)
    state = encode_state_vector(parse_update(update).advance({}))
    write = DocumentWrite(stored.address, (update,), state, stored.live, epoch=epoch)
    store.write([Write(workspace, documents=(write,))])
    return epoch
