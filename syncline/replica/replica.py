"""Replica: one device's records, documents and connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from syncline.engine.errors import (
    ReplicaClosed,
    SchemaError,
    UnknownCollection,
    UsageError,
    WorkspaceMismatch,
)
from syncline.engine.identity import Identity
from syncline.engine.names import Address
from syncline.engine.records.projection import projected
from syncline.engine.records.stamps import restamp
from syncline.engine.shared import document_content
from syncline.engine.updates.parse import parse_update
from syncline.environment import Environment
from syncline.records.record import Record
from syncline.stores import SqlStore, Store, Write
from syncline.stores.holding import Holding, to_the_end
from syncline.transports import parse_relay_url
from syncline.upkeep.compaction import CompactionPolicy

from .collection import Collection
from .compacting import Compacting
from .local.at_exit import forget, save_at_exit
from .local.copied_store import renew_copied_store
from .local.document_cache import MAX_DOCUMENTS
from .local.hosts import DocumentHost
from .local.pace import WorkSlice
from .local.record_index import stored_records
from .local.workspace import Workspace
from .seeding import seed_updates
from .shared_document import SharedDocument
from .sync.connection import Connection
from .sync.link import LinkState
from .sync.token import TOKEN_SECONDS, Token, TokenSource

R = TypeVar("R", bound=Record)

LOCAL = "local"
"""The name under which a replica's store keeps its one workspace."""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """How a replica is doing.

    ``link`` is ``offline`` when no relay is set, ``waiting`` between two attempts to connect, and
    ``failed`` after a refusal that stays until somebody changes something: ``connect()`` goes on.
    ``error`` is the sentence and the hint of the last failure, ``error_code`` its code;
    ``refused`` counts changes that the relay or this replica would not take, kept in the store;
    ``clock_offset`` is how many seconds this device's clock is ahead of the relay's (negative:
    behind), 0 within the tolerated five minutes; beyond them, the relay's time counts.
    ``clock_skew`` is how far a stamp of somebody else was ahead of the time beyond five minutes, in
    seconds: the writer's clock was wrong, ``restamp`` heals it.
    """

    link: LinkState | Literal["offline"]
    relay: str | None
    workspace: str | None
    pending: int
    cursor: int
    refused: int
    clock_offset: float
    clock_skew: float
    error: str | None
    error_code: str | None


class Replica:
    """One device's copy of a workspace. Made by ``Replica.open``, used with ``async with``.

    A replica, with its records and documents, belongs to the thread that opens it; in any other one
    every call raises WrongThread.
    """

    def __init__(
        self,
        store: Store,
        models: Iterable[type[Record]],
        relay: str | None,
        environment: Environment,
        compaction: CompactionPolicy,
        max_documents: int,
        token: Token,
        token_timeout: float,
        work_slice: WorkSlice,
    ) -> None:
        self._store = store
        self._holding = Holding(store)
        self._entered = False
        self._models = {model.__schema__.collection: model for model in models}
        self._relay = relay
        self._token = TokenSource(token, seconds=token_timeout)
        self._token_timeout = token_timeout
        self._environment = environment
        self._store_thread = environment.store_thread()
        self._compaction = compaction
        self._max_documents = max_documents
        self._work_slice = work_slice
        self._snapshot_thread = environment.store_thread()
        self._compacting: asyncio.Task[None] | None = None
        self._opened: Workspace | None = None
        self._journal_task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        if relay is not None:
            parse_relay_url(relay)

    @classmethod
    def open(
        cls,
        store: str | Path | Store,
        *,
        models: Iterable[type[Record]] = (),
        relay: str | None = None,
        environment: Environment | None = None,
        compaction: CompactionPolicy = CompactionPolicy(),  # noqa: B008 - it is a value
        max_documents: int = MAX_DOCUMENTS,
        token: Token = None,
        token_timeout: float = TOKEN_SECONDS,
        work_slice: WorkSlice = WorkSlice(),  # noqa: B008 - it is a value
    ) -> Self:
        """A replica kept in ``store``: a path, a SQLAlchemy URL, or a Store.

        ``models`` are the record classes it uses; ``relay`` the URL to sync with, whose path names
        the workspace, as in ``ws://host:8765/crm``. The relay need not be reachable: the replica
        connects when it is. ``token`` is what the relay knows it by, if it asks: a str, or a
        function, async or not, that gets one for each attempt to connect; when it raises, or takes
        longer than ``token_timeout`` seconds, the replica asks it again later. ``compaction`` says
        when the log of a document is replaced by a snapshot; documents with changes that the relay
        has not acknowledged are left alone. ``max_documents`` are kept in memory, about 6 kB for a
        small record; any are loaded when they are used. ``work_slice`` is how much of what the
        relay sends is applied before the event loop turns.
        Raises InvalidUrl, and WrongType or ValueRefused for what can be no token. Entering raises
        StoreBusy, StoreDamaged, StoreVersion, SchemaMismatch, WorkspaceMismatch.
        """
        if isinstance(store, str | Path):
            store = SqlStore(store)
        return cls(
            store,
            models,
            relay,
            environment or Environment(),
            compaction,
            max_documents,
            token,
            token_timeout,
            work_slice,
        )

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError(
                "This replica was opened before.",
                hint="Make another with Replica.open(…) for each `async with`.",
            )
        self._entered = True
        try:
            await self._store_thread(self._holding.take)
            await self._store_thread(self._claim)
            schemas = {name: model.__schema__ for name, model in self._models.items()}
            await self._store_thread(
                self._store.project, [projected(each) for each in schemas.values()]
            )
            live = await self._store_thread(stored_records, self._store, LOCAL, schemas)
            self._opened = Workspace(
                LOCAL,
                self._store,
                self._store_thread,
                schemas,
                self._environment.now,
                self._environment.rng,
                live=live,
                capacity=self._max_documents,
                work_slice=self._work_slice,
            )
            self._connection = Connection(self._opened, self._environment, self._token)
            if self._relay is not None:
                self._opened.home.join(parse_relay_url(self._relay))
            compacting = Compacting(self._opened, self._compaction, self._snapshot_thread)
            self._compacting = asyncio.create_task(compacting.run())
            self._journal_task = asyncio.create_task(self._run_journal(self._opened))
            save_at_exit(self._opened.journal)
            await self.flushed()
            if self._relay is not None:
                self._connection.begin(self._relay)
        except BaseException:
            await self._close()
            raise
        return self

    def _claim(self) -> None:
        role = self._store.meta("").get("role", "replica")
        if role != "replica":
            raise WorkspaceMismatch(
                "This store belongs to a relay.",
                hint="Give the replica a file of its own.",
            )
        writes = [Write("", meta={"role": role})]
        identity, is_new = Identity.recall(
            self._store.meta(LOCAL), self._environment.rng, self._store.fingerprint()
        )
        if is_new:
            writes += renew_copied_store(self._store, LOCAL, identity)
        self._store.write(writes)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._opened is not None and self._journal_task and not self._journal_task.done():
            self._opened.owner.check_waiting()
        await self._close()

    @staticmethod
    async def _run_journal(workspace: Workspace) -> None:
        try:
            await workspace.journal.run()
        except BaseException:
            workspace.fail()
            raise

    async def _close(self) -> None:
        await to_the_end(self._close_all())

    async def _close_all(self) -> None:
        async with AsyncExitStack() as ending:  # each one, whatever the others raise; last in first
            ending.push_async_callback(self._store_thread.close, self._holding.let_go)
            ending.push_async_callback(self._snapshot_thread.close)
            ending.callback(self._close_workspace)
            ending.push_async_callback(self._end_compacting)
            ending.push_async_callback(self._end_journal)
            if self._connection is not None:
                await self._connection.close(
                    ReplicaClosed(
                        "The replica was closed before this had come about.",
                        hint="Changes that the relay does not have wait in the store; they go out "
                        "when it is opened again.",
                    )
                )

    async def _end_journal(self) -> None:
        task = self._journal_task
        if self._opened is None or task is None:
            return
        self._opened.journal.close()
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _end_compacting(self) -> None:
        task = self._compacting
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    def _close_workspace(self) -> None:
        if self._opened is not None:
            forget(self._opened.journal)
            self._opened.close()
            self._opened = None

    @property
    def _workspace(self) -> Workspace:
        if self._opened is None:
            raise ReplicaClosed(
                "The replica is not open.",
                hint="Use it inside `async with Replica.open(…) as replica:`.",
            )
        self._opened.owner.check()
        return self._opened

    # Content

    def collection(self, model: type[R]) -> Collection[R]:
        """The records of ``model``, one of the models that the replica was opened with."""
        if self._models.get(model.__schema__.collection) is not model:
            raise UnknownCollection(
                f"The replica was not opened with the model {model.__name__}.",
                hint=f"Open it with models=[…, {model.__name__}].",
            )
        return Collection(self._workspace, model)

    def document(self, address: str) -> SharedDocument:
        """The document without a schema at ``address``, such as ``"pages/welcome"``."""
        parsed = Address.parse(address)
        if parsed.collection in self._models:
            raise SchemaError(
                f"{address!r} is a record, because {parsed.collection!r} is a collection of "
                f"{self._models[parsed.collection].__name__}.",
                hint="Get it with replica.collection(…).get(key).",
            )
        return SharedDocument(DocumentHost(self._workspace, parsed), parsed)

    def transaction(self, label: str = "") -> AbstractContextManager[None]:
        """Make the local changes inside the ``with`` block one change: all of them, or none if the
        block raises. Do not await inside."""
        return self._workspace.transaction(label)

    def seed(self, key: str, fn: Callable[[Any], None]) -> None:
        """Put initial content into the document or record at ``key`` (``collection/key``).

        ``fn`` gets the record or the SharedDocument and fills it. Every replica that seeds the same
        content makes the same bytes, so seeding on two devices, or at every start, does not double
        it, and whatever anyone wrote is newer. ``fn`` is called twice and must do the same each
        time.
        """
        address = Address.parse(key)
        for update in seed_updates(self._models.get(address.collection), address, fn):
            if not self._workspace.seed(address, update, parse_update(update)):
                return

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The whole content as plain values, by collection and key; equal on equal replicas."""
        content: dict[str, dict[str, Any]] = {}
        for address in self._workspace.addresses():
            collection, key = address
            model = self._models.get(collection)
            if model is None:
                value: Any = document_content(self._workspace.documents.get(address))
            elif key in self._workspace.records.keys(collection):
                value = self.collection(model)[key].to_dict()
            else:
                continue
            content.setdefault(collection, {})[key] = value
        return content

    async def restamp(self) -> int:
        """Take stamps from the future out of the records: every value whose stamp is more than five
        minutes ahead is written again as it is, with the time of now. Returns how many records that
        changed.

        A device with a wrong clock leaves such stamps (``status.clock_skew``); until they are
        replaced, they win against what others write at the same time. Reads every record once, and
        lets the event loop go on after each. Raises StoreError, WrongThread, ReplicaClosed.
        """
        workspace, changed = self._workspace, 0
        for collection in workspace.schemas:
            for key in sorted(workspace.records.keys(collection)):
                address = Address(collection, key)
                if workspace.records.exists(address):  # others go on while this one runs
                    with workspace.writing(address) as document:
                        changed += restamp(document, workspace.clock.latest, workspace.clock.tick)
                await asyncio.sleep(0)
        return changed

    # Durability and connection

    async def flushed(self) -> None:
        """Return when every change so far is on this device's disk (fsync). Raises StoreFailed, and
        what has ended the writing of changes."""
        workspace = self._workspace
        workspace.owner.check_waiting()
        await workspace.journal.flushed()

    async def synced(self) -> None:
        """Return when every change so far is durable at the relay, and what the relay had is here.

        Waits for the relay as long as it takes, also while the replica is offline and tries again;
        ``asyncio.timeout`` bounds that. ``connect()`` to another URL does not end the wait. What
        makes it hopeless does: Disconnected after ``disconnect()`` or a ``connect()`` that failed,
        ReplicaClosed, the error for which the replica has given up on its relay
        (``status.link == "failed"``), a StoreError that has ended the writing of changes. Raises
        UsageError without a relay.
        """
        await self.flushed()
        await self._connected.synced()

    async def connect(self, url: str, *, token: Token = None) -> None:
        """Connect to the relay at ``url``; returns when it has welcomed this replica.

        ``token`` replaces the one that the replica was opened with. Raises RelayUnreachable,
        InvalidUrl, WorkspaceMismatch, VersionMismatch, NotAuthenticated, NotAllowed,
        TokenUnavailable; the replica then has no relay. Disconnected when the program disconnects
        meanwhile. Once connected, it reconnects by itself. When cancelled, it goes on connecting.
        """
        source = None if token is None else TokenSource(token, seconds=self._token_timeout)
        await self._connected.connect(url, source)

    async def move_to(self, url: str, *, token: Token = None) -> None:
        """Leave this replica's relay for another one, which may be new and empty, or have content
        of its own for this workspace. ``connect()`` refuses such a relay: WorkspaceMismatch.

        Returns when the relay at ``url`` has welcomed this replica and the store says so; from
        then on the replica is opened with ``relay=url``. The two compare what they have: everything
        of this replica is offered, what waits in the outbox too, and what the relay has is merged;
        ``synced()`` returns when that is done. Raises what ``connect()`` raises; then nothing has
        changed, and the connection before is taken up again. Costs what a first sync does.
        """
        source = None if token is None else TokenSource(token, seconds=self._token_timeout)
        await self._connected.move_to(url, source)

    async def disconnect(self) -> None:
        """Leave the relay; changes wait in the outbox. Of no effect when not connected."""
        if self._opened is not None and self._connection is not None:
            self._opened.owner.check_waiting()
            await self._connection.disconnect()

    @property
    def _connected(self) -> Connection:
        self._workspace.owner.check_waiting()
        if self._connection is None:
            raise AssertionError("it is made with the workspace")
        return self._connection

    @property
    def client_id(self) -> int:
        """The number of this replica's store, under which its changes stand in conflicts. A copied
        store gets another one."""
        return self._workspace.identity.client_id

    @property
    def pending(self) -> int:
        """How many batches of local changes the relay has not acknowledged."""
        return self._workspace.journal.pending

    @property
    def status(self) -> ReplicaStatus:
        """How the replica is doing at this moment."""
        workspace = self._workspace
        link = self._connection.link if self._connection else None
        error = workspace.journal.error or (link.error if link else None)
        return ReplicaStatus(
            link=link.state if link else "offline",
            relay=link.url if link else None,
            workspace=workspace.home.joined,
            pending=workspace.journal.pending,
            cursor=workspace.cursor,
            refused=len(self._store.refused(LOCAL)),
            clock_offset=workspace.clock.offset_ms / 1000,
            clock_skew=workspace.clock.skew_ms / 1000,
            error=str(error) if error else None,
            error_code=error.code if error else None,
        )
