"""The outbox of a replica's store: the batches that no relay has acknowledged, in order."""

from __future__ import annotations

from collections.abc import Iterator

from syncline.engine.errors import MalformedFrame, StoreDamaged
from syncline.engine.protocol.binary_frames import decode_binary
from syncline.engine.protocol.messages import Push

from .base import OutboxBatch, Store

PAGE_BATCHES = 32
"""Batches read in one query: rarely more than 32 MiB."""


def pending_batches(store: Store, workspace: str, after: int = 0) -> Iterator[OutboxBatch]:
    """The batches numbered above ``after``, by number; one page of them is in memory at a time."""
    while True:
        batches = store.outbox(workspace, after=after, limit=PAGE_BATCHES)
        yield from batches
        if len(batches) < PAGE_BATCHES:
            return
        after = batches[-1].number


def pending_pushes(store: Store, workspace: str) -> Iterator[Push]:
    """Every batch of the outbox, decoded, by number.

    Blocking, and it costs as much as waits: all batches are read, a page of PAGE_BATCHES in a
    query, and decoded. Raises StoreDamaged at a batch that is none.
    """
    for batch in pending_batches(store, workspace):
        yield push_of(batch)


def push_of(batch: OutboxBatch) -> Push:
    """The message that ``batch`` is sent as. Raises StoreDamaged if it is none."""
    try:
        message = decode_binary(batch.payload)
    except MalformedFrame as error:
        raise _damaged(batch, error.message) from None
    if not isinstance(message, Push):
        raise _damaged(batch, f'It is the message "{message.name}".')
    return message


def _damaged(batch: OutboxBatch, reason: str) -> StoreDamaged:
    return StoreDamaged(
        f"Batch {batch.number} of the outbox is no batch: {reason}",
        hint="Something else has changed the file. Restore a backup of it, or open a new, empty "
        "store, which fetches everything from the relay.",
    )
