"""A relay without its sockets: the rooms, the store's threads, and who is served by what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from urllib.parse import unquote

from syncline.access.access import (
    ANONYMOUS,
    AnyoneAtAll,
    Authenticator,
    Authorizer,
    Principal,
    resolve_access,
)
from syncline.engine.errors import (
    InvalidName,
    TransportClosed,
    UsageError,
    WorkspaceMismatch,
)
from syncline.engine.names import check_workspace
from syncline.engine.protocol.messages import SUBPROTOCOL
from syncline.engine.records.projection import projected
from syncline.engine.updates.update_values import UpdateLimits
from syncline.environment import Environment
from syncline.records.record import Record
from syncline.stores import Store, Write
from syncline.stores.catalogue import Catalogue
from syncline.stores.holding import Holding, to_the_end
from syncline.transports import Request, Transport
from syncline.upkeep.compaction import CompactionPolicy, Compactor
from syncline.upkeep.opener.documents import OpenedElsewhere

from .audit import AuditLog
from .editors.serving import serve_editor
from .editors.stateless import OnStateless, ignore
from .editors.turned_away import TurnedAway
from .log.committed import Committed
from .log.committer import Committer
from .log.document_reader import DocumentReader
from .log.ledger import INCOMING, Ledger
from .log.room import Room
from .log.submission import Submission
from .log.table_rows import PATIENCE_SECONDS as ROWS_PATIENCE_SECONDS
from .quotas import QuotaLimits, Quotas, Visit
from .replicas.connection import ReplicaConnection
from .tasting.lane import Lane
from .tasting.taster import CAREFUL_PATIENCE_SECONDS, PATIENCE_SECONDS, Taster

DIGEST_SECONDS = 10.0
"""How long the digest of one document may take, and its row when its table is made anew."""
CHECK_SECONDS = 3.0
"""How often is looked for editors' clients that are not heard of, and for connections that have
lost their rights while nothing happens on them."""

logger = logging.getLogger("syncline.relay")

_PREFIXED = "this path has more before the workspace than the relay's --path-prefix"


class RelayCore:
    """A relay without its sockets: serves whatever transports it is given."""

    def __init__(
        self,
        store: Store,
        environment: Environment,
        models: Iterable[type[Record]] = (),
        compaction: CompactionPolicy = CompactionPolicy(),  # noqa: B008 - it is a value
        on_stateless: OnStateless = ignore,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
        update_limits: UpdateLimits = INCOMING,
        *,
        awareness_user: bool = False,
        quotas: QuotaLimits = QuotaLimits(),  # noqa: B008 - it is a value
        audit_log: Path | None = None,
    ) -> None:
        self._tables = [projected(model.__schema__, by_workspace=True) for model in models]
        self.identity = ""
        self.now = environment.now
        self.store = store
        self._holding = Holding(store)
        self._entered = False
        # Readers that catch up do not stand in the way of commits.
        self.writer = environment.store_thread()
        self.reader = environment.store_thread()
        self.ledger = Ledger(
            store, self._tables, update_limits, environment.opener(ROWS_PATIENCE_SECONDS)
        )
        self._rows = OpenedElsewhere(environment.opener(DIGEST_SECONDS))
        # Comparing opens documents, so it may take long for some: not in the way of other reading.
        self.comparing = environment.store_thread()
        self._digests = OpenedElsewhere(environment.opener(DIGEST_SECONDS))
        self.catalogue = Catalogue(store, self._digests.digest)
        self.documents = DocumentReader(store, update_limits)
        self.authenticator, self.authorizer = resolve_access(authenticator, authorizer)
        self.on_stateless = on_stateless
        self.awareness_user = awareness_user
        self._quotas = Quotas(quotas)
        self.audit = (
            None
            if audit_log is None
            else AuditLog(audit_log, environment.store_thread(), environment.now)
        )
        self.turned_away = TurnedAway()
        self._compactor = Compactor(
            store, environment.snapshots(), compaction, read=self.reader, write=self.writer
        )
        self.committer = Committer(self.ledger, self.writer, self._publish, self._compactor.note)
        self._environment = environment
        self._lanes = [
            Lane(
                store,
                environment.opener(patience),
                update_limits,
                reader=self.reader,
                calls=environment.store_thread(),
            )
            for patience in (PATIENCE_SECONDS, CAREFUL_PATIENCE_SECONDS)
        ]
        self.taster = Taster(self.committer, *self._lanes)
        self._rooms: dict[str, Room] = {}
        self._authors = count(1)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def asks_for_token(self) -> bool:
        """Whether it asks who connects."""
        return not isinstance(self.authenticator, AnyoneAtAll)

    async def open(self) -> None:
        """Open the store, once. Raises StoreError, and UsageError the second time."""
        if self._entered:
            raise UsageError(
                "This relay was started before.",
                hint="Make another Relay for each `async with`.",
            )
        self._entered = True
        try:
            if self.audit is not None:
                await self.audit.open()
            await self.writer(self._holding.take)
            self.identity = await self.writer(self._claim)
            await self.writer(self.store.project, self._tables, row_of=self._rows.row)
        except BaseException:
            await to_the_end(self._release())
            raise
        finally:
            self._rows.close()
        self._tasks = [
            asyncio.create_task(self.committer.run()),
            asyncio.create_task(self.taster.run()),
            asyncio.create_task(self._compactor.run()),
            asyncio.create_task(self._check()),
        ]
        if self.audit is not None:
            self._tasks.append(asyncio.create_task(self.audit.run()))

    def _claim(self) -> str:
        meta = self.store.meta("")
        if meta.get("role", "relay") != "relay":
            raise WorkspaceMismatch(
                "This store belongs to a replica.",
                hint="Give the relay a file of its own, for example --store sqlite:///relay.db.",
            )
        if "relay" in meta:
            return meta["relay"]
        identity = f"{self._environment.rng.getrandbits(128):032x}"
        self.store.write([Write("", meta={"role": "relay", "relay": identity})])
        return identity

    async def close(self) -> None:
        """Stop committing and close the store. Batches not acknowledged stay with their
        replicas."""
        await to_the_end(self._close())

    async def _close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._release()

    async def _release(self) -> None:
        async with AsyncExitStack() as ending:  # each one, whatever the others raise; last in first
            ending.push_async_callback(self.writer.close, self._let_go)
            ending.push_async_callback(self.reader.close, self.documents.close)
            ending.push_async_callback(self.comparing.close, self._digests.close)
            for lane in self._lanes:
                ending.push_async_callback(lane.close)
            if self.audit is not None:
                ending.push_async_callback(self.audit.close)

    def _let_go(self) -> None:
        try:
            self.ledger.close()
        finally:
            self._holding.let_go()

    async def enter(
        self, workspace: str, wake: Callable[[], None], may_stay: Callable[[], bool]
    ) -> Room:
        """The room of ``workspace``, with ``wake`` called at each commit until ``leave``, and when
        ``may_stay`` says no."""
        room = self.room(workspace)
        room.enter(wake, may_stay)
        try:
            head = await self.reader(self.store.head, workspace)
        except BaseException:
            self.leave(workspace, wake)
            raise
        # A commit that was published to the room meanwhile may be newer.
        room.head = max(room.head, head)
        return room

    def leave(self, workspace: str, wake: Callable[[], None]) -> None:
        """Let go of a room; the last one out removes it."""
        room = self._rooms[workspace]
        room.leave(wake)
        self.tidy(room)

    def room(self, workspace: str) -> Room:
        """The room of ``workspace``, to be entered at once."""
        room = self._rooms.get(workspace)
        if room is None:
            room = self._rooms[workspace] = Room(workspace)
        return room

    def tidy(self, room: Room) -> None:
        """Drop a room that nobody is in."""
        if room.empty:
            self._rooms.pop(room.workspace, None)

    def next_author(self) -> str:
        """A name for who changes documents without being a replica; no replica has such a one."""
        return f"editor:{next(self._authors)}"

    async def _check(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for room in list(self._rooms.values()):
                room.expire(loop.time())
                room.check_rights()
                await asyncio.sleep(0)

    async def submit(self, submission: Submission, principal: Principal) -> None:
        """Have a submission committed; first tasted, unless ``principal`` is trusted."""
        if principal.trusted or not submission.entries:
            await self.committer.submit(submission)
        else:
            name = None if principal is ANONYMOUS else principal.name
            await self.taster.submit(submission, name)

    def _publish(self, committed: Committed) -> None:
        self.taster.committed(committed)
        room = self._rooms.get(committed.workspace)
        if room is not None:
            room.publish(committed)

    async def serve(self, transport: Transport, request: Request) -> None:
        """Serve one connection. The path of its URL names the workspace; behind that, for
        y-websocket, the document."""
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(None) as stay:
                visit = self._quotas.arrive(request.address, lambda: stay.reschedule(now()))
                try:
                    await self._serve(transport, request, visit)
                finally:
                    visit.leave()
        except TimeoutError:
            await self._refuse(transport, 1013, "others came, and there was no hello here")

    async def _serve(self, transport: Transport, request: Request, visit: Visit) -> None:
        name: str | None = None
        path = unquote(request.path.removeprefix("/"))
        if request.subprotocol == SUBPROTOCOL:
            path = path.removesuffix("/")
        else:
            path, _, rest = path.partition("/")
            name = rest or None
        try:
            workspace = check_workspace(path)
        except InvalidName as error:
            # y-websocket tries again after 1008.
            code = 1008 if request.subprotocol == SUBPROTOCOL else 4400
            await self._refuse(transport, code, _PREFIXED if "/" in path else error.message)
            return
        if request.subprotocol == SUBPROTOCOL:
            await ReplicaConnection(self, transport, request, workspace, visit).serve()
        else:
            await serve_editor(self, transport, request, workspace, name, visit)

    @staticmethod
    async def _refuse(transport: Transport, code: int, reason: str) -> None:
        try:
            await transport.close(code, reason)
        except TransportClosed:
            logger.info("%s left before it was told: %s", transport.peer, reason)
