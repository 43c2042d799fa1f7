"""Rebuilding a document at the relay: its content in a new history, under a new epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from syncline.engine.clock import Milliseconds
from syncline.engine.errors import RecordNotFound
from syncline.engine.history.rebuild import rebuild_log
from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector, parse_update
from syncline.stores import DocumentWrite, Store, Write


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
    stored = store.load(workspace, address)
    if stored is None:
        raise RecordNotFound(
            f"There is no document {address} in the workspace {workspace!r}.",
            hint="`syncline inspect` lists what a store holds.",
        )
    # By the clock, so that a store restored from a backup does not give the same number to another
    # history. It is the new writer's client id too: that is how the beginning is known.
    epoch = max(stored.epoch + 1, now())
    update = rebuilt(stored.updates, epoch)
    state = encode_state_vector(parse_update(update).advance({}))
    write = DocumentWrite(address, (update,), state, stored.live, epoch=epoch)
    store.write([Write(workspace, documents=(write,))])
    return epoch
