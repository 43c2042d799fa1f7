"""A replica's connection: which relay the program wants, and the link that keeps to it.

Theory of operation. There is one link at most. Who waits waits for a link, and every link that is
left is ended with a reason, so nobody waits for what cannot come. Changes of the link are made one
after the other; waiting for a relay's welcome is not part of them, so that ``disconnect`` ends it.
"""

from __future__ import annotations

import asyncio

from syncline.engine.errors import Disconnected, SynclineError, TransportError, UsageError
from syncline.environment import Environment
from syncline.replica.local.workspace import Workspace
from syncline.stores.holding import to_the_end
from syncline.transports import parse_relay_url

from .link import Link
from .token import TokenSource


class Connection:
    """Connects ``workspace`` to the relay that the program names. ``link`` is None without one."""

    def __init__(self, workspace: Workspace, environment: Environment, token: TokenSource) -> None:
        self.link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._workspace = workspace
        self._environment = environment
        self._token = token
        self._changing = asyncio.Lock()
        self._moving = asyncio.Lock()
        self._closed: SynclineError | None = None

    def begin(self, url: str) -> None:
        """Connect to ``url`` in the background. Nothing may be connected yet."""
        self.link, self._task = self._start(url)

    def _start(
        self, url: str, token: TokenSource | None = None, *, moving: bool = False
    ) -> tuple[Link, asyncio.Task[None]]:
        link = Link(self._workspace, url, self._environment, token or self._token, moving=moving)
        return link, asyncio.create_task(link.run())

    async def connect(self, url: str, token: TokenSource | None) -> None:
        """Connect to the relay at ``url`` in the place of the one before; returns when it has
        welcomed us. With an error there is no relay any more. Who waits for the sync goes on
        waiting, for this relay. Cancelled, it goes on connecting."""
        self._workspace.home.join(parse_relay_url(url))
        link = await self._change(url, token, moving=False)
        try:
            await link.welcomed()
        except SynclineError as error:
            async with self._changing:
                if self.link is link:
                    await to_the_end(self._replace(None, _failed(url, error)))
            raise

    async def move_to(self, url: str, token: TokenSource | None) -> None:
        """Leave the relay for the one at ``url``, whichever that is; returns when it has welcomed
        us and the store says that we belong to it. Until the welcome nothing has changed, and with
        an error the connection before is taken up again."""
        self._workspace.home.join(parse_relay_url(url))
        async with self._moving:
            await self._move(url, token)

    async def _move(self, url: str, token: TokenSource | None) -> None:
        before = self.link.url if self.link is not None else None
        link: Link | None = None
        try:
            link = await self._change(url, token, moving=True)
            await link.welcomed()
        except BaseException as error:
            link = link or self.link  # cancelled while the link was being changed
            if link is None or not link.arrived:
                await to_the_end(self._go_back(link, before, url))
                raise
            if not isinstance(error, TransportError):  # the link comes back by itself
                raise
        self._token = token or self._token
        await self._workspace.journal.flushed()

    async def _go_back(self, link: Link | None, before: str | None, url: str) -> None:
        async with self._changing:
            if link is not None and self.link is link:
                await self._replace(before, _elsewhere(before) if before else _not_moved(url))

    async def _change(self, url: str, token: TokenSource | None, *, moving: bool) -> Link:
        """Have a link to ``url`` in the place of the one before."""
        async with self._changing:
            if self._closed is not None:
                raise self._closed
            if not moving:
                self._token = token or self._token
            await to_the_end(self._replace(url, _elsewhere(url), token, moving=moving))
            if self.link is None:
                raise AssertionError("it was made above")
            return self.link

    async def disconnect(self) -> None:
        """Leave the relay. Who waits for it is told so."""
        await self._leave(
            Disconnected(
                "The replica was disconnected from its relay before it was in sync.",
                hint="Changes wait in the outbox. Await replica.connect(url), and then "
                "replica.synced() again.",
            )
        )

    async def close(self, reason: SynclineError) -> None:
        """Leave the relay for good; who waits, or comes later, is told ``reason``."""
        self._closed = reason
        await self._leave(reason)

    async def _leave(self, reason: SynclineError) -> None:
        async with self._changing:
            await to_the_end(self._replace(None, reason))

    async def _replace(
        self,
        url: str | None,
        reason: SynclineError,
        token: TokenSource | None = None,
        *,
        moving: bool = False,
    ) -> None:
        former, task = self.link, self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        self.link, self._task = (
            (None, None) if url is None else self._start(url, token, moving=moving)
        )
        if former is not None:
            await former.end(reason)

    async def synced(self) -> None:
        """Return when all is at the relay, and what it had is here; ``Link.synced`` says more.
        Raises UsageError without a relay."""
        link = self.link
        if link is None:
            raise UsageError(
                "The replica has no relay to sync with.",
                hint="Open it with relay=…, or await replica.connect(url).",
            )
        while True:
            try:
                await link.synced()
            except Disconnected:
                if self.link is None or self.link is link:
                    raise
                link = self.link
            else:
                return


def _elsewhere(url: str) -> Disconnected:
    return Disconnected(
        f"The replica is being connected to {url} instead.",
        hint="Wait for that connection.",
    )


def _not_moved(url: str) -> Disconnected:
    return Disconnected(
        f"The replica has no relay, and could not move to {url}.",
        hint="Changes wait in the outbox. Await replica.move_to(url) or replica.connect(url) until "
        "it succeeds.",
    )


def _failed(url: str, error: SynclineError) -> Disconnected:
    return Disconnected(
        f"The replica has no relay any more: connect() to {url} failed. {error.message}",
        hint="Changes wait in the outbox. Await replica.connect(url) until it succeeds, and then "
        "replica.synced() again.",
    )
