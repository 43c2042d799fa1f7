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
from syncline.engine.errors import (
    InvalidUpdate,
    LimitExceeded,
    PeerError,
    StoreError,
    SynclineError,
)
from syncline.engine.history.rebuild import begins
from syncline.engine.history.repetitions import contradicts
from syncline.engine.lib0 import MAX_UINT
from syncline.engine.protocol.messages import (
    LIMITS,
    MISSING_DEPENDENCIES,
    Entry,
    Refusal,
)
from syncline.engine.records.projection import ProjectedTable
from syncline.engine.updates.parse import (
    UpdateInfo,
    UpdateLimits,
    covers,
    decode_state_vector,
    encode_state_vector,
    parse_update,
)
from syncline.stores import Store
from syncline.upkeep.opener.inline import DocumentOpener, InlineOpener

from . import refusals
from .committed import Committed
from .layouts import DocumentLayouts
from .owners import Owners, Writer
from .place import Place
from .receipts import unpack_refusals
from .sizes import DocumentSizes
from .submission import Outcome, PushedBatch, Settled, Submission
from .table_rows import RelayRows
from .taste import TASTE_AGAIN
from .transaction import DocumentState, Draft, Transaction

MAX_STRUCTS = 1_000_000
"""Structs, values and deleted ranges of one update. In the bytes of one, editors' documents have
fewer."""
MAX_COLLECTED = 1 << 26
"""Operations of one update that have no content, because they were deleted before it was sent. Who
has no more clocks to write with can write nothing, so nobody jumps far in one step."""
COMPARED_BYTES = 1 << 20
"""Operations that come again are compared with those of a log that is no larger."""
INCOMING = UpdateLimits(
    max_bytes=LIMITS.max_update, max_structs=MAX_STRUCTS, max_collected=MAX_COLLECTED
)
"""What a relay takes."""
_KEPT = 50_000  # state vectors of documents, and last batches of replicas
_KEPT_WRITERS = 500_000  # in the state vectors together; about 100 bytes each


class Ledger:
    """The write side of a relay's store. ``limits`` are those of an update, and of the document
    that is made of them. ``opener`` opens what tables show, in this process unless it is given."""

    def __init__(
        self,
        store: Store,
        tables: Iterable[ProjectedTable] = (),
        limits: UpdateLimits = INCOMING,
        opener: DocumentOpener | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._of_an_update = replace(limits, max_nesting=MAX_UINT)  # depth is the document's
        self._layouts = DocumentLayouts()
        self._owners = Owners(store)
        self._sizes = DocumentSizes(store, limits)
        self._rows = RelayRows(store, tables, opener or InlineOpener())
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
        draft = self._place(replace(submission, entries=(), taste=None), receipt)
        if not isinstance(draft, Draft):
            return draft, []
        committed: list[Committed] = []
        taste = submission.taste
        for number, entry in enumerate(submission.entries):
            alone = Transaction()
            # Without the number of the batch, which goes with the receipt.
            unnumbered = Submission(
                submission.workspace,
                submission.author,
                (entry,),
                writer=submission.writer,
                live=submission.live,
                taste=None if taste is None else taste.part(number, number + 1),
            )
            placed = self._draft(unnumbered, alone)
            if not isinstance(placed, Draft):
                return placed, committed
            draft.refusals += placed.refusals
            try:
                self._commit(alone)
            except StoreError as error:
                if error.retry_after is not None:
                    raise
                draft.refusals.append(refusals.because(entry.address, error))
            except Exception:  # noqa: BLE001  a defect, which was logged when the whole batch met it
                draft.refusals.append(refusals.because(entry.address, why))
            else:
                committed += alone.announcements()
        self._commit(receipt)
        return draft.settled(), committed

    def _commit(self, transaction: Transaction) -> None:
        """Write the drafts and give them their seqs. Raises StoreError if nothing is written."""
        try:
            heads = self._store.write(self._rows.add_to(transaction.writes()))
        except BaseException:
            self._rows.forget()  # its documents are ahead of the store
            self._layouts.clear()
            raise
        # Only now: had the transaction failed, nothing of it may be believed.
        for place, state in transaction.states.items():
            self._states.put(place, state, len(state.vector))
        self._owners.committed(transaction.owners)
        for replica, batch in transaction.last.items():
            self._last.put(replica, batch)
        for draft, head in zip(transaction.drafts, heads, strict=True):
            draft.seq = head

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

    def admit(self, workspace: str, writer: Writer) -> None:
        """Raises NotAllowed if the replica id of ``writer`` belongs to another principal."""
        if not self._owners.may_use(workspace, writer, {}):
            raise refusals.taken(writer)

    # Placing a submission in a transaction

    def _place(self, submission: Submission, transaction: Transaction) -> Outcome | Draft:
        """The draft of what is to be committed, or the outcome if nothing is."""
        try:
            if isinstance(submission, PushedBatch):
                return self._place_numbered(submission, transaction)
            return self._draft(submission, transaction)
        except BaseException:
            self._layouts.clear()  # nothing of the transaction will be stored
            raise

    def _place_numbered(self, pushed: PushedBatch, transaction: Transaction) -> Outcome | Draft:
        replica = (pushed.workspace, pushed.author)
        if not self._owners.may_use(pushed.workspace, pushed.writer, transaction.owners):
            return refusals.taken(pushed.writer)
        draft = transaction.numbered.get((*replica, pushed.batch))
        if draft is not None:  # it came twice while the last transaction ran
            same = isinstance(draft.submission, PushedBatch) and (
                draft.submission.digest == pushed.digest
            )
            return draft if same else refusals.conflict(pushed)
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
        placed = self._draft(pushed, transaction)
        if pushed.complete and isinstance(placed, Draft):
            transaction.last[replica] = pushed.batch
            transaction.numbered[*replica, pushed.batch] = placed
        return placed

    def _repeated(self, pushed: PushedBatch) -> Outcome:
        receipt = self._store.receipt(pushed.workspace, pushed.author, pushed.batch)
        if receipt is None:
            # Older than the receipts that are kept: acknowledged long ago.
            return Settled(self._store.head(pushed.workspace))
        if receipt.digest != pushed.digest:
            return refusals.conflict(pushed)
        return Settled(receipt.seq, unpack_refusals(receipt.refused))

    def _draft(self, submission: Submission, transaction: Transaction) -> Outcome | Draft:
        """Accept or refuse each update of a submission; TASTE_AGAIN if one that would be accepted
        was not tasted."""
        draft = Draft(submission)
        transaction.drafts.append(draft)
        before: dict[Place, DocumentState | None] = {}
        owners = transaction.owners.copy()
        for number, entry in enumerate(submission.entries):
            place = (submission.workspace, entry.address)
            known = transaction.states.get(place)
            after = self._check(
                entry, self._state(place) if known is None else known, transaction, submission
            )
            accepted = not isinstance(after, Refusal)
            taste = submission.taste
            if taste is not None and not taste.agrees(number, place, accepted=accepted):
                transaction.drop_last(before, owners)
                self._layouts.forget((*before, place))
                return TASTE_AGAIN
            if isinstance(after, Refusal):
                draft.refusals.append(after)
            else:
                before.setdefault(place, known)
                transaction.states[place] = after
                draft.accepted.add(entry.address, entry.epoch, entry.update)
        return draft

    def _state(self, place: Place) -> DocumentState:
        state = self._states.get(place)
        if state is None:
            stored = self._store.state(*place)
            state = (
                DocumentState.stored(
                    stored.epoch, decode_state_vector(stored.state_vector), stored.size
                )
                if stored is not None
                else DocumentState(0, {}, 0)
            )
            self._states.put(place, state, len(state.vector))
        return state

    def _is_taken(
        self,
        place: Place,
        state: DocumentState,
        transaction: Transaction,
        submission: Submission,
        update: bytes,
        info: UpdateInfo,
    ) -> bool:
        """Whether the update has other operations than those that are there, under their names.
        Nobody would ever see them."""
        if not (submission.live or submission.writer.replica):
            return False  # an editor's whole document, of which what is there was cut off
        if all(
            runs[0][0] >= state.vector.get(client, 0) for client, runs in info.ranges.items()
        ) or (state.size > COMPARED_BYTES):
            return False
        return contradicts(self._accepted(place, state, transaction), update, state.vector)

    def _accepted(
        self, place: Place, state: DocumentState, transaction: Transaction
    ) -> list[bytes]:
        """All updates of a document at ``state``, those of the transaction behind the others."""
        if not state.vector:
            return []
        stored = self._store.load(*place)
        updates = stored.updates if stored is not None and stored.epoch == state.epoch else ()
        return [*updates, *transaction.updates_of(place, state.epoch)]

    def _check(
        self,
        entry: Entry,
        state: DocumentState,
        transaction: Transaction,
        submission: Submission,
    ) -> DocumentState | Refusal:
        """How far a document at ``state`` is with this update, or why it does not get it."""
        place = (submission.workspace, entry.address)
        try:
            info = parse_update(entry.update, self._of_an_update)
        except InvalidUpdate as error:
            return refusals.because(entry.address, error)
        if entry.epoch < state.epoch:
            return refusals.rebuilt(entry.address)
        complete, anew = True, False
        if entry.epoch > state.epoch:
            state = DocumentState(entry.epoch, {}, 0)  # the document begins anew
            complete = begins(info, entry.epoch)
            anew = True
        if not complete or not covers(state.vector, info.needs):
            return Refusal(
                entry.address,
                MISSING_DEPENDENCIES,
                f"The update of {entry.address} follows changes that the relay does not have.",
                "Send the difference from the state vector given here.",
                encode_state_vector(state.vector),
            )
        new = [id_ for id_, end in info.ends().items() if end > state.vector.get(id_, 0)]
        if not anew:  # who begins a document anew brings what all have written
            foreign = self._owners.foreign(
                submission.workspace, submission.writer, new, transaction.owners
            )
            if foreign:
                return refusals.foreign(entry.address, foreign, state)
            if self._is_taken(place, state, transaction, submission, entry.update, info):
                return refusals.operations_taken(entry.address)
        vector = info.advance(state.vector)
        limits = self._limits
        if len(vector) > max(limits.max_clients, len(state.vector)):
            return refusals.too_much(
                entry.address,
                f"would have more than {limits.max_clients} writers",
                "`syncline rebuild-document` gives it a history of one writer; or raise "
                "UpdateLimits.max_clients.",
            )
        try:
            size, parts = self._sizes.after(
                place,
                state,
                lambda: transaction.updates_of(place, state.epoch),
                entry.update,
                info,
            )
        except LimitExceeded as error:
            return refusals.because(entry.address, error)
        depth = state.depth + info.nested
        if info.placed or (info.nested and depth > limits.max_nesting):
            try:
                depth = self._layouts.check(
                    place,
                    entry.epoch,
                    lambda: self._accepted(place, state, transaction),
                    entry.update,
                    info,
                    limits.max_nesting,
                )
            except InvalidUpdate as error:
                return refusals.because(entry.address, error)
        else:
            self._layouts.note(place, entry.epoch, entry.update)
        writer = submission.writer
        if (submission.live and len(info.ranges) == 1) or writer.client_id in new:
            own = new if writer.client_id is None else [writer.client_id]
            self._owners.claim(submission.workspace, writer, own, transaction.owners)
        return DocumentState(entry.epoch, vector, depth, size, parts)
