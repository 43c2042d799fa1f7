"""The documents of one replica: loaded when used, the least recently used let go."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from contextlib import suppress
from threading import get_ident

from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken, StoreError
from syncline.engine.names import Address
from syncline.stores import Store, StoredDocument

from .owner import Owner
from .unsaved import Unsaved

MAX_DOCUMENTS = 4096
"""Documents kept in memory; a small record takes about 6 kB."""

READ_AHEAD = 64
"""Documents that are loaded in one call of the store."""

MAX_PASSING = 256
"""Documents in memory that only a change from the relay has asked for. Python looks through all
that is in memory now and then, in one go: a first sync must not fill it with what nobody reads."""

_EXPECTED = 4  # loops that read at the same time, one inside the other
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
        max_passing: int = MAX_PASSING,
    ) -> None:
        self._store = store
        self._unsaved = unsaved
        self._owner = owner
        self._workspace = workspace
        self._client_id = client_id
        self._capacity = capacity
        self._loaded: OrderedDict[Address, Document] = OrderedDict()
        self._pinned: set[Address] = set()
        self._passing: OrderedDict[Address, None] = OrderedDict()
        self._max_passing = max_passing
        self._expected: deque[frozenset[Address]] = deque(maxlen=_EXPECTED)

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
        for expected in self._expected:
            if address in expected:
                self._expected.remove(expected)
                self.load(expected)
                if address in self._loaded:
                    return self.get(address)
                break
        return self._put(address, self._store.load(self._workspace, address))

    def use(self, address: Address) -> Document:
        """The same for the program: what it uses stays as long as there is room."""
        if self._passing:
            self._passing.pop(address, None)
        return self.get(address)

    def load_passing(self, addresses: Iterable[Address]) -> None:
        """Have these in memory for a change from the relay. Raises WrongThread, ReplicaClosed."""
        missing = [address for address in addresses if address not in self._loaded]
        self.load(missing)
        for address in missing:
            self._passing[address] = None
        while len(self._passing) > self._max_passing:
            gone = self._passing.popitem(last=False)[0]
            if gone not in self._pinned:
                self.discard(gone)

    def expect(self, addresses: Iterable[Address]) -> None:
        """These are likely to be read next, up to READ_AHEAD of them: the first that is read brings
        the others along."""
        self._expected.append(frozenset(addresses))

    def load(self, addresses: Iterable[Address]) -> None:
        """Have these in memory, as far as they fit, by one call of the store. What fails is left to
        ``get``. Raises WrongThread, ReplicaClosed."""
        self._owner.check()
        missing = [address for address in addresses if address not in self._loaded]
        missing = sorted(missing)[: self._capacity // 2]
        if len(missing) < 2:
            return
        try:
            found = self._store.load_many(self._workspace, missing)
        except StoreError:
            return  # one damaged row, maybe: the others are loaded one by one
        stored = {each.address: each for each in found}
        for address in missing:
            with suppress(DocumentBroken):
                self._put(address, stored.get(address))

    def _put(self, address: Address, stored: StoredDocument | None) -> Document:
        document = self._loaded[address] = self._made_of(address, stored)
        self._evict(address)
        return document

    def _made_of(self, address: Address, stored: StoredDocument | None) -> Document:
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
        self._passing.pop(address, None)
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
