"""A transaction: what is accepted of each submission, and what that changes once committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from syncline.engine.names import Address
from syncline.engine.protocol.messages import Refusal
from syncline.engine.updates.by_document import UpdatesByDocument
from syncline.engine.updates.parse import StateVector, encode_state_vector
from syncline.stores import DocumentWrite, Receipt, Write

from .committed import Committed
from .receipts import pack_refusals
from .submission import PushedBatch, Settled, Submission

Place: TypeAlias = tuple[str, Address]
"""Workspace and address of a document."""


class DocumentState(NamedTuple):
    """How far the relay is with a document."""

    epoch: int
    vector: StateVector
    depth: int
    """Shared types lie inside each other at most so deep."""

    @classmethod
    def stored(cls, epoch: int, vector: StateVector) -> DocumentState:
        """That of a document of which nothing else is known: every operation may be a type inside
        the one before."""
        return cls(epoch, vector, sum(vector.values()))


@dataclass(slots=True)
class Draft:
    """What is accepted of one submission, and what is refused of it."""

    submission: Submission
    accepted: UpdatesByDocument = field(default_factory=UpdatesByDocument)
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    seq: int = 0
    """The workspace's head after it, once it is committed."""

    def __post_init__(self) -> None:
        self.refusals += self.submission.refused

    def write(self, vectors: dict[Place, bytes]) -> Write:
        """What the store is to write; ``vectors`` are the state vectors of the documents."""
        workspace = self.submission.workspace
        documents = tuple(
            DocumentWrite(
                address, tuple(latest.updates), vectors[workspace, address], epoch=latest.epoch
            )
            for address, latest in self.accepted
        )
        return Write(workspace, documents, self._receipt())

    def _receipt(self) -> Receipt | None:
        pushed = self.submission
        if not isinstance(pushed, PushedBatch) or not pushed.complete:
            return None
        refused = pack_refusals(self.refusals)
        return Receipt(pushed.author, pushed.batch, pushed.digest, refused=refused)

    def settled(self) -> Settled:
        """The outcome, once it is committed."""
        return Settled(self.seq, tuple(self.refusals))


@dataclass(slots=True)
class Transaction:
    """The drafts of one transaction, and what it will have changed if it commits."""

    drafts: list[Draft] = field(default_factory=list[Draft])
    numbered: dict[tuple[str, str, int], Draft] = field(
        default_factory=dict[tuple[str, str, int], Draft]
    )
    """Those of replicas, by workspace, replica and batch."""
    states: dict[Place, DocumentState] = field(default_factory=dict[Place, DocumentState])
    last: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """The last batch of each replica, by workspace and replica."""

    def updates_of(self, place: Place, epoch: int) -> list[bytes]:
        """What is accepted of a document so far, in its order."""
        workspace, address = place
        return [
            update
            for draft in self.drafts
            if draft.submission.workspace == workspace
            for update in draft.accepted.of(address, epoch)
        ]

    def writes(self) -> list[Write]:
        """A write for each draft. All of a document carry the state vector that the document has
        after the transaction: it is encoded once, and the store shows nothing in between."""
        vectors = {place: encode_state_vector(state.vector) for place, state in self.states.items()}
        return [draft.write(vectors) for draft in self.drafts]

    def announcements(self) -> list[Committed]:
        """What the readers of each workspace are told, once it is committed."""
        by_workspace: dict[str, list[Draft]] = {}
        for draft in self.drafts:
            by_workspace.setdefault(draft.submission.workspace, []).append(draft)
        told = (announcement(*group) for group in by_workspace.items())
        return [committed for committed in told if committed is not None]


def announcement(workspace: str, drafts: list[Draft]) -> Committed | None:
    """What the drafts add to one workspace together; None if every update was refused."""
    documents = UpdatesByDocument()
    authors: set[str] = set()
    since = cursor = drafts[-1].seq
    for draft in drafts:
        for address, latest in draft.accepted:
            documents.add(address, latest.epoch, *latest.updates)
            authors.add(draft.submission.author)
            since -= len(latest.updates)
    if not documents:
        return None
    author = authors.pop() if len(authors) == 1 else None
    return Committed.of(workspace, since, cursor, documents, author)
