"""The ledger: checks what is submitted and commits it, many submissions in one transaction.

Blocking and without a clock; one thread at a time. A submission becomes durable whole, but for the
updates that are refused one by one with a reason: bytes that are no update, and updates that need
operations the relay does not have (with the state vector from which the replica can make up the
difference).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.errors import InvalidUpdate, PeerError, StoreError, SynclineError
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
from syncline.engine.updates.parse import (
    UpdateLimits,
    covers,
    decode_state_vector,
    encode_state_vector,
    parse_update,
)
from syncline.stores import Store

from .committed import Committed
from .depths import DocumentDepths
from .receipts import unpack_refusals
from .submission import Outcome, PushedBatch, Settled, Submission
from .table_rows import RelayRows
from .transaction import DocumentState, Draft, Place, Transaction

MAX_STRUCTS = 1_000_000
"""Structs, values and deleted ranges of one update. In the bytes of one, editors' documents have
fewer."""
INCOMING = UpdateLimits(max_bytes=LIMITS.max_update, max_structs=MAX_STRUCTS)
"""What a relay takes."""
_KEPT = 50_000  # state vectors of documents, and last batches of replicas
_KEPT_WRITERS = 500_000  # in the state vectors together; about 100 bytes each


class Ledger:
    """The write side of a relay's store. ``limits`` are those of an update, and of the document
    that is made of them."""

    def __init__(
        self,
        store: Store,
        tables: Iterable[ProjectedTable] = (),
        limits: UpdateLimits = INCOMING,
    ) -> None:
        self._store = store
        self._limits = limits
        self._depths = DocumentDepths(store)
        self._rows = RelayRows(store, tables)
        # What the store says, of what was asked for last.
        self._states = BoundedCache[Place, DocumentState](_KEPT, _KEPT_WRITERS)
        self._last = BoundedCache[tuple[str, str], int](_KEPT)

    def commit(self, submissions: Sequence[Submission]) -> tuple[list[Outcome], list[Committed]]:
        """Commit what is new among ``submissions``, in one transaction.

        Returns an outcome for each, and what each workspace's readers are to be told. Raises
        StoreError if nothing was committed: then each may be offered again.
        """
        transaction = Transaction()
        placed = [self._place(submission, transaction) for submission in submissions]
        self._commit(transaction)
        outcomes = [one.settled() if isinstance(one, Draft) else one for one in placed]
        return outcomes, transaction.announcements()

    def commit_singly(
        self, submission: Submission, why: SynclineError
    ) -> tuple[Outcome, list[Committed]]:
        """Commit what the store does not take as a whole: each update for itself.

        What the store does not take is refused with the reason, which is ``why`` unless it says
        something else. The updates come first and the receipt last, so a crash between repeats
        updates, which is no harm. Raises StoreError if the store takes nothing now.
        """
        receipt = Transaction()
        draft = self._place(replace(submission, entries=()), receipt)
        if not isinstance(draft, Draft):
            return draft, []
        committed: list[Committed] = []
        for entry in submission.entries:
            alone = Transaction()
            # Without the number of the batch, which goes with the receipt.
            unnumbered = Submission(submission.workspace, submission.author, (entry,))
            draft.refusals += self._draft(unnumbered, alone).refusals
            try:
                self._commit(alone)
            except StoreError as error:
                if error.retry_after is not None:
                    raise
                draft.refusals.append(_refusal(entry.address, error))
            except Exception:  # noqa: BLE001  a defect, which was logged when the whole batch met it
                draft.refusals.append(_refusal(entry.address, why))
            else:
                committed += alone.announcements()
        self._commit(receipt)
        return draft.settled(), committed

    def _commit(self, transaction: Transaction) -> None:
        """Write the drafts and give them their seqs. Raises StoreError if nothing is written."""
        try:
            heads = self._store.write(self._rows.add_to(transaction.writes()))
        except BaseException:
            self._rows.close()  # its documents are ahead of the store
            self._depths.clear()
            raise
        # Only now: had the transaction failed, nothing of it may be believed.
        for place, state in transaction.states.items():
            self._states.put(place, state, len(state.vector))
        for replica, batch in transaction.last.items():
            self._last.put(replica, batch)
        for draft, head in zip(transaction.drafts, heads, strict=True):
            draft.seq = head
            for address, latest in draft.accepted:
                place = (draft.submission.workspace, address)
                self._depths.committed(place, latest.epoch, latest.updates)

    def close(self) -> None:
        """Let go of what is in memory, in the thread that commits."""
        self._rows.close()

    def last_batch(self, workspace: str, replica: str) -> int:
        """The number of the last committed batch of ``replica``, 0 if there is none."""
        batch = self._last.get((workspace, replica))
        if batch is None:
            batch = self._store.last_batch(workspace, replica)
            self._last.put((workspace, replica), batch)
        return batch

    # Placing a submission in a transaction

    def _place(self, submission: Submission, transaction: Transaction) -> Outcome | Draft:
        """The draft of what is to be committed, or the outcome if nothing is."""
        try:
            if isinstance(submission, PushedBatch):
                return self._place_numbered(submission, transaction)
            return self._draft(submission, transaction)
        except BaseException:
            self._depths.clear()  # nothing of the transaction will be stored
            raise

    def _place_numbered(self, pushed: PushedBatch, transaction: Transaction) -> Outcome | Draft:
        replica = (pushed.workspace, pushed.author)
        draft = transaction.numbered.get((*replica, pushed.batch))
        if draft is not None:  # it came twice while the last transaction ran
            same = isinstance(draft.submission, PushedBatch) and (
                draft.submission.digest == pushed.digest
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
        if not pushed.complete:
            return self._draft(pushed, transaction)
        transaction.last[replica] = pushed.batch
        draft = transaction.numbered[*replica, pushed.batch] = self._draft(pushed, transaction)
        return draft

    def _repeated(self, pushed: PushedBatch) -> Outcome:
        receipt = self._store.receipt(pushed.workspace, pushed.author, pushed.batch)
        if receipt is None:
            # Older than the receipts that are kept: acknowledged long ago.
            return Settled(self._store.head(pushed.workspace))
        if receipt.digest != pushed.digest:
            return _conflict(pushed)
        return Settled(receipt.seq, unpack_refusals(receipt.refused))

    def _draft(self, submission: Submission, transaction: Transaction) -> Draft:
        """Accept or refuse each update of a submission."""
        draft = Draft(submission)
        transaction.drafts.append(draft)
        for entry in submission.entries:
            place = (submission.workspace, entry.address)
            known = transaction.states.get(place)
            after = self._check(
                entry, self._state(place) if known is None else known, transaction, place
            )
            if isinstance(after, Refusal):
                draft.refusals.append(after)
            else:
                transaction.states[place] = after
                draft.accepted.add(entry.address, entry.epoch, entry.update)
        return draft

    def _state(self, place: Place) -> DocumentState:
        state = self._states.get(place)
        if state is None:
            stored = self._store.state(*place)
            state = (
                DocumentState.stored(stored.epoch, decode_state_vector(stored.state_vector))
                if stored is not None
                else DocumentState(0, {}, 0)
            )
            self._states.put(place, state, len(state.vector))
        return state

    def _check(
        self, entry: Entry, state: DocumentState, transaction: Transaction, place: Place
    ) -> DocumentState | Refusal:
        """How far a document at ``state`` is with this update, or why it does not get it."""
        try:
            info = parse_update(entry.update, self._limits)
        except InvalidUpdate as error:
            return _refusal(entry.address, error)
        if entry.epoch < state.epoch:
            return Refusal(
                entry.address,
                EPOCH_CHANGED,
                f"The document {entry.address} was rebuilt since this change was made.",
                "Fetch the document, and make the change again on what it holds now.",
                None,
            )
        complete = True
        if entry.epoch > state.epoch:
            state = DocumentState(entry.epoch, {}, 0)  # the document begins anew
            complete = begins(info, entry.epoch)
        if not complete or not covers(state.vector, info.needs):
            return Refusal(
                entry.address,
                MISSING_DEPENDENCIES,
                f"The update of {entry.address} follows changes that the relay does not have.",
                "Send the difference from the state vector given here.",
                encode_state_vector(state.vector),
            )
        vector = info.advance(state.vector)
        limits = self._limits
        if len(vector) > max(limits.max_clients, len(state.vector)):
            return _too_much(
                entry.address,
                f"would have more than {limits.max_clients} writers",
                "`syncline rebuild-document` gives it a history of one writer; or raise "
                "UpdateLimits.max_clients.",
            )
        depth = state.depth
        if info.nested:
            depth += info.nested
            if depth > limits.max_nesting:
                # Seldom: the next time is when as many types have come as there was room for.
                uncommitted = transaction.updates_of(place, entry.epoch)
                measured = self._depths.after(
                    place, entry.epoch, uncommitted, entry.update, limits.max_nesting
                )
                if measured is None:
                    return _too_much(
                        entry.address,
                        f"would have shared types nested deeper than {limits.max_nesting} levels",
                        "Nest less deeply, or raise UpdateLimits.max_nesting.",
                    )
                depth = measured
        return DocumentState(entry.epoch, vector, depth)


def _conflict(pushed: PushedBatch) -> PeerError:
    return PeerError(
        "batch-conflict",
        f"Batch {pushed.batch} of this replica was stored before with other content.",
        hint="Two copies of one replica's store are in use. Keep one; open the other as a new, "
        "empty store.",
    )


def _refusal(address: Address, why: SynclineError) -> Refusal:
    return Refusal(address, why.code, why.message, why.hint, None)


def _too_much(address: Address, what: str, remedy: str) -> Refusal:
    return Refusal(
        address,
        InvalidUpdate.code,
        f"With this update {address} {what}.",
        f"It is not stored. {remedy}",
        None,
    )
