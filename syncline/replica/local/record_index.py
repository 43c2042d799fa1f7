"""The record index: which records exist, what the tables show of them, and who hears of changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias
from weakref import WeakSet

from syncline.engine.document.document import Document
from syncline.engine.errors import DocumentBroken, SynclineError
from syncline.engine.names import Address
from syncline.engine.records.changes import DocumentChange, Kind, Origin, defaults_of, fields_of
from syncline.engine.records.emptying import is_purged
from syncline.engine.records.liveness import is_live
from syncline.engine.records.projection import Rows, projected
from syncline.engine.records.schema import Schema
from syncline.stores import Store

from .document_cache import DocumentCache
from .journal import Description
from .owner import Owner

logger = logging.getLogger("syncline.replica")


class Listener(Protocol):
    """A reader of one collection's changes."""

    def add(self, change: DocumentChange) -> None: ...

    def end(self, reason: SynclineError | None) -> None: ...


DocumentListener: TypeAlias = Callable[[Address, Origin], None]
"""Is told of every change of any document, a record or not."""


def stored_records(store: Store, workspace: str, collections: Iterable[str]) -> dict[str, set[str]]:
    """The keys of the records in the store, by collection. Blocking; raises StoreError,
    DocumentBroken."""
    found: dict[str, set[str]] = {name: set() for name in collections}
    for collection, keys in found.items():
        for key, known in store.liveness(workspace, collection):
            live = known
            if live is None:  # it came before this replica knew the collection as records
                live = _is_stored_live(store, workspace, Address(collection, key))
            if live:
                keys.add(key)
    return found


def _is_stored_live(store: Store, workspace: str, address: Address) -> bool:
    stored = store.load(workspace, address)
    document = Document(1, stored.updates if stored else ())
    try:
        return is_live(document)
    finally:
        document.close()


class RecordIndex:
    """The records of one replica among its documents, by their ``schemas``; ``live`` are those that
    exist, as ``stored_records`` found them."""

    def __init__(
        self,
        live: dict[str, set[str]],
        schemas: Mapping[str, Schema],
        documents: DocumentCache,
        owner: Owner,
    ) -> None:
        self._owner = owner
        self._schemas = schemas
        self._documents = documents
        self._rows = {name: Rows(projected(schema)) for name, schema in schemas.items()}
        # Weak: a stream that its reader has dropped stops costing anything.
        self._listeners: dict[str, WeakSet[Listener]] = {name: WeakSet() for name in schemas}
        self._document_listeners: list[DocumentListener] = []
        self.purged: set[Address] = set()
        """Those of which everything was taken away, until their logs have been compacted."""
        self._live = live

    # What there is

    def keys(self, collection: str) -> set[str]:
        """The keys of the records that exist. Do not change it. Raises WrongThread,
        ReplicaClosed."""
        self._owner.check()
        return self._live[collection]

    def exists(self, address: Address) -> bool | None:
        """Whether the record exists; None for what is no record."""
        keys = self._live.get(address.collection)
        return None if keys is None else address.key in keys

    def describe(self, address: Address) -> Description:
        """The document for the store: what it has seen, and what its table shows of it."""
        document, live = self._documents.get(address), self.exists(address)
        return Description(
            document.state_vector(), live, self._row(address, document) if live else None
        )

    def _row(self, address: Address, document: Document) -> dict[str, Any] | None:
        try:
            return self._rows[address.collection].row(document)
        except DocumentBroken as error:
            logger.error("the table of %s does not follow it: %s", address, error)
            return None

    # What changes

    def before_change(self, address: Address, document: Document) -> bool | None:
        """Begin to note what a change touches; returns whether the record exists."""
        document.touched.clear()
        if self._listeners.get(address.collection):
            self._schemas[address.collection].watch(document)
        return self.exists(address)

    def update(self, address: Address, document: Document) -> bool | None:
        """Follow a change that is not announced yet; returns whether the record exists now."""
        keys = self._live.get(address.collection)
        if keys is None:
            return None
        live = is_live(document)
        if live:
            keys.add(address.key)
        else:
            keys.discard(address.key)
            if is_purged(document):
                self.purged.add(address)
        return live

    def restore(self, address: Address, existed: bool | None) -> None:
        """Go back to what ``before_change`` has returned."""
        if existed:
            self._live[address.collection].add(address.key)
        elif existed is not None:
            self._live[address.collection].discard(address.key)

    def announce(
        self, address: Address, document: Document, existed: bool | None, origin: Origin
    ) -> None:
        """Follow a change, and tell everyone of it. ``existed``: from ``before_change``."""
        for hear in self._document_listeners:
            hear(address, origin)
        exists = self.update(address, document)
        if exists is None:
            return
        listeners = list(self._listeners[address.collection])
        kind = _kind_of_change(bool(existed), exists)
        if not listeners or kind is None:
            return
        touched = fields_of(document.touched)
        if kind == "created":
            touched -= defaults_of(document)
        attributes = self._schemas[address.collection].attributes
        fields = frozenset(attributes[name] for name in touched if name in attributes)
        if kind == "updated" and not fields:
            return
        for listener in listeners:
            listener.add(DocumentChange(address, kind, fields, origin))

    # Who hears of it

    def subscribe(self, collection: str, listener: Listener) -> None:
        """Tell ``listener`` of the changes of a collection's records, for as long as someone else
        holds it. Raises WrongThread, ReplicaClosed."""
        self._owner.check()
        self._listeners[collection].add(listener)

    def subscribe_to_documents(self, listener: DocumentListener) -> None:
        self._document_listeners.append(listener)

    def close(self, reason: SynclineError | None = None) -> None:
        """End the change streams; with a ``reason`` if they should not end yet."""
        for listeners in self._listeners.values():
            for listener in list(listeners):
                listener.end(reason)


def _kind_of_change(existed: bool, exists: bool) -> Kind | None:
    if existed and exists:
        return "updated"
    if exists:
        return "created"
    return "deleted" if existed else None
