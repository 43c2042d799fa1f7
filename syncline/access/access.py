"""Who may do what at a relay: the seam for authentication, the same for all three protocols.

A connection brings credentials, the Authenticator makes a principal of them, and the Authorizer
says what this principal may do with a document. It is asked again for every frame that reads or
writes one, so it may change its mind while a connection lasts.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, runtime_checkable

from syncline.engine.errors import NotAllowed, PeerError, SynclineError
from syncline.engine.names import Address

logger = logging.getLogger("syncline.relay")


class Access(IntEnum):
    """What a principal may do. Who may write may also read."""

    NONE = 0
    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection brought along.

    ``token`` comes from the hello of a replica, the ``token`` parameter of a y-websocket URL, the
    ``token`` of a Hocuspocus provider, or an ``Authorization: Bearer`` header; None where there is
    none. ``headers`` are those of the opening handshake, by lower-case name.
    """

    token: str | None = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @classmethod
    def of(cls, token: str | None, headers: Mapping[str, str]) -> Credentials:
        """Credentials with ``token``, or else with the bearer token of ``headers``, if any."""
        if not token:
            scheme, _, value = headers.get("authorization", "").partition(" ")
            token = value.strip() if scheme.lower() == "bearer" else None
        return cls(token or None, headers)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is at the other end.

    ``name`` says it in logs and refusals. ``claims`` is whatever the Authenticator wants the
    Authorizer to know.

    ``scope`` stands for what the principal may read and write, in any words. A replica that
    connects under another scope than before compares all its documents with the relay's: what it
    may read only now was committed long ago and would not come by itself. Empty, and always the
    same, where nobody's access is ever narrowed.

    ``max_connections`` is how many it may have; None for as many as the relay's quotas say.
    """

    name: str
    claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    scope: str = ""
    trusted: bool = False
    """Whether what it writes is stored without being tasted (docs/security.md)."""
    max_connections: int | None = None


@runtime_checkable
class Authenticator(Protocol):
    """Tells who brings some credentials. Any object with this method will do."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Who it is. Called once for each connection, with Hocuspocus once for each token on it and
        whenever a client sends one anew, in the event loop; it may take 10 seconds. Raises
        NotAuthenticated for credentials that it does not know. Any other error is logged as a
        defect, and the client is told to try again."""
        ...


@runtime_checkable
class Authorizer(Protocol):
    """Says what a principal may do. Any object with this method will do."""

    def access(self, principal: Principal, workspace: str, address: Address | None) -> Access:
        """What ``principal`` may do with a document; with ``address`` None, the most that it may
        do anywhere in ``workspace``. Called for every frame and for every document in it, in the
        event loop: it must answer at once.

        A replica that may no longer do anything in its workspace is told to connect again. That is
        also what to answer with ``address`` None to a principal whose scope has changed since."""
        ...


AUTHENTICATION_SECONDS = 10.0
"""How long an Authenticator may take."""
_RETRY_SECONDS = 5.0
_ANEW_SECONDS = 1.0  # after which somebody whose access has changed may connect again

ANONYMOUS = Principal("anonymous")
"""Everybody, where nobody is asked."""


def identity_of(principal: Principal) -> str:
    """By what ``principal`` is told from others; nothing where nobody is asked who they are."""
    return "" if principal is ANONYMOUS else principal.name


async def authenticate(authenticator: Authenticator, credentials: Credentials) -> Principal:
    """Who brings ``credentials``. Raises NotAuthenticated, and an error that can be tried again
    when the authenticator fails or takes too long."""
    try:
        async with asyncio.timeout(AUTHENTICATION_SECONDS):
            return await authenticator.authenticate(credentials)
    except SynclineError:
        raise
    except TimeoutError:
        logger.error("The authenticator takes longer than %g s.", AUTHENTICATION_SECONDS)
    except Exception:
        logger.exception("The authenticator failed.")
    raise PeerError(
        "authentication-failed",
        "The relay cannot tell at present who you are.",
        hint="Try again later; tell the operator to look at the relay's log.",
        retry_after=_RETRY_SECONDS,
    )


class Permit:
    """What one principal may do in one workspace, as the authorizer says at the moment."""

    def __init__(self, authorizer: Authorizer, principal: Principal, workspace: str) -> None:
        self._authorizer = authorizer
        self.principal = principal
        self.workspace = workspace
        self.unlimited = isinstance(authorizer, AnyoneAtAll)
        """Whether there is nothing to ask."""
        self._entered = False

    def check_entry(self) -> None:
        """Raises NotAllowed if the principal has no business in the workspace.

        If it had before, then its access has changed, and it may connect again (``retry_after``):
        it is looked at anew then.
        """
        if self.may_enter():
            self._entered = True
        elif self._entered:
            raise NotAllowed(
                f"The access of {self.principal.name} to the workspace {self.workspace} has "
                "changed.",
                hint="Connect again.",
                retry_after=_ANEW_SECONDS,
            )
        else:
            raise NotAllowed(
                f"{self.principal.name} may not use the workspace {self.workspace}.",
                hint="Ask who runs the relay for access to it.",
            )

    def may_enter(self) -> bool:
        """Whether the principal has business in the workspace, at this moment."""
        return self.unlimited or self._access(None) >= Access.READ

    def may_read(self, address: Address) -> bool:
        """Whether the principal may read the document, at this moment."""
        return self.unlimited or self._access(address) >= Access.READ

    def may_write(self, address: Address) -> bool:
        """Whether the principal may write the document, at this moment."""
        return self.unlimited or self._access(address) >= Access.WRITE

    def check_read(self, address: Address) -> None:
        """Raises NotAllowed unless the principal may read the document."""
        if not self.may_read(address):
            raise NotAllowed(
                f"{self.principal.name} may not read {address}.",
                hint="Ask who runs the relay for access to this document.",
            )

    def _access(self, address: Address | None) -> Access:
        return self._authorizer.access(self.principal, self.workspace, address)


def seen_by(scope: str, relay: str) -> str:
    """The identity of ``relay`` as a principal of that scope sees it.

    To a replica a relay whose identity differs behind the first dot is the same relay with another
    log, with which it has to compare. That is what a relay is that shows it other documents.
    """
    return f"{relay}.{hashlib.sha256(scope.encode()).hexdigest()[:12]}" if scope else relay


class AnyoneAtAll:
    """Lets everybody do everything: what a relay without access control has."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        return ANONYMOUS

    def access(self, principal: Principal, workspace: str, address: Address | None) -> Access:
        return Access.WRITE


def resolve_access(
    authenticator: Authenticator | None, authorizer: Authorizer | None
) -> tuple[Authenticator, Authorizer]:
    """Who is asked. One object that can do both need be given only once: who passes its tokens as
    ``authenticator`` alone does not mean that all of them may write everything."""
    given: object = authenticator or authorizer
    if authorizer is None and isinstance(given, Authorizer):
        authorizer = given
    if authenticator is None and isinstance(given, Authenticator):
        authenticator = given
    return authenticator or AnyoneAtAll(), authorizer or AnyoneAtAll()
