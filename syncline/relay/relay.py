"""Relay: the server that orders, stores and forwards. It promises durability, not ownership."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from syncline.access.access import Authenticator, Authorizer
from syncline.access.origins import OriginPolicy
from syncline.engine.updates.update_values import UpdateLimits
from syncline.environment import Environment
from syncline.records.record import Record
from syncline.stores import SqlStore, Store
from syncline.stores.holding import to_the_end
from syncline.transports import MAX_CONNECTIONS, WebSocketServer, parse_path_prefix
from syncline.transports.certificate import Certificate
from syncline.transports.client_address import TrustedProxies
from syncline.upkeep.compaction import CompactionPolicy

from .core import RelayCore
from .editors.stateless import OnStateless, ignore
from .log.ledger import INCOMING
from .quotas import QuotaLimits
from .web.home_page import HomePage
from .web.static_files import StaticFiles


class Relay:
    """A relay on websockets:

        async with Relay("relay.db", port=8765) as relay:
            print(relay.url)
            await asyncio.Event().wait()

    ``store`` is a path, a SQLAlchemy URL or a Store; port 0 takes a free one. Of each record class
    in ``models`` the store keeps an SQL table, for all workspaces. Beyond ``max_connections`` a
    replica is told to come back later (503). ``compaction`` says when the log of a document is
    replaced by a snapshot, beside the commits; ``on_stateless`` is called with the stateless
    messages of Hocuspocus clients. ``authenticator`` tells who connects and ``authorizer`` what
    they may do (access.py); one object that is both, such as a TokenFile, need be given only once,
    and without any, anybody may do everything. Then web pages are looked at: other sites' may
    connect only from ``allow_origins`` (origins.py). ``static`` is a folder of files to serve to
    browsers. ``path_prefix``, such as ``/sync``, is the path under which a proxy passes on what is
    for the relay, if the proxy does not take it off. ``update_limits`` is what an update may be,
    and the document that updates make up; what is beyond the defaults, replicas keep apart. With
    ``awareness_user`` the relay sets the name of the ``user`` in editors' awareness to that of
    their principal. ``quotas`` is what one principal or address may take (quotas.py), ``audit_log``
    a file for one line about each decision (audit.py). With ``tls_certificate`` and ``tls_key``,
    files in PEM, it speaks TLS, and takes new ones over when they change. ``trusted_proxies`` are
    addresses or networks of proxies that tell where a client is (``X-Forwarded-For``). Leaving the
    block closes the connections (1001) and the store; whatever was acknowledged is on disk. Raises
    UsageError, InvalidUrl for such a prefix, and LimitExceeded for a folder that is too large.
    """

    def __init__(
        self,
        store: str | Path | Store,
        *,
        host: str = "127.0.0.1",
        port: int = 8765,
        models: Iterable[type[Record]] = (),
        max_connections: int = MAX_CONNECTIONS,
        environment: Environment | None = None,
        compaction: CompactionPolicy = CompactionPolicy(),  # noqa: B008 - it is a value
        on_stateless: OnStateless = ignore,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
        allow_origins: Iterable[str] = (),
        static: str | Path | None = None,
        path_prefix: str = "",
        update_limits: UpdateLimits = INCOMING,
        awareness_user: bool = False,
        quotas: QuotaLimits = QuotaLimits(),  # noqa: B008 - it is a value
        audit_log: str | Path | None = None,
        tls_certificate: str | Path | None = None,
        tls_key: str | Path | None = None,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        if isinstance(store, str | Path):
            store = SqlStore(store)
        self.store = store
        self._host = host
        self._port = port
        self._max_connections = max_connections
        self._certificate = (
            None if tls_certificate is None else Certificate(tls_certificate, tls_key)
        )
        self._trusted_proxies = TrustedProxies(trusted_proxies)
        self._path_prefix = parse_path_prefix(path_prefix)
        self._core = RelayCore(
            store,
            environment or Environment(),
            models,
            compaction,
            on_stateless,
            authenticator,
            authorizer,
            update_limits,
            awareness_user=awareness_user,
            quotas=quotas,
            audit_log=None if audit_log is None else Path(audit_log),
        )
        self._origins = OriginPolicy(
            allow_origins, host=host, authenticated=self._core.asks_for_token
        )
        self._static = None if static is None else StaticFiles(static)
        self._server: WebSocketServer | None = None

    @property
    def url(self) -> str:
        """The address to connect to, without a workspace: ``ws://host:port``, or ``wss://`` with a
        certificate, and the path prefix if there is one."""
        return self._running.url

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._running.port

    @property
    def _running(self) -> WebSocketServer:
        if self._server is None:
            raise RuntimeError("the relay is not running: use `async with Relay(…) as relay:`")
        return self._server

    async def __aenter__(self) -> Relay:
        await self._core.open()
        try:
            await to_the_end(self._listen())
        except BaseException:
            await to_the_end(self._close())
            raise
        return self

    async def _listen(self) -> None:
        page = HomePage(lambda: self.url, token=self._core.asks_for_token, static=self._static)
        server = WebSocketServer(
            self._core.serve,
            host=self._host,
            port=self._port,
            http=page.answer,
            refuses=self._origins.refusal,
            max_connections=self._max_connections,
            path_prefix=self._path_prefix,
            certificate=self._certificate,
            trusted_proxies=self._trusted_proxies,
        )
        self._server = await server.__aenter__()

    async def _close(self) -> None:
        server, self._server = self._server, None
        try:
            if server is not None:
                await server.close()
        finally:
            await self._core.close()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await to_the_end(self._close())
