"""Compacting a replica's own documents while it is in use."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.engine.names import Address
from syncline.stores import StoreCalls, Write
from syncline.stores.pending_pushes import pending_pushes
from syncline.upkeep.compaction import CompactionPolicy, Compactor
from syncline.upkeep.snapshots import SnapshotThread

from .local.workspace import Workspace


class Compacting:
    """Compacts the documents of ``workspace``, when their logs have grown by what the journal
    commits, or when they were purged; those with changes that wait in the outbox, once the relay
    has acknowledged all.

    ``snapshot_thread`` runs what makes the snapshots. It is the caller's to close.
    """

    def __init__(
        self, workspace: Workspace, policy: CompactionPolicy, snapshot_thread: StoreCalls
    ) -> None:
        self._workspace = workspace
        self._compactor = Compactor(
            workspace.store,
            SnapshotThread(snapshot_thread),
            policy,
            read=workspace.store_thread,
            write=workspace.store_thread,
            held=self._is_pending,
        )
        workspace.journal.subscribe(self)

    async def run(self) -> None:
        """Compact until cancelled. What fails is logged and left as it is."""
        await self._compactor.run()

    def committed(self, writes: Sequence[Write]) -> None:
        """Take note of how logs have grown. Called by the journal."""
        purged = self._workspace.records.purged
        for write in writes:
            for document in write.documents:
                size = sum(map(len, document.updates))
                self._compactor.note(write.workspace, document.address, size)
                if document.address in purged:
                    purged.remove(document.address)
                    self._compactor.demand(write.workspace, document.address)
            if write.acknowledged is not None and self._workspace.outbox.pending == 0:
                self._compactor.retry()

    def _is_pending(self, workspace: str, address: Address) -> bool:
        return any(
            entry.address == address
            for push in pending_pushes(self._workspace.store, workspace)
            for entry in push.entries
        )
