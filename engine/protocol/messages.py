"""The messages of Syncline's protocol, as values. ``docs/protocol.md`` is normative.

Control messages travel as JSON in text frames under their ``name``; messages that carry updates
travel as binary frames that begin with their ``kind`` (codec.py). A field here is a field there,
under the same name. tests/engine/test_schema.py hashes all of this: whoever changes it raises
PROTOCOL_VERSION and adds a line of history.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, TypeAlias

from syncline.engine.names import Address

PROTOCOL_VERSION = 1
# History, one line per version:
#  1  2026-11: hello to error in JSON; push, updates and document in binary.

VERSIONS = (PROTOCOL_VERSION,)
"""Every version that this code speaks."""

SUBPROTOCOL = "syncline"
"""The websocket subprotocol that both sides name in the opening handshake."""

MAX_CONTROL_FRAME = 512 << 10
"""Largest text frame that a relay takes, in bytes of UTF-8: JSON costs many times its size in
memory, and no message of a replica needs more."""
MAX_PUSH_ENTRIES = 1000
"""Most entries of a push, and so most refusals of an ack."""
MAX_UPDATES_ENTRIES = 1 << 16
MAX_RANGES = 64
"""Most ranges of a digests message."""
MAX_STATES = 1000
"""Most documents of a states message."""
DIGEST_BYTES = 32
MAX_STATE_VECTOR = 256 << 10
"""Largest encoded state vector, in bytes: that of 20,000 writers at least."""
MAX_TEXT = 1000
"""Longest sentence or hint for people, in characters; a longer one is cut."""
MAX_TOKEN = 8192
"""Longest token, in characters."""
MAX_VERSIONS = 16
MAX_RETRY_SECONDS = 86_400.0

Frame: TypeAlias = str | bytes
"""What a transport carries: a text frame or a binary frame."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one side of a connection takes. Every replica takes frames of the default size."""

    max_frame: int = 16 << 20
    """Largest frame, in bytes; a larger one ends the connection."""
    max_update: int = 8 << 20
    """Largest single update, in bytes; a larger one is refused in the ack of its batch."""
    window: int = 64
    """Most batches pushed and not acknowledged."""


LIMITS = Limits()

EPOCH_CHANGED = "epoch-changed"
"""The code of a refusal: the document was rebuilt, and the update is of its former history."""

MISSING_DEPENDENCIES = "missing-dependencies"
"""The code of a refusal: the update follows changes that the relay does not have."""

FOREIGN_OPERATIONS = "foreign-operations"
"""The code of a refusal: operations of the update are under client ids of others."""

OPERATIONS_TAKEN = "operations-taken"
"""The code of a refusal: operations of the update are there already, with other content."""

MAX_FORMER = 16
"""Replica ids in a hello of stores that the replica's own was copied from."""


class Entry(NamedTuple):
    """One document's update: Yjs v1 bytes, of the document's epoch. A tuple, because
    a busy relay makes very many."""

    address: Address
    update: bytes
    epoch: int = 0


class DocumentSummary(NamedTuple):
    """What one side has of a document: ``digest`` (digests.py) tells whether two sides have the
    same, ``state_vector`` (encoded) from where to send the difference."""

    address: Address
    epoch: int
    state_vector: bytes
    digest: bytes


class Range(NamedTuple):
    """A stretch of a workspace's documents, up to and with ``until`` (None: to the end)."""

    until: Address | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """An update of a batch that was not stored, and why.

    ``state_vector`` (encoded) is what the relay has of the document, if sending the difference from
    it would help.
    """

    address: Address
    code: str
    message: str
    hint: str
    state_vector: bytes | None


# Text frames


@dataclass(frozen=True, slots=True)
class Hello:
    """Replica to relay, the first frame.

    ``cursor`` is the last seq that the replica has, ``acknowledged`` the last of its batches that
    it knows to be committed, ``relay`` the identity of the relay that both are about, ``token``
    what it proves with who it is. ``former`` are the ids of the stores that its own was copied
    from, the latest first: what they wrote is its to pass on.
    """

    name: ClassVar[str] = "hello"
    versions: tuple[int, ...]
    workspace: str
    replica: str
    client_id: int
    cursor: int
    acknowledged: int
    relay: str | None
    token: str | None = field(default=None, repr=False)
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """Relay to replica, the answer to hello. ``batch`` is the replica's last committed batch,
    ``time`` the relay's, in milliseconds since the Unix epoch."""

    name: ClassVar[str] = "welcome"
    version: int
    relay: str
    head: int
    batch: int
    time: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Ack:
    """Relay to replica: ``batch`` is committed, at ``seq``, without what was refused."""

    name: ClassVar[str] = "ack"
    batch: int
    seq: int
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """Relay to replica: a later batch came; push again, from ``batch`` on."""

    name: ClassVar[str] = "expected"
    batch: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Replica to relay: tell where you are."""

    name: ClassVar[str] = "ping"
    id: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Relay to replica, the answer to the ping of that ``id``.

    ``position`` is the last seq sent to this replica, ``head`` the last there is; ``received`` and
    ``committed`` are its last batches that arrived and that were acknowledged on this connection.
    """

    name: ClassVar[str] = "pong"
    id: int
    position: int
    head: int
    received: int
    committed: int


@dataclass(frozen=True, slots=True)
class Advance:
    """Relay to replica: nothing in since < seq <= cursor is news to you."""

    name: ClassVar[str] = "advance"
    since: int
    cursor: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Relay to replica: what there was at hello or resume has been sent; what follows is live."""

    name: ClassVar[str] = "caught-up"
    cursor: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Replica to relay: send again what follows ``cursor``."""

    name: ClassVar[str] = "resume"
    cursor: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Replica to relay: send what one document has beyond ``state_vector`` (encoded); all of it
    if its epoch is another."""

    name: ClassVar[str] = "fetch"
    address: Address
    epoch: int
    state_vector: bytes


@dataclass(frozen=True, slots=True)
class Compare:
    """Replica to relay: send digests of what you have after ``after`` (None: from the start)."""

    name: ClassVar[str] = "compare"
    after: Address | None


@dataclass(frozen=True, slots=True)
class Digests:
    """Relay to replica, the answer to compare: successive ranges, the first of which begins after
    ``after``. If the last is not the last there is, the replica asks on from there."""

    name: ClassVar[str] = "digests"
    after: Address | None
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Enumerate:
    """Replica to relay: send the state of each document with after < address <= until."""

    name: ClassVar[str] = "enumerate"
    after: Address | None
    until: Address | None


@dataclass(frozen=True, slots=True)
class Error:
    """Either way, the last frame before closing. ``retry_after`` is in seconds."""

    name: ClassVar[str] = "error"
    code: str
    message: str
    hint: str
    retry_after: float | None


# Binary frames


@dataclass(frozen=True, slots=True)
class Push:
    """Replica to relay: its changes number ``batch``, the same content whenever it is sent."""

    name: ClassVar[str] = "push"
    kind: ClassVar[int] = 1
    batch: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Updates:
    """Relay to replica: all changes in since < seq <= cursor, merged per document."""

    name: ClassVar[str] = "updates"
    kind: ClassVar[int] = 2
    since: int
    cursor: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class DocumentUpdate:
    """Relay to replica, the answer to fetch; an empty update (``0000``) when there is nothing."""

    name: ClassVar[str] = "document"
    kind: ClassVar[int] = 3
    address: Address
    epoch: int
    update: bytes


@dataclass(frozen=True, slots=True)
class States:
    """Relay to replica, the answer to enumerate: every document with after < address <= until.

    ``until`` may be below the one asked for; the replica then asks on from there.
    """

    name: ClassVar[str] = "states"
    kind: ClassVar[int] = 4
    after: Address | None
    until: Address | None
    documents: tuple[DocumentSummary, ...]


TextMessage: TypeAlias = (
    Hello
    | Welcome
    | Ack
    | Expected
    | Ping
    | Pong
    | Advance
    | CaughtUp
    | Resume
    | Fetch
    | Compare
    | Digests
    | Enumerate
    | Error
)
BinaryMessage: TypeAlias = Push | Updates | DocumentUpdate | States
Message: TypeAlias = TextMessage | BinaryMessage
