"""The link: one replica's connection to its relay, kept up until the program leaves the relay.

Theory of operation. ``run`` connects, converses (conversation.py) until something fails, waits with
a jittered back-off and connects again. Only a refusal that stays the same until somebody changes
something ends it (``failed``). ``end`` is the other end: whoever waits is told why.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Literal, TypeAlias

from syncline.engine.errors import (
    AccessError,
    InvalidUrl,
    NotAuthenticated,
    ProtocolError,
    RelayUnreachable,
    SynclineError,
    TransportClosed,
    VersionMismatch,
    WorkspaceMismatch,
)
from syncline.environment import Environment
from syncline.replica.local.workspace import Workspace
from syncline.transports import Transport

from .cause import cause_of
from .conversation import Conversation
from .token import TokenSource

logger = logging.getLogger("syncline.replica")

LinkState: TypeAlias = Literal["connecting", "online", "waiting", "failed"]

FIRST_BACKOFF_SECONDS = 0.25
LAST_BACKOFF_SECONDS = 30.0
_RETRY_SECONDS = 1.0


class Link:
    """Keeps a replica connected to ``url``. ``state`` and ``error`` say how that goes. While
    ``moving``, the relay there may be another than the one that the replica has synced with."""

    def __init__(
        self,
        workspace: Workspace,
        url: str,
        environment: Environment,
        token: TokenSource,
        *,
        moving: bool = False,
    ) -> None:
        self.url = url
        self._moving = moving  # until a relay has welcomed us: another one is none of ours
        self._token = token
        self._workspace = workspace
        self._journal = workspace.journal
        self._environment = environment
        self._conversation: Conversation | None = None
        self._state: LinkState = "connecting"
        self._error: SynclineError | None = None
        self._ended: SynclineError | None = None
        self._attempt = 0

    @property
    def state(self) -> LinkState:
        return "online" if self._online else self._state

    @property
    def error(self) -> SynclineError | None:
        """Why it is not online."""
        return None if self._online else self._error

    @property
    def arrived(self) -> bool:
        """Whether a relay that we move to has welcomed us, so that we belong to it."""
        return self._online or not self._moving

    @property
    def _online(self) -> bool:
        return self._conversation is not None and self._conversation.online

    async def run(self) -> None:
        """Stay connected, until cancelled, or until trying again makes no sense: ``failed``."""
        while True:
            try:
                await self._set_state("connecting")
                await self._converse()
            except Exception as error:  # noqa: BLE001 - whatever a transport does, or we ourselves
                self._error = self._explain(error)
            if self._error is not None and self._is_final(self._error):
                logger.error("the relay cannot be used: %s", self._error)
                await self._set_state("failed")
                return
            await self._set_state("waiting")
            await asyncio.sleep(backoff_seconds(self._attempt, self._environment.rng))
            self._attempt += 1

    async def end(self, reason: SynclineError) -> None:
        """Tell everybody who waits for this link ``reason``: nothing more comes of it."""
        self._ended = reason
        await self._journal.notify()

    async def _set_state(self, state: LinkState) -> None:
        self._state = state
        await self._journal.notify()

    async def _converse(self) -> None:
        # First the token: getting one may take longer than a relay waits for the hello.
        token = await self._token.get()
        transport = await self._connect()
        try:
            self._conversation = Conversation(
                self._workspace, transport, self.url, token, moving=self._moving
            )
            await self._conversation.run()
        finally:
            if self._online:
                self._attempt = 0
                self._moving = False
            self._conversation = None
            await transport.close()

    async def _connect(self) -> Transport:
        try:
            return await self._environment.connect(self.url)
        except SynclineError:
            raise
        except Exception as error:
            raise RelayUnreachable(
                f"{self.url} cannot be reached: {cause_of(error)}.",
                hint="Check the network and the URL; the replica tries again by itself.",
                retry_after=_RETRY_SECONDS,
            ) from error

    def _explain(self, error: Exception) -> SynclineError:
        """What ``status`` says of a failure."""
        if isinstance(error, NotAuthenticated) and not self._token.renews:
            return NotAuthenticated(
                error.message,
                hint=f"{error.hint} Changes are kept: await replica.connect(url, token=…) with "
                "another token. A function as token= is asked for one at each attempt.",
            )
        if isinstance(error, SynclineError):
            logger.info("no connection to the relay: %s", error.message)
            return error
        logger.error("the connection to the relay at %s failed", self.url, exc_info=error)
        return TransportClosed(
            f"The connection to the relay at {self.url} failed: {cause_of(error)}.",
            hint="Changes are kept, and the replica connects again by itself. If it comes again, "
            "report it with the traceback in the log.",
            retry_after=_RETRY_SECONDS,
        )

    def _is_final(self, error: SynclineError) -> bool:
        """Whether trying again cannot help: somebody has to change something first."""
        if isinstance(error, InvalidUrl | VersionMismatch | WorkspaceMismatch):
            return True
        if isinstance(error, NotAuthenticated) and self._token.renews:
            return False  # the next token may be a fresh one
        return isinstance(error, ProtocolError | AccessError) and error.retry_after is None

    async def welcomed(self) -> None:
        """Return when the relay has welcomed us. Raises why it has not at the first attempt."""
        await self._wait_for(lambda: self.state in ("online", "waiting", "failed"))
        if self.state != "online" and self.error is not None:
            raise self.error

    async def synced(self) -> None:
        """Return when the relay holds all our batches and we all that it had when asked.

        Raises the error for which the link has given up, the reason that ``end`` was given, and
        what has ended the writing of changes.
        """
        while not await self._sync_once():
            pass

    async def _sync_once(self) -> bool:
        await self._wait_for(self._settled)
        if self.state == "failed" and self.error is not None:
            raise self.error
        conversation = self._conversation
        if conversation is None:
            return False
        try:
            head = await conversation.round_trip()
        except TransportClosed:
            return False
        await self._wait_for(
            lambda: self._workspace.cursor >= head or self._conversation is not conversation
        )
        return self._workspace.cursor >= head and self._journal.pending == 0

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        await self._journal.wait_for(lambda: self._ended is not None or condition())
        if self._ended is not None:
            raise self._ended

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
