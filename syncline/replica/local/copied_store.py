"""A store that was copied becomes another replica: its batches are numbered anew."""

from __future__ import annotations

from syncline.engine.identity import Identity
from syncline.engine.protocol.binary_frames import encode_binary
from syncline.engine.protocol.codec import decode
from syncline.engine.protocol.messages import Push
from syncline.stores import OutboxBatch, Store, Write

_BATCHES = 100  # read at once


def renew_copied_store(store: Store, workspace: str, identity: Identity) -> list[Write]:
    """What makes ``store`` a replica called ``identity`` that no relay has met.

    Batches that wait in the outbox stay there: the replica that the store was copied from may never
    send them. If both do, that is no harm, because they hold the same operations.
    """
    writes: list[Write] = []
    outbox: list[OutboxBatch] = []
    after = 0
    while batches := store.outbox(workspace, after=after, limit=_BATCHES):
        for batch in batches:
            after = batch.number
            writes.append(Write(workspace, acknowledged=batch.number))
            push = decode(batch.payload)
            if isinstance(push, Push):
                number = len(outbox) + 1
                outbox.append(OutboxBatch(number, encode_binary(Push(number, push.entries))))
    meta = {**identity.to_meta(), "last_batch": str(len(outbox))}
    return [*writes, Write(workspace, outbox=tuple(outbox), meta=meta)]
