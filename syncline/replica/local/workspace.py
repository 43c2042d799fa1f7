"""One replica's workspace in memory: local changes, changes from the relay, and who hears of them.

Everything here is immediate and synchronous. What changes goes to the journal, which makes it
durable; the link takes it from there to the relay.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from syncline.engine.clock import HybridClock, Milliseconds
from syncline.engine.document.document import Document
from syncline.engine.errors import (
    DocumentBroken,
    InvalidUpdate,
    SynclineError,
    TransactionConflict,
)
from syncline.engine.history.rebuild import begins
from syncline.engine.identity import Identity
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.records.schema import Schema
from syncline.engine.records.stamps import latest_stamp
from syncline.engine.updates.causal import Frame, HoldBack
from syncline.engine.updates.parse import StateVector, UpdateInfo, covers, parse_update
from syncline.stores import RefusedUpdate, Store, StoreCalls

from .document_cache import MAX_DOCUMENTS, DocumentCache
from .forks import NONE_OUTDATED, Outdated, all_of, unacknowledged
from .home import Home
from .journal import Journal
from .outbox import Outbox
from .owner import Owner
from .pace import Pace, WorkSlice
from .record_index import RecordIndex
from .transaction import Draft, Transaction
from .unsaved import Unsaved

if TYPE_CHECKING:
    from sqlalchemy import Select

logger = logging.getLogger("syncline.replica")


class Workspace:
    """What one replica knows and may change, each part below an object of its own:
    ``documents``, ``records``, ``journal``, ``outbox``, ``clock``, ``identity``, ``hold_back``,
    ``home``."""

    def __init__(
        self,
        name: str,
        store: Store,
        store_thread: StoreCalls,
        schemas: Mapping[str, Schema],
        now: Milliseconds,
        rng: random.Random,
        *,
        live: dict[str, set[str]],
        capacity: int = MAX_DOCUMENTS,
        work_slice: WorkSlice = WorkSlice(),  # noqa: B008 - it is a value
    ) -> None:
        self.name = name
        self.work_slice = work_slice
        self.schemas = schemas
        self.now = now
        self.rng = rng
        self.store = store
        self.store_thread = store_thread
        meta = store.meta(name)
        self.identity, _ = Identity.recall(meta, rng, meta["fingerprint"])
        self.clock = HybridClock(now, int(meta.get("clock", "0")))
        new_kinds = self._check_schemas(meta)
        self.owner = Owner()
        self.unsaved = Unsaved()
        self.outbox = Outbox(store, store_thread, name)
        self.documents = DocumentCache(
            store, name, self.identity.client_id, self.unsaved, self.owner, capacity
        )
        self.records = RecordIndex(live, schemas, self.documents, self.owner)
        self.journal = Journal(
            store,
            store_thread,
            name,
            self.unsaved,
            self.outbox,
            self.records,
            self.clock,
            Pace(work_slice),
        )
        self.hold_back = HoldBack(int(meta.get("cursor", "0")))
        self.home = Home(meta, self.journal, self.hold_back)
        self._incomplete: set[Address] = set()
        """Documents of which something was kept apart: until the next start, or a rebuilding."""
        self._transaction: Transaction | None = None
        for key, value in new_kinds.items():
            self.journal.set_meta(key, value)

    def _check_schemas(self, meta: Mapping[str, str]) -> dict[str, str]:
        """Returns the meta that the store lacks. Raises SchemaMismatch."""
        lacking: dict[str, str] = {}
        for name, schema in self.schemas.items():
            key = f"schema:{name}"
            stored: dict[str, str] = orjson.loads(meta.get(key, "{}"))
            schema.check_against(stored)
            kinds = {**stored, **schema.kinds}
            if kinds != stored:
                lacking[key] = orjson.dumps(kinds).decode()
        return lacking

    # Reading

    def addresses(self) -> list[Address]:
        """Every document that holds anything, deleted records too, in order. Raises WrongThread,
        ReplicaClosed, StoreError."""
        self.owner.check()
        found = {info.address for info in self.store.documents(self.name)}
        return sorted(found | self.unsaved.addresses())

    def keys(self, collection: str) -> set[str]:
        """The keys of all documents of a collection, those of deleted records too. Raises
        WrongThread, ReplicaClosed, StoreError."""
        self.owner.check()
        stored = {key for key, _ in self.store.liveness(self.name, collection)}
        unsaved = self.unsaved.addresses()
        return stored | {each.key for each in unsaved if each.collection == collection}

    def select(self, statement: Select[*tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """What ``statement`` finds in the tables, every local change so far included.

        Raises WrongThread, ReplicaClosed, TransactionConflict inside a transaction that has changed
        something, UsageError, StoreError.
        """
        self.begin_query()
        self.journal.save()
        return self.store.select(statement)

    def begin_query(self) -> None:
        """What a query asks first, before the journal saves what it is to see. Raises WrongThread,
        ReplicaClosed, TransactionConflict."""
        self.owner.check()
        if self._transaction is not None and self._transaction.changed:
            raise TransactionConflict(
                "A query cannot see the changes of the transaction that is open.",
                hint="Query before the first change in the `with` block, or after the block.",
            )

    # Local changes

    @contextmanager
    def transaction(self, label: str = "") -> Generator[None]:
        """Make all local changes inside one change: all are kept, or with an exception none.

        One inside another is part of it; with an exception its own changes alone are taken back.
        Raises, before the block, WrongThread, ReplicaClosed, TransactionConflict, and what
        prevents that changes are stored.
        """
        self.owner.check()
        outer = self._transaction
        if outer is not None:
            outer.check_task()
            mark = outer.mark()
            try:
                yield
            except BaseException:
                if outer is self._transaction:  # else a generator held it open for too long
                    self._take_back(outer, mark)
                raise
            return
        self.journal.check_taking()
        transaction = self._transaction = Transaction(label)
        try:
            yield
            transaction.check()
        except BaseException:
            self._take_back(transaction, 0)
            raise
        else:
            self._keep(transaction)
        finally:
            self._transaction = None
            self.documents.unpin_all()

    def _take_back(self, transaction: Transaction, mark: int) -> None:
        """Undo what the transaction has changed since ``mark``, before anybody has seen it."""
        # pycrdt cannot roll back: the documents in memory are dropped, and made again of the log
        # and of what the transaction keeps. Their next changes have the operation numbers of those
        # taken back.
        remaining: list[tuple[Address, Draft]] = []
        for address in transaction.take_back(mark):
            self.documents.discard(address)
            if transaction.drafts[address].updates:
                remaining.append((address, transaction.drafts[address]))
            else:
                self.records.restore(address, transaction.drafts.pop(address).existed)
        try:
            for address, draft in remaining:
                self._make_again(address, draft)
        except SynclineError as error:
            transaction.failure = error
            raise

    def _make_again(self, address: Address, draft: Draft) -> None:
        """Bring a document back to its draft. Raises StoreError, DocumentBroken."""
        document = draft.document = self.documents.get(address)
        self._before_change(address, document)
        for update in draft.updates:
            document.apply(update)
        self.records.update(address, document)

    @contextmanager
    def writing(self, address: Address) -> Generator[Document]:
        """The document at ``address``, for one change of it: with an exception nothing of it is
        kept."""
        with self.transaction():
            transaction = self._transaction
            if transaction is None:
                raise AssertionError("transaction() has just opened one")
            if transaction.failure is not None:
                raise transaction.failure
            document = self._draft(transaction, address)
            try:
                with document.transaction():
                    yield document
            finally:
                updates = document.take_captured()
                if updates or document.broken:
                    transaction.add(address, updates)
            self.records.update(address, document)

    def _before_change(self, address: Address, document: Document) -> bool | None:
        self.journal.describe_before_change(address)
        return self.records.before_change(address, document)

    def _draft(self, transaction: Transaction, address: Address) -> Document:
        document = self.documents.use(address)
        draft = transaction.drafts.get(address)
        if draft is None:
            self.documents.pin(address)
            existed = self._before_change(address, document)
            transaction.drafts[address] = Draft(document, existed)
        elif draft.document is not document:  # the CRDT library failed on it in between
            self._make_again(address, draft)
        return document

    def _keep(self, transaction: Transaction) -> None:
        for address, draft in transaction.drafts.items():
            if draft.updates:
                self.journal.add(address, draft.document.epoch, draft.updates, local=True)
                self.records.announce(address, draft.document, draft.existed, "local")

    def seed(self, address: Address, update: bytes, info: UpdateInfo) -> bool:
        """Put in content that other replicas may put in too, byte for byte the same. Returns
        whether it was not there. Raises TransactionConflict inside a transaction, WrongThread,
        ReplicaClosed, and what prevents that changes are stored."""
        self.owner.check()
        if self._transaction is not None:
            raise TransactionConflict(
                f"{address} cannot be seeded inside a transaction, which could not take it back.",
                hint="Seed before the `with` block, or after it.",
            )
        document = self.documents.get(address)
        if document.epoch:
            return False  # rebuilt: the seed's content is in it, or was removed
        state = document.state_vector()
        if all(state.get(client, 0) >= end for client, end in info.ends().items()):
            return False
        self.journal.check_taking()
        existed = self._before_change(address, document)
        document.apply(update)
        # Not as a local change, which nobody builds on before it is pushed: others may have the
        # same seed.
        self.journal.add(address, document.epoch, [update], local=False)
        self.journal.offer(address, document.epoch, update)
        self.records.announce(address, document, existed, "local")
        return True

    # Changes from the relay

    @property
    def cursor(self) -> int:
        """The relay's seq up to which everything is applied."""
        return self.hold_back.cursor

    def begin_anew(
        self, entry: Entry, info: UpdateInfo, outdated: Outdated = NONE_OUTDATED
    ) -> bool:
        """Go over to the history that ``entry`` begins, of a later epoch than the one here, with a
        journal that is saved. Returns False if its beginning was lost: all of it comes again.

        ``outdated`` are the answers that wait for a rebuilt document (forks.py).
        """
        if not begins(info, entry.epoch):
            return entry.address in self._incomplete  # what came before was not taken
        self._begin(entry.address, entry.epoch, entry.update, outdated)
        return True

    def refuse(self, entry: Entry, why: InvalidUpdate) -> None:
        """Keep apart an update that is none, or is more than a replica takes. What its document
        lacks then is not waited for; the workspace's others are not concerned."""
        if entry.epoch >= self.documents.get(entry.address).epoch:
            self._quarantine(entry.address, entry.update, why)

    def receive(self, since: int, cursor: int, count: int) -> Frame | None:
        """Begin to take what the relay says happened after ``since`` up to ``cursor``: ``count``
        entries, of which ``apply`` is then given some at a time. None for what is known."""
        before = self.cursor
        frame = self.hold_back.begin(since, cursor, count)
        self._advance(before)
        return frame

    def apply(self, frame: Frame, entries: Sequence[tuple[Entry, UpdateInfo]]) -> None:
        """Apply the next entries of a frame, each with what parsing it has found, as far as they
        are covered. The cursor moves with the last of them."""
        self.documents.load_passing(entry.address for entry, _ in entries)
        before = self.cursor
        current = [
            (entry.address, entry.update, info)
            for entry, info in entries
            if entry.epoch == self.documents.get(entry.address).epoch
        ]
        for ready in self.hold_back.admit(frame, current, self.state_vector):
            self._apply(ready.address, ready.update)
        if len(current) < len(entries):  # of histories that have ended, or were begun here
            self.hold_back.dismiss(frame, len(entries) - len(current))
        self._advance(before)

    def _advance(self, before: int) -> None:
        """Note how far the stream has been received, if that is beyond ``before``."""
        for address in self._incomplete:
            self.hold_back.abandon(address)
        if self.cursor != before:
            self.journal.set_meta("cursor", str(self.cursor))

    def _quarantine(self, address: Address, update: bytes, error: SynclineError) -> None:
        """Keep apart what came of a document and could not be taken. What builds on it never can
        be, so from now on nothing of this document is held back or asked for."""
        logger.warning("an update of %s is kept apart: %s", address, error)
        self._incomplete.add(address)
        self.journal.quarantine(RefusedUpdate(0, str(address), update, error.code, error.message))

    def receive_document(
        self, address: Address, epoch: int, update: bytes, outdated: Outdated = NONE_OUTDATED
    ) -> None:
        """Take the difference that was fetched for one document."""
        document, before = self.documents.get(address), self.cursor
        try:
            info = parse_update(update)
        except InvalidUpdate as error:
            # Without the bytes: the relay has them, and they would come at every start.
            self._quarantine(address, b"", error)
            self._advance(before)
            return
        if epoch > document.epoch and begins(info, epoch):
            self._begin(address, epoch, update, outdated)
        elif epoch == document.epoch and covers(document.state_vector(), info.needs):
            self._apply(address, update)
        elif epoch < document.epoch and self.home.moved:
            self._take_in(address, update)
        else:
            return  # it answers for a state that this document is not in; the next fetch will do
        for ready in self.hold_back.release(address, self.state_vector(address)):
            self._apply(ready.address, ready.update)
        self._advance(before)

    def state_vector(self, address: Address) -> StateVector:
        return self.documents.get(address).state_vector()

    def _apply(self, address: Address, update: bytes) -> None:
        document = self.documents.get(address)
        existed = self._before_change(address, document)
        try:
            changed = document.apply(update)
        except DocumentBroken as error:
            self._set_aside(address, update, error)
            return
        if not changed:
            return  # our own change coming back, or one that came before
        self.journal.add(address, document.epoch, [update], local=False)
        self._announce_remote(address, document, existed)

    def _announce_remote(self, address: Address, document: Document, existed: bool | None) -> None:
        if existed is not None:
            self.clock.observe(latest_stamp(document))
        self.records.announce(address, document, existed, "remote")

    def _set_aside(self, address: Address, update: bytes, error: DocumentBroken) -> None:
        """Give up what the CRDT library failed on; the document is made again of what was there."""
        self.documents.discard(address)
        self._quarantine(address, update, error)

    def begins_anew(self, entries: Iterable[tuple[Address, int]]) -> bool:
        """Whether any of these (address, epoch) is of a later epoch than the one here: then
        ``receive`` wants a journal that is saved."""
        return any(epoch > self.documents.get(address).epoch for address, epoch in entries)

    def _begin(self, address: Address, epoch: int, update: bytes, outdated: Outdated) -> None:
        """Go over to the document's new history, with what nobody else has seen of the old one."""
        self.journal.describe_before_change(address)
        before = self.documents.get(address).epoch
        authors = self.identity.authors
        if self.home.moved:  # of what we had, this relay may know nothing
            edits = all_of(self.documents.get(address).diff({}), update)
        else:
            edits = unacknowledged(self.store, self.name, address, before, outdated, authors)
        document = self.documents.begin(address, epoch)
        self.hold_back.abandon(address)
        self._incomplete.discard(address)
        existed = self.records.before_change(address, document)
        try:
            document.apply(update)
            if edits is not None:
                edits.replay(document)
        except DocumentBroken as error:
            self._set_aside(address, update, error)
            return
        self.journal.add(address, epoch, [update], local=False)
        again = document.take_captured()
        if again:
            self.journal.add(address, epoch, again, local=True)
        self._announce_remote(address, document, existed)

    def _take_in(self, address: Address, update: bytes) -> None:
        """Write what the relay that we have moved to has, of an earlier history than ours, into our
        document, which is going to take that one's place there."""
        document = self.documents.get(address)
        edits = all_of(update, document.diff({}))
        if edits is None:
            return
        existed = self._before_change(address, document)
        try:
            edits.replay(document)
        except DocumentBroken as error:
            self._set_aside(address, update, error)
            return
        written = document.take_captured()
        if written:
            self.journal.add(address, document.epoch, written, local=True)
            self.records.announce(address, document, existed, "remote")

    def check_waiting(self) -> None:
        """Raise what prevents that anything comes which is waited for here: WrongThread,
        ReplicaClosed, or what has ended the writing of changes."""
        self.owner.check_waiting()
        self.journal.check_running()

    def fail(self) -> None:
        """End the change streams with what has ended the writing of changes, if anything has."""
        try:
            self.journal.check_running()
        except SynclineError as error:
            self.records.close(error)

    def close(self) -> None:
        """End the change streams and let go of the documents."""
        self.records.close()
        self.owner.close()
        self.documents.close()
