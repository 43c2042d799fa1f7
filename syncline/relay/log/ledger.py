"""The ledger: checks what is submitted and commits it, many submissions in one transaction.

Blocking and without a clock; one thread at a time. A submission becomes durable whole, but for the
updates that are refused one by one with a reason: bytes that are no update, and updates that need
operations the relay does not have (with the state vector from which the replica can make up the
difference).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

from syncline.engine.errors import (
    InvalidUpdate,
    PeerError,
    StoreError,
    SynclineError,
)
from syncline.engine.history.rebuild import begins
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    EPOCH_CHANGED,
    LIMITS,
    MISSING_DEPENDENCIES,
    Entry,
    Refusal,
)
from syncline.engine.records.projection import ProjectedTable
from syncline.engine.updates.by_document import UpdatesByDocument
from syncline.engine.updates.parse import (
    StateVector,
    UpdateLimits,
    covers,
    decode_state_vector,
    encode_state_vector,
    parse_update,
)
from syncline.stores import DocumentWrite, Receipt, Store, Write

from .receipts import pack_refusals, unpack_refusals
from .submission import Committed, PushedBatch, Settled, Submission, merged_entries, updates_frame
from .table_rows import RelayRows

K = TypeVar("K")
V = TypeVar("V")

_UPDATE_LIMITS = UpdateLimits(max_bytes=LIMITS.max_update)
_KEPT = 50_000  # state vectors of documents, and last batches of replicas
_KEPT_WRITERS = 500_000  # in the state vectors together; about 100 bytes each


class _Recent(Generic[K, V]):
    """What the store says, remembered for the keys used last."""

    def __init__(self, weigh: Callable[[V], int] = lambda _value: 0) -> None:
        self._items: OrderedDict[K, V] = OrderedDict()
        self._weigh = weigh
        self._weight = 0

    def get(self, key: K, load: Callable[[], V]) -> V:
        if key not in self._items:
            self.put(key, load())
        self._items.move_to_end(key)
        return self._items[key]

    def put(self, key: K, value: V) -> None:
        if key in self._items:
            self._weight -= self._weigh(self._items.pop(key))
        self._items[key] = value
        self._weight += self._weigh(value)
        while len(self._items) > 1 and (len(self._items) > _KEPT or self._weight > _KEPT_WRITERS):
            self._weight -= self._weigh(self._items.popitem(last=False)[1])


@dataclass(slots=True)
class _Draft:
    """One submission on its way into the transaction."""

    submitted: Submission
    documents: UpdatesByDocument = field(default_factory=UpdatesByDocument)
    refusals: list[Refusal] = field(default_factory=list[Refusal])

    def __post_init__(self) -> None:
        self.refusals += self.submitted.refused


class _State(NamedTuple):
    """How far the relay is with a document."""

    epoch: int
    vector: StateVector


def _writers(state: _State) -> int:
    return len(state.vector)


@dataclass(slots=True)
class _Transaction:
    """What a transaction will have changed, if it commits."""

    drafts: list[_Draft] = field(default_factory=list[_Draft])
    numbered: dict[tuple[str, str, int], _Draft] = field(
        default_factory=dict[tuple[str, str, int], _Draft]
    )
    states: dict[tuple[str, Address], _State] = field(
        default_factory=dict[tuple[str, Address], _State]
    )
    last: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])


class Ledger:
    """The write side of a relay's store."""

    def __init__(self, store: Store, tables: Iterable[ProjectedTable] = ()) -> None:
        self._store = store
        self._rows = RelayRows(store, tables)
        self._states: _Recent[tuple[str, Address], _State] = _Recent(_writers)
        self._last: _Recent[tuple[str, str], int] = _Recent()

    def commit(
        self, submissions: Sequence[Submission]
    ) -> tuple[list[Settled | SynclineError], list[Committed]]:
        """Commit what is new among ``submissions``, in one transaction.

        Returns an outcome for each, and what each workspace's readers are to be told. Raises
        StoreError if nothing was committed: then each may be offered again.
        """
        transaction = _Transaction()
        outcomes = [self._place(submitted, transaction) for submitted in submissions]
        drafts = transaction.drafts
        heads = self._write(
            [_to_write(draft, transaction.states, _receipt(draft)) for draft in drafts]
        )
        # Only now: had the transaction failed, nothing of it may be believed.
        for document, state in transaction.states.items():
            self._states.put(document, state)
        for replica, batch in transaction.last.items():
            self._last.put(replica, batch)
        seqs = dict(zip(map(id, drafts), heads, strict=True))
        settled = [
            Settled(seqs[id(outcome)], tuple(outcome.refusals))
            if isinstance(outcome, _Draft)
            else outcome
            for outcome in outcomes
        ]
        return settled, list(self._announcements(drafts, heads))

    def commit_singly(
        self, submitted: Submission, why: SynclineError
    ) -> tuple[Settled | SynclineError, list[Committed]]:
        """Commit what the store does not take as a whole: each update for itself.

        What the store does not take is refused with the reason, which is ``why`` unless it says
        something else. The updates come first and the receipt last, so a crash between repeats
        updates, which is no harm. Raises StoreError if the store takes nothing now.
        """
        transaction = _Transaction()
        receipt = self._place(replace(submitted, entries=()), transaction)
        if not isinstance(receipt, _Draft):
            return receipt, []
        announced: list[Committed] = []
        for entry in submitted.entries:
            draft = _Draft(replace(submitted, refused=()))
            states: dict[tuple[str, Address], _State] = {}
            self._check(draft, entry, states)
            receipt.refusals += draft.refusals
            try:
                heads = self._write([_to_write(draft, states, receipt=None)])
            except StoreError as error:
                if error.retry_after is not None:
                    raise
                receipt.refusals.append(_not_stored(entry.address, error))
            except Exception:  # noqa: BLE001  a defect, which was logged when the whole batch met it
                receipt.refusals.append(_not_stored(entry.address, why))
            else:
                for document, state in states.items():
                    self._states.put(document, state)
                announced += self._announcements([draft], heads)
        (head,) = self._write([_to_write(receipt, {}, _receipt(receipt))])
        for replica, batch in transaction.last.items():
            self._last.put(replica, batch)
        return Settled(head, tuple(receipt.refusals)), announced

    def _write(self, writes: list[Write]) -> list[int]:
        try:
            return self._store.write(self._rows.add_to(writes))
        except BaseException:
            self._rows.close()  # its documents are ahead of the store
            raise

    def close(self) -> None:
        """Let go of what is in memory, in the thread that commits."""
        self._rows.close()

    def last_batch(self, workspace: str, replica: str) -> int:
        """The number of the last committed batch of ``replica``, 0 if there is none."""
        return self._last.get(
            (workspace, replica), lambda: self._store.last_batch(workspace, replica)
        )

    def _place(
        self, submitted: Submission, transaction: _Transaction
    ) -> Settled | SynclineError | _Draft:
        if isinstance(submitted, PushedBatch):
            return self._place_numbered(submitted, transaction)
        return self._draft(submitted, transaction)

    def _draft(self, submitted: Submission, transaction: _Transaction) -> _Draft:
        draft = _Draft(submitted)
        transaction.drafts.append(draft)
        for entry in submitted.entries:
            self._check(draft, entry, transaction.states)
        return draft

    def _place_numbered(
        self, pushed: PushedBatch, transaction: _Transaction
    ) -> Settled | SynclineError | _Draft:
        replica = (pushed.workspace, pushed.author)
        draft = transaction.numbered.get((*replica, pushed.batch))
        if draft is not None:  # it came twice while the last transaction ran
            same = isinstance(draft.submitted, PushedBatch) and (
                draft.submitted.digest == pushed.digest
            )
            return draft if same else _conflict(pushed)
        # A relay that was restored goes on from what the replica knows to be acknowledged.
        known = max(transaction.last.get(replica, self.last_batch(*replica)), pushed.follows)
        if pushed.batch <= known:
            return self._repeated(pushed)
        # Also the first batch may have failed to be committed while the second waited behind it.
        if pushed.batch != known + 1:
            return PeerError(
                "batch-gap",
                f"Batch {pushed.batch} came, and {known + 1} was expected.",
                hint="Connect again: the relay says up to which batch it has everything.",
                retry_after=1.0,
            )
        transaction.last[replica] = pushed.batch
        draft = transaction.numbered[*replica, pushed.batch] = self._draft(pushed, transaction)
        return draft

    def _repeated(self, pushed: PushedBatch) -> Settled | SynclineError:
        receipt = self._store.receipt(pushed.workspace, pushed.author, pushed.batch)
        if receipt is None:
            # Older than the receipts that are kept: acknowledged long ago.
            return Settled(self._store.head(pushed.workspace))
        if receipt.digest != pushed.digest:
            return _conflict(pushed)
        return Settled(receipt.seq, unpack_refusals(receipt.refused))

    def _check(
        self, draft: _Draft, entry: Entry, states: dict[tuple[str, Address], _State]
    ) -> None:
        key = (draft.submitted.workspace, entry.address)
        try:
            info = parse_update(entry.update, _UPDATE_LIMITS)
        except InvalidUpdate as error:
            draft.refusals.append(
                Refusal(entry.address, error.code, error.message, error.hint, None)
            )
            return
        state = states.get(key)
        if state is None:
            state = self._state(key)
        if entry.epoch < state.epoch:
            draft.refusals.append(
                Refusal(
                    entry.address,
                    EPOCH_CHANGED,
                    f"The document {entry.address} was rebuilt since this change was made.",
                    "Fetch the document, and make the change again on what it holds now.",
                    None,
                )
            )
            return
        complete = True
        if entry.epoch > state.epoch:
            state = _State(entry.epoch, {})  # the document begins anew
            complete = begins(info, entry.epoch)
        if not complete or not covers(state.vector, info.needs):
            draft.refusals.append(
                Refusal(
                    entry.address,
                    MISSING_DEPENDENCIES,
                    f"The update of {entry.address} follows changes that the relay does not have.",
                    "Send the difference from the state vector given here.",
                    encode_state_vector(state.vector),
                )
            )
            return
        states[key] = _State(entry.epoch, info.advance(state.vector))
        draft.documents.add(entry.address, entry.epoch, entry.update)

    def _state(self, key: tuple[str, Address]) -> _State:
        def load() -> _State:
            stored = self._store.state(*key)
            if stored is None:
                return _State(0, {})
            return _State(stored.epoch, decode_state_vector(stored.state_vector))

        return self._states.get(key, load)

    def _announcements(self, drafts: list[_Draft], heads: list[int]) -> Iterable[Committed]:
        by_workspace: dict[str, list[_Draft]] = {}
        head_of: dict[str, int] = {}
        for draft, head in zip(drafts, heads, strict=True):
            by_workspace.setdefault(draft.submitted.workspace, []).append(draft)
            head_of[draft.submitted.workspace] = head
        for workspace, group in by_workspace.items():
            announcement = _announce(workspace, group, head_of[workspace])
            if announcement is not None:
                yield announcement


def _conflict(pushed: PushedBatch) -> PeerError:
    return PeerError(
        "batch-conflict",
        f"Batch {pushed.batch} of this replica was stored before with other content.",
        hint="Two copies of one replica's store are in use. Keep one; open the other as a new, "
        "empty store.",
    )


def _not_stored(address: Address, why: SynclineError) -> Refusal:
    return Refusal(address, why.code, why.message, why.hint, None)


def _to_write(
    draft: _Draft, states: dict[tuple[str, Address], _State], receipt: Receipt | None
) -> Write:
    workspace = draft.submitted.workspace
    documents = tuple(
        DocumentWrite(
            address,
            updates=tuple(latest.updates),
            state_vector=encode_state_vector(states[workspace, address].vector),
            epoch=latest.epoch,
        )
        for address, latest in draft.documents
    )
    return Write(workspace, documents=documents, receipt=receipt)


def _receipt(draft: _Draft) -> Receipt | None:
    pushed = draft.submitted
    if not isinstance(pushed, PushedBatch):
        return None
    refused = pack_refusals(draft.refusals)
    return Receipt(pushed.author, pushed.batch, pushed.digest, 0, refused)


def _announce(workspace: str, group: list[_Draft], cursor: int) -> Committed | None:
    merged = UpdatesByDocument()
    since = cursor
    for draft in group:
        for address, latest in draft.documents:
            merged.add(address, latest.epoch, *latest.updates)
            since -= len(latest.updates)
    if not merged:
        return None  # every update was refused
    authors = {draft.submitted.author for draft in group if draft.documents}
    author = authors.pop() if len(authors) == 1 else None
    entries = merged_entries(merged)
    return Committed(
        workspace, since, cursor, entries, updates_frame(since, cursor, entries), author
    )
