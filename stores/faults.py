"""The errors that every store raises in the same words."""

from __future__ import annotations

from syncline.engine.errors import StoreDamaged, StoreError


class BrokenRow(Exception):
    """A row holds what was never written there; its message says what."""


def not_open(store: str, *, closed: bool = False) -> StoreError:
    """``store`` names the store in a sentence: "The memory store", "The store /data/app.db".
    ``closed``: it was open before."""
    if closed:
        return StoreError(
            f"{store} is not open any more: it was closed.",
            hint="Nothing was read or written. Use it before it is closed, or open it again.",
        )
    return StoreError(f"{store} is not open.", hint="Call open() first.")


def already_stored(store: str) -> StoreError:
    return StoreError(
        f"{store} already has a receipt or an outbox batch of a number in this write; nothing of "
        "it was stored.",
        hint="Number batches from last_batch() and outbox(), and look for a receipt before "
        "storing a batch that was sent twice.",
    )


def outdated(store: str, document: str, epoch: int, stored: int) -> StoreError:
    return StoreError(
        f"{store} has {document} in epoch {stored}, and this write is of epoch {epoch}; nothing "
        "of it was stored.",
        hint="Read the document's epoch with state() and apply the change to that.",
    )


def damaged(store: str, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"{store} is damaged: {why}.",
        hint="Restore a backup, or start with an empty store in its place: the relay sends again "
        "everything it has acknowledged.",
    )
