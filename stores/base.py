"""What a store keeps, and the port every store implements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from syncline.engine.names import Address
from syncline.engine.records.projection import ProjectedTable

if TYPE_CHECKING:
    from sqlalchemy import Select

RECEIPTS_KEPT = 1024
"""Receipts a store keeps per workspace and replica: those of its last so many batch numbers."""

RowOf: TypeAlias = Callable[[ProjectedTable, Sequence[bytes]], "Mapping[str, Any] | None"]
"""The row of the document with this log; None if its record does not live. It may raise
DocumentBroken."""


@dataclass(frozen=True, slots=True)
class DocumentWrite:
    """What one Write does to one document.

    ``updates`` are appended to its log, each under its own seq; ``state_vector`` is the encoded
    state vector after them. ``live`` says whether the record exists; None leaves what the store
    has, which is None for a document of which no schema was ever known.

    An ``epoch`` above the stored one begins the document anew: its older rows leave the log, and
    everything but ``live`` counts from here. One below it is refused.
    Of a projected collection, ``row`` is what its table shows from now on, by column; without one
    the table keeps what it has, and ``live=False`` takes the row away.
    """

    address: Address
    updates: tuple[bytes, ...]
    state_vector: bytes
    live: bool | None = None
    epoch: int = 0
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """A batch that a replica keeps until the relay acknowledges it. ``number`` counts from 1 in its
    workspace; ``payload`` is the encoded frame of the push."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """The relay's memory of one batch of one replica, so that a batch sent twice is stored once.

    ``replica`` is the replica's id, ``batch`` the number of its batch, ``digest`` the SHA-256 of
    the batch's frame, ``refused`` the JSON list of refusals in the acknowledgement.
    The store fills in ``seq``: the workspace's head after the Write that carried the receipt.
    """

    replica: str
    batch: int
    digest: bytes
    seq: int = 0
    refused: bytes = b"[]"


@dataclass(frozen=True, slots=True)
class RefusedUpdate:
    """An update of this replica that the relay would not take, kept with its reason: ``batch`` is
    the number of the batch that it was in, ``code`` and ``message`` are the relay's."""

    batch: int
    address: str
    update: bytes
    code: str
    message: str


def _no_meta() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic unit of work in one workspace.

    ``receipt`` is the relay's, ``outbox``, ``acknowledged`` (the number of the outbox batch to
    delete) and ``refused`` are the replica's. ``meta`` sets keys, ``owners`` to whom the ids of
    writers belong. The workspace ``""`` holds meta of the whole store and no documents.
    """

    workspace: str
    documents: tuple[DocumentWrite, ...] = ()
    receipt: Receipt | None = None
    outbox: tuple[OutboxBatch, ...] = ()
    acknowledged: int | None = None
    refused: tuple[RefusedUpdate, ...] = ()
    meta: Mapping[str, str] = field(default_factory=_no_meta)
    owners: Mapping[str, str] = field(default_factory=_no_meta)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as stored. ``updates`` are Yjs v1 updates in the order of their seqs;
    ``state_vector`` is the encoded state vector after them, ``last_seq`` the seq of the last one, 0
    without any. ``live`` says whether the record exists, None where no schema was ever known."""

    address: Address
    updates: tuple[bytes, ...]
    state_vector: bytes
    live: bool | None
    last_seq: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class DocumentState:
    """What a document has seen, without its log, but for the ``size`` of that in bytes; the other
    fields are those of a StoredDocument."""

    address: Address
    epoch: int
    state_vector: bytes
    live: bool | None
    last_seq: int
    size: int


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document without its content: how many ``updates`` are stored, and their ``size`` in bytes.
    The rest is as in a StoredDocument."""

    address: Address
    live: bool | None
    last_seq: int
    updates: int
    size: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class LogSize:
    """What one document's log has: ``updates``, ``size`` in bytes of their data, and ``first``,
    the bytes of the first of them: what the last compaction reached, if there was one."""

    updates: int
    size: int
    first: int


@dataclass(frozen=True, slots=True)
class StoredUpdate:
    """One row of a workspace's log: ``data`` is a Yjs v1 update of the document at ``address``,
    ``epoch`` the document's."""

    seq: int
    address: Address
    data: bytes
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class LogPage:
    """A stretch of a workspace's log.

    ``cursor`` is the seq up to which the log has now been read; it equals ``head``, the last seq
    of the workspace at the time of reading, when nothing is left.
    """

    updates: tuple[StoredUpdate, ...]
    cursor: int
    head: int


class Store(Protocol):
    """Durable memory of many workspaces: documents, their log, receipts, outboxes, meta.

    **Durability.** When ``write`` returns, everything in it is in one committed transaction that
    was flushed to the disk (fsync), and survives the death of the process and of the machine.
    When ``write`` raises, nothing of it is visible, to this process or to any reader; after
    StoreFailed a crash may still turn the commit out to have happened, so a caller that retries
    after a restart looks for its receipt first. Nothing is acknowledged or shown to anybody
    before ``write`` has returned.

    **Order.** Every update gets a seq of its own: the workspace's head plus one, without holes,
    in the order of ``writes``. A reader that has seen seq n never sees a smaller one appear.
    Compaction and later epochs make holes: they move what updates hold to a higher seq, never to a
    smaller one, so a reader at any cursor goes on and misses nothing.

    **Threads.** All calls block. Reads may come from any thread, also during a write, and see
    whole transactions. ``open``, ``write``, ``compact`` and ``close`` come from one thread at a
    time.

    **Errors.** A call before ``open`` or after ``close``, a receipt or outbox number stored
    already, and an epoch below the stored one raise StoreError; ``open`` raises StoreBusy,
    StoreDamaged or StoreVersion; every call raises StoreFailed (retryable) when the disk is full
    or fails or the database cannot be reached; the next call tries anew.

    A store does not check names: an Address is checked where it enters (syncline.engine.names).
    """

    def open(self) -> None:
        """Take hold of the store, creating it when there is none. Raises StoreBusy while another
        process has it, StoreDamaged, StoreVersion, StoreFailed."""
        ...

    def close(self) -> None:
        """Let go of the store. Closing twice is allowed."""
        ...

    def fingerprint(self) -> str:
        """What tells this store from a copy of it: another value after it was copied.

        A replica keeps it in its meta and takes a new client id when it differs, because two
        writers under one client id diverge silently and for ever.
        """
        ...

    def project(
        self, tables: Sequence[ProjectedTable], *, anew: bool = False, row_of: RowOf | None = None
    ) -> dict[str, int]:
        """Keep an SQL table of each of these collections from now on, until ``close``.

        A table that is missing, or was made for other columns, is made from the documents; with
        ``anew`` every one is. Returns how many rows those got, by collection. Tables that are not
        declared stay as they are and are no longer kept: declaring them again rebuilds them.
        ``row_of`` makes the row of a document; without it documents are opened here. Called by the
        thread that writes. A store without SQL keeps no tables.
        """
        ...

    def select(self, statement: Select[*tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows that ``statement`` finds in the projected tables, as of one moment.

        Raises UsageError if the statement cannot be executed, or the store has no SQL, and
        StoreError if a table of it could not be kept up to date.
        """
        ...

    def write(self, writes: Sequence[Write]) -> list[int]:
        """Commit all of ``writes`` or none; return the workspace's head after each of them.

        A workspace and a document come into being with their first Write. The batch numbers of
        a replica's receipts only grow; the last RECEIPTS_KEPT of them are kept. Raises StoreError
        for a number or an epoch that must not be stored, and StoreFailed.
        """
        ...

    def compact(self, workspace: str, document: StoredDocument, snapshot: bytes) -> bool:
        """Replace the updates that ``document`` was loaded with by ``snapshot``, in one commit.

        The snapshot takes the seq of the last of them. Updates written since stay as they are, and
        so do the state vector, ``live`` and the head. Returns False, and changes nothing, when the
        log no longer has exactly those updates up to that seq: then somebody compacted meanwhile.
        The caller has made sure that the snapshot holds all that those updates hold.
        """
        ...

    def load(self, workspace: str, address: Address) -> StoredDocument | None:
        """The whole document, as of one moment; None if there is none."""
        ...

    def load_many(self, workspace: str, addresses: Sequence[Address]) -> list[StoredDocument]:
        """Those of ``addresses``, each given once, that there are: each whole, in any order. Few
        statements, whatever their number."""
        ...

    def state(self, workspace: str, address: Address) -> DocumentState | None:
        """What the document has seen: one row, whatever the length of its log. None if there is no
        such document."""
        ...

    def states(
        self, workspace: str, after: Address, until: Address | None, limit: int
    ) -> list[DocumentState]:
        """Documents with ``after < address <= until``, or all above ``after``: in the code-point
        order of addresses, at most ``limit``."""
        ...

    def log_size(self, workspace: str, address: Address) -> LogSize | None:
        """How much log a document has, without reading it; None without any."""
        ...

    def liveness(self, workspace: str, collection: str) -> list[tuple[str, bool | None]]:
        """The key of every document of a collection and whether its record exists, in any order:
        the cheapest way to learn what there is."""
        ...

    def documents(self, workspace: str, collection: str | None = None) -> Iterator[DocumentInfo]:
        """Every document, or those of one collection, in the code-point order of addresses.

        A document written while the iteration runs may appear as before or as after that.
        """
        ...

    def since(self, workspace: str, cursor: int, *, max_bytes: int, max_updates: int) -> LogPage:
        """The log above ``cursor``, as far as both limits go (``max_bytes`` counts update data).

        A page that a limit ends has the seq of its last row as cursor, any other the head. At least
        one update when there is one, however large; an empty page with
        ``cursor == head`` otherwise, also for a cursor beyond the head.
        """
        ...

    def workspaces(self) -> list[str]:
        """The names of all workspaces, sorted; the store-wide ``""`` is none."""
        ...

    def head(self, workspace: str) -> int:
        """The last seq given out, 0 in a workspace without updates or not known."""
        ...

    def meta(self, workspace: str) -> dict[str, str]:
        """All meta keys of a workspace, or of the store for ``""``."""
        ...

    def owners(self, workspace: str, writers: Sequence[str]) -> dict[str, str]:
        """To whom each of these ids belongs; those that nobody has are left out."""
        ...

    def last_batch(self, workspace: str, replica: str) -> int:
        """The highest batch number that has a receipt, 0 when there is none."""
        ...

    def receipt(self, workspace: str, replica: str, batch: int) -> Receipt | None:
        """The receipt of one batch, while it is kept; None afterwards, and for an unknown batch."""
        ...

    def outbox(self, workspace: str, *, after: int = 0, limit: int) -> list[OutboxBatch]:
        """At most ``limit`` batches with a number above ``after``, by number."""
        ...

    def outbox_count(self, workspace: str) -> int:
        """How many batches wait in the outbox."""
        ...

    def refused(self, workspace: str) -> list[RefusedUpdate]:
        """Every refused update, in the order of writing."""
        ...
