"""Bugs planted into the product, one at a time, to prove that the simulation finds them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from syncline.engine.document import digests
from syncline.engine.document.document import Document
from syncline.engine.identity import Identity
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Entry
from syncline.engine.updates import causal
from syncline.engine.updates.by_document import UpdatesByDocument
from syncline.engine.updates.causal import HoldBack
from syncline.engine.updates.parse import encode_state_vector
from syncline.relay.log import transaction
from syncline.relay.log.committed import Committed
from syncline.relay.log.committer import Committer
from syncline.relay.log.submission import Settled, Submission, nobody
from syncline.relay.log.transaction import Draft
from syncline.replica.local import workspace
from syncline.replica.local.journal import Journal
from syncline.replica.local.outbox import Outbox
from syncline.replica.sync.comparison import Comparison
from syncline.replica.sync.conversation import Conversation
from syncline.stores import OutboxBatch, Write

Plant = Callable[[pytest.MonkeyPatch], None]


def acknowledged_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The relay acknowledges a batch as it comes."""
    submit = Committer.submit

    async def acknowledge_and_submit(self: Committer, submission: Submission) -> None:
        submission.settle(Settled(1))
        await submit(self, replace(submission, settle=nobody))

    patch.setattr(Committer, "submit", acknowledge_and_submit)


def shown_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The relay tells its readers, and commits then."""
    commit = Committer._commit

    async def publish_and_commit(self: Committer, batch: list[Submission]) -> None:
        workspace = batch[0].workspace
        drafts: list[Draft] = []
        for submission in batch:
            documents = UpdatesByDocument()
            for entry in submission.entries:
                documents.add(entry.address, entry.epoch, entry.update)
            drafts.append(Draft(submission, documents))
        count = sum(len(submission.entries) for submission in batch)
        drafts[-1].seq = self._ledger._store.head(workspace) + count
        announcement = transaction.announcement(workspace, drafts)
        if announcement is not None:
            self._publish(announcement)
        await commit(self, batch)

    patch.setattr(Committer, "_commit", publish_and_commit)


def another_authors_changes_skipped(patch: pytest.MonkeyPatch) -> None:
    """A commit of several replicas counts as the work of the first, who is not sent the rest."""
    announcement = transaction.announcement

    def announce_first(workspace: str, drafts: list[Draft]) -> Committed | None:
        told = announcement(workspace, drafts)
        if told is None:
            return None
        return replace(told, author=_first_author(drafts))

    patch.setattr(transaction, "announcement", announce_first)


def _first_author(drafts: list[Draft]) -> str:
    return next(draft.submission.author for draft in drafts if draft.accepted)


def cursor_passes_gaps(patch: pytest.MonkeyPatch) -> None:
    """The replica's cursor goes to that of the latest frame, whatever is missing or held before."""

    def jump(self: HoldBack) -> None:
        self._cursor = self._highest

    patch.setattr(HoldBack, "_settle", jump)


def cursor_written_ahead(patch: pytest.MonkeyPatch) -> None:
    """The replica writes its cursor at once, before the changes that it stands for."""
    set_meta = Journal.set_meta

    def write_at_once(self: Journal, key: str, value: str) -> None:
        if key == "cursor":
            self._store.write([Write(self._workspace, meta={key: value})])
        set_meta(self, key, value)

    patch.setattr(Journal, "set_meta", write_at_once)


def no_causal_buffer(patch: pytest.MonkeyPatch) -> None:
    """Updates are applied as they come, whether or not what they need is there."""

    def always(_have: object, _needs: object) -> bool:
        return True

    patch.setattr(causal, "covers", always)


def outbox_emptied_at_send(patch: pytest.MonkeyPatch) -> None:
    """A batch leaves the outbox when it is sent."""
    push_next = Conversation._push_next

    def push_and_forget(self: Conversation) -> bool:
        pushed = push_next(self)
        if pushed:
            self._journal.acknowledge(self._sent, [])
        return pushed

    patch.setattr(Conversation, "_push_next", push_and_forget)


def offered_before_commit(patch: pytest.MonkeyPatch) -> None:
    """A replica sends a batch while the commit that holds it still runs."""
    pack, committed = Outbox.pack, Outbox.committed

    def pack_and_offer(self: Outbox, entries: Iterable[Entry]) -> tuple[OutboxBatch, ...]:
        batches = pack(self, entries)
        committed(self, batches)
        return batches

    def nothing(_self: Outbox, _batches: object) -> None:
        """It was done."""

    patch.setattr(Outbox, "pack", pack_and_offer)
    patch.setattr(Outbox, "committed", nothing)


def pong_answers_one_ping(patch: pytest.MonkeyPatch) -> None:
    """The pings before it wait for pongs that were lost, and with them synced()."""

    def answer(self: Conversation, ping: int, head: int) -> None:
        pending = self._rounds.pop(ping, None)
        if pending is not None:
            pending.head = head
            pending.answered.set()

    patch.setattr(Conversation, "_answer", answer)


def nothing_offered_to_a_restored_relay(patch: pytest.MonkeyPatch) -> None:
    """After a restore the replica fetches what it lacks, and offers nothing in return."""
    exchange = Comparison._exchange

    def take_only(self: Comparison, address: Address, _ours: Any, theirs: Any) -> None:
        if theirs is not None:
            exchange(self, address, None, theirs)

    patch.setattr(Comparison, "_exchange", take_only)


def deletions_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Documents with equal state vectors count as equal."""

    def digest(document: Document) -> bytes:
        return hashlib.sha256(encode_state_vector(document.state_vector())).digest()

    patch.setattr(digests, "document_digest", digest)


def a_copy_goes_on_as_the_original(patch: pytest.MonkeyPatch) -> None:
    """A copied database keeps its client id."""

    def recall(meta: Mapping[str, str], rng: random.Random, fingerprint: str) -> Any:
        if "replica" not in meta:
            return Identity.draw(rng, fingerprint), True
        return Identity(meta["replica"], int(meta["client_id"]), fingerprint), False

    patch.setattr(Identity, "recall", staticmethod(recall))


def edits_of_a_rebuilt_document_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A replica takes over a document's new history, and drops what only it had of the old."""

    def nothing(*_: object) -> None:
        return None

    patch.setattr(workspace, "unacknowledged", nothing)


def rebuilt_before_the_answers(patch: pytest.MonkeyPatch) -> None:
    """A replica takes over a new history while it does not know which of its edits are in it."""

    async def at_once(self: Conversation, _entries: object) -> bool:
        while not self._journal.saved:
            await self._journal.flushed()
        return True

    patch.setattr(Conversation, "_can_take", at_once)


PLANTS: list[Plant] = [
    acknowledged_before_commit,
    shown_before_commit,
    another_authors_changes_skipped,
    cursor_written_ahead,
    outbox_emptied_at_send,
    offered_before_commit,
]
IN_RESTORED_WORLDS: list[Plant] = [
    nothing_offered_to_a_restored_relay,
    deletions_not_compared,
    a_copy_goes_on_as_the_original,
]
IN_REBUILT_WORLDS: list[Plant] = [
    edits_of_a_rebuilt_document_forgotten,
    rebuilt_before_the_answers,
]
IN_LOSSY_WORLDS: list[Plant] = [cursor_passes_gaps, no_causal_buffer, pong_answers_one_ping]
"""These show only where single frames get lost or overtake each other."""
