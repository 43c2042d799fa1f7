"""A transaction: what is accepted of each submission, and what that changes once committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from syncline.engine.protocol.messages import Refusal
from syncline.engine.updates.by_document import UpdatesByDocument
from syncline.engine.updates.parse import StateVector, encode_state_vector
from syncline.stores import DocumentWrite, Receipt, Write

from .committed import Committed
from .place import Place
from .receipts import pack_refusals
from .submission import PushedBatch, Settled, Submission


class DocumentState(NamedTuple):
    """How far the relay is with a document."""

    epoch: int
    vector: StateVector
    depth: int
    """Shared types lie inside each other at most so deep."""
    size: int = 0
    """The bytes of its log, at most."""
    parts: int = 0
    """It has at most so many structs, values and deleted ranges."""

    @classmethod
    def stored(cls, epoch: int, vector: StateVector, size: int) -> DocumentState:
        """That of a document of which nothing else is known: every operation may be a type inside
        the one before, every byte a value."""
        return cls(epoch, vector, sum(vector.values()), size, size)


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

    def write(self, vectors: Mapping[Place, bytes], owners: Mapping[str, str]) -> Write:
        """What the store is to write; ``vectors`` are the state vectors of the documents."""
        workspace = self.submission.workspace
        documents = tuple(
            DocumentWrite(
                address, tuple(latest.updates), vectors[workspace, address], epoch=latest.epoch
            )
            for address, latest in self.accepted
        )
        return Write(workspace, documents, self._receipt(), owners=owners)

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
    owners: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """To whom ids of writers belong from now on, by workspace and id."""

    def updates_of(self, place: Place, epoch: int) -> list[bytes]:
        """What is accepted of a document so far, in its order."""
        workspace, address = place
        return [
            update
            for draft in self.drafts
            if draft.submission.workspace == workspace
            for update in draft.accepted.of(address, epoch)
        ]

    def drop_last(
        self,
        before: Mapping[Place, DocumentState | None],
        owners: dict[tuple[str, str], str],
    ) -> None:
        """Forget the last draft; ``before`` are the documents' states before it, ``owners`` those
        of ids."""
        self.drafts.pop()
        self.owners = owners
        for place, state in before.items():
            if state is None:
                del self.states[place]
            else:
                self.states[place] = state

    def writes(self) -> list[Write]:
        """A write for each draft. All of a document carry the state vector that the document has
        after the transaction: it is encoded once, and the store shows nothing in between."""
        vectors = {place: encode_state_vector(state.vector) for place, state in self.states.items()}
        owners: dict[str, dict[str, str]] = {}
        for (workspace, writer), owner in self.owners.items():
            owners.setdefault(workspace, {})[writer] = owner
        return [
            draft.write(vectors, owners.pop(draft.submission.workspace, {}))
            for draft in self.drafts
        ]

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
