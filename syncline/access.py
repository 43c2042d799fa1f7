"""Who may do what at a relay: the seam for authentication, the same for all three protocols.

A connection brings credentials, the Authenticator makes a principal of them, and the Authorizer
says what this principal may do with a document. It is asked again for every frame that reads or
writes one, so it may change its mind while a connection lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from syncline.engine.names import Address


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

    token: str | None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is at the other end. ``claims`` is whatever the Authenticator wants the Authorizer to
    know."""

    name: str
    claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)


class Authenticator(Protocol):
    """Tells who brings some credentials."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Who it is. Raises NotAuthenticated. What it raises else is logged as a defect, and the
        connection is told to try again later."""
        ...


class Authorizer(Protocol):
    """Says what a principal may do."""

    def access(self, principal: Principal, workspace: str, address: Address | None) -> Access:
        """What ``principal`` may do with a document; with ``address`` None, the most that it may
        do anywhere in ``workspace``. Called for every frame: it must answer at once."""
        ...


ANONYMOUS = Principal("anonymous")


class AnyoneAtAll:
    """Lets everybody do everything: what a relay without access control has."""

    async def authenticate(self, _credentials: Credentials) -> Principal:
        return ANONYMOUS

    def access(self, _principal: Principal, _workspace: str, _address: Address | None) -> Access:
        return Access.WRITE
