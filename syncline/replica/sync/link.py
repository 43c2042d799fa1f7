"""The link: one replica's connection to its relay, kept up for as long as the replica is open.

Theory of operation. ``run`` connects, converses (conversation.py) until something fails, waits with
a jittered back-off and connects again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from syncline.engine.errors import (
    AccessError,
    InvalidUrl,
    ProtocolError,
    SynclineError,
    TransportClosed,
    VersionMismatch,
    WorkspaceMismatch,
)
from syncline.environment import Environment
from syncline.replica.local.workspace import Workspace

from .conversation import Conversation

logger = logging.getLogger("syncline.replica")

Token: TypeAlias = str | Callable[[], Awaitable[str]] | None
"""What a replica proves with who it is, or what gets it, for each connection anew."""
LinkState: TypeAlias = Literal["connecting", "online", "waiting", "failed"]

FIRST_BACKOFF_SECONDS = 0.25
LAST_BACKOFF_SECONDS = 30.0


class Link:
    """Keeps a replica connected to ``url``. ``state`` and ``error`` say how that goes."""

    def __init__(
        self, workspace: Workspace, url: str, environment: Environment, token: Token = None
    ) -> None:
        self.url = url
        self._token = token
        self._workspace = workspace
        self._journal = workspace.journal
        self._environment = environment
        self._conversation: Conversation | None = None
        self._state: LinkState = "connecting"
        self._error: SynclineError | None = None
        self._attempt = 0

    @property
    def state(self) -> LinkState:
        return "online" if self._online else self._state

    @property
    def error(self) -> SynclineError | None:
        """Why it is not online."""
        return None if self._online else self._error

    @property
    def _online(self) -> bool:
        return self._conversation is not None and self._conversation.online

    async def run(self) -> None:
        """Stay connected. Raises the error after which trying again makes no sense."""
        while True:
            try:
                await self._set_state("connecting")
                await self._converse()
            except SynclineError as error:
                self._error = error
                if _is_final(error):
                    logger.error("the relay cannot be used: %s", error)
                    await self._set_state("failed")
                    raise
                logger.info("no connection to the relay: %s", error.message)
            except Exception as error:
                self._error = _defect(error)
                await self._set_state("failed")
                raise
            await self._set_state("waiting")
            await asyncio.sleep(backoff_seconds(self._attempt, self._environment.rng))
            self._attempt += 1

    async def _set_state(self, state: LinkState) -> None:
        self._state = state
        await self._journal.notify()

    async def _converse(self) -> None:
        transport = await self._environment.connect(self.url)
        try:
            token = await self._token() if callable(self._token) else self._token
            self._conversation = Conversation(self._workspace, transport, self.url, token)
            await self._conversation.run()
        finally:
            if self._online:
                self._attempt = 0
            self._conversation = None
            await transport.close()

    async def synced(self) -> None:
        """Return when the relay holds all our batches and we all that it had when asked.

        Raises the error for which the link has given up.
        """
        while not await self._sync_once():
            pass

    async def _sync_once(self) -> bool:
        await self._journal.wait_for(self._settled)
        if self.state == "failed" and self.error is not None:
            raise self.error
        conversation = self._conversation
        if conversation is None:
            return False
        try:
            head = await conversation.round_trip()
        except TransportClosed:
            return False
        await self._journal.wait_for(
            lambda: self._workspace.cursor >= head or self._conversation is not conversation
        )
        return self._workspace.cursor >= head and self._journal.pending == 0

    def _settled(self) -> bool:
        conversation = self._conversation
        return self.state == "failed" or (
            conversation is not None and conversation.settled and self._journal.pending == 0
        )


def backoff_seconds(attempt: int, rng: random.Random) -> float:
    """How long to wait after failure number ``attempt``, from 0, before connecting again.

    Drawn anew each time, so that a thousand replicas of a restarted relay do not return in step.
    """
    longest = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(attempt, 10))
    return rng.uniform(longest / 4, longest)


def _is_final(error: SynclineError) -> bool:
    """Whether trying again cannot help: somebody has to change something first."""
    if isinstance(error, InvalidUrl | VersionMismatch | WorkspaceMismatch):
        return True
    return isinstance(error, ProtocolError | AccessError) and error.retry_after is None


def _defect(error: Exception) -> SynclineError:
    return SynclineError(
        f"A defect ended the connection to the relay: {error!r}.",
        hint="Changes are kept. Report this with its traceback; connect() tries again.",
    )
