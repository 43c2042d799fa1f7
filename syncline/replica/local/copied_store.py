"""A store that was copied becomes another replica: its batches are numbered anew."""

from __future__ import annotations

from syncline.engine.identity import Identity
from syncline.engine.protocol.binary_frames import encode_binary
from syncline.engine.protocol.messages import Push
from syncline.stores import OutboxBatch, Store, Write
from syncline.stores.pending_pushes import pending_pushes


def renew_copied_store(store: Store, workspace: str, identity: Identity) -> list[Write]:
    """What makes ``store`` a replica called ``identity`` that no relay has met.

    Batches that wait in the outbox stay there: the replica that the store was copied from may never
    send them. If both do, that is no harm, because they hold the same operations.
    """
    writes: list[Write] = []
    outbox: list[OutboxBatch] = []
    for number, push in enumerate(pending_pushes(store, workspace), start=1):
        writes.append(Write(workspace, acknowledged=push.batch))
        outbox.append(OutboxBatch(number, encode_binary(Push(number, push.entries))))
    meta = {**identity.to_meta(), "last_batch": str(len(outbox))}
    return [*writes, Write(workspace, outbox=tuple(outbox), meta=meta)]
