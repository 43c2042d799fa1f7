"""The documents of one replica: loaded when used, the least recently used let go."""

from __future__ import annotations

from collections import OrderedDict
from threading import get_ident

from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.stores import Store

from .owner import Owner
from .unsaved import Unsaved

MAX_DOCUMENTS = 4096
"""Documents kept in memory; a small record takes about 6 kB."""


_EVICTED = 2  # for one that comes in, so that the cache shrinks again after a large transaction


class DocumentCache:
    """Documents by address, each made of the store's log and what is ``unsaved``.

    So any may be let go at any time, except the pinned ones, which hold changes that neither has.
    They are the ``owner``'s: this is the door to every reading and writing of them.
    """

    def __init__(
        self,
        store: Store,
        workspace: str,
        client_id: int,
        unsaved: Unsaved,
        owner: Owner,
        capacity: int = MAX_DOCUMENTS,
    ) -> None:
        self._store = store
        self._unsaved = unsaved
        self._owner = owner
        self._workspace = workspace
        self._client_id = client_id
        self._capacity = capacity
        self._loaded: OrderedDict[Address, Document] = OrderedDict()
        self._pinned: set[Address] = set()

    def get(self, address: Address) -> Document:
        """The document, loaded from the store if need be; an empty one if nobody has written it.

        Raises WrongThread, ReplicaClosed, StoreError.
        """
        if get_ident() != self._owner.thread:
            raise self._owner.refusal()
        document = self._loaded.get(address)
        if document is not None and not document.broken:
            self._loaded.move_to_end(address)
            return document
        document = self._load(address)
        self._loaded[address] = document
        self._evict(address)
        return document

    def _load(self, address: Address) -> Document:
        stored = self._store.load(self._workspace, address)
        updates = list(stored.updates) if stored else []
        epoch = stored.epoch if stored else 0
        unsaved = self._unsaved.get(address)
        if unsaved is not None:
            # Of a later epoch: the store's log is that of a history that has ended.
            updates = (updates if unsaved.epoch == epoch else []) + unsaved.updates
            epoch = unsaved.epoch
        return Document(self._client_id, updates, epoch)

    def begin(self, address: Address, epoch: int) -> Document:
        """An empty document in the place of the one of an earlier epoch."""
        self.discard(address)
        document = self._loaded[address] = Document(self._client_id, epoch=epoch)
        self._evict(address)
        return document

    def discard(self, address: Address) -> None:
        """Forget what is in memory; the next use rebuilds it from the log."""
        document = self._loaded.pop(address, None)
        if document is not None:
            document.close()

    def pin(self, address: Address) -> None:
        """Keep a document in memory until ``unpin_all``."""
        self._pinned.add(address)

    def unpin_all(self) -> None:
        self._pinned.clear()

    def _evict(self, newest: Address) -> None:
        """Let go of what was used least recently, but not of ``newest`` and what is pinned."""
        for _ in range(min(len(self._loaded) - self._capacity, _EVICTED)):
            address = next(iter(self._loaded))
            if address == newest or address in self._pinned:
                self._loaded.move_to_end(address)
            else:
                self.discard(address)

    def close(self) -> None:
        for address in list(self._loaded):
            self.discard(address)
