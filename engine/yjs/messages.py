"""What Yjs clients and servers say to each other about one document, as values.

The two protocols (y_websocket.py, hocuspocus.py) encode the same things differently; each has some
that the other lacks.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class SyncStep1(NamedTuple):
    """What the sender has, as an encoded state vector; to be answered with SyncStep2."""

    state_vector: bytes


class SyncStep2(NamedTuple):
    """What the receiver lacked, as a Yjs v1 update; the answer to SyncStep1."""

    update: bytes


class Update(NamedTuple):
    """A change, as a Yjs v1 update."""

    update: bytes


class Client(NamedTuple):
    """The awareness of one client: who it is and where its cursor stands, as JSON text; None when
    it has gone. A higher ``clock`` replaces a lower."""

    id: int
    clock: int
    state: str | None


class Awareness(NamedTuple):
    """The latest awareness of some clients."""

    clients: tuple[Client, ...]


class QueryAwareness(NamedTuple):
    """Asks for the awareness of all clients that the receiver knows."""


class Authenticate(NamedTuple):
    """Client to server: a token, and the version of the client if it is one that tells (v4)."""

    token: str
    version: str | None = None


class Authenticated(NamedTuple):
    """Server to client: the document is open."""

    read_only: bool


class Denied(NamedTuple):
    """Server to client: the document is not open to you, for ``reason``."""

    reason: str


class Stateless(NamedTuple):
    """A text that is no part of the document and is not stored."""

    payload: str


class Close(NamedTuple):
    """The sender is done with the document; the connection stays. ``reason`` is the server's."""

    reason: str = ""


class SyncStatus(NamedTuple):
    """Server to client, once for each SyncStep2 and Update, in order: whether it was stored."""

    stored: bool


class Ping(NamedTuple):
    """Server to client, about no document."""


class Pong(NamedTuple):
    """The answer to Ping."""


class Unknown(NamedTuple):
    """A message of a type that is not known here; to be ignored."""

    type: int


Message: TypeAlias = (
    SyncStep1
    | SyncStep2
    | Update
    | Awareness
    | QueryAwareness
    | Authenticate
    | Authenticated
    | Denied
    | Stateless
    | Close
    | SyncStatus
    | Ping
    | Pong
    | Unknown
)
