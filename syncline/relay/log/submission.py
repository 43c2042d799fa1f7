"""What is offered to the ledger, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from syncline.engine.errors import SynclineError
from syncline.engine.protocol.messages import Entry, Refusal

from .owners import Writer
from .taste import Taste


@dataclass(frozen=True, slots=True)
class Settled:
    """A submission is durable as of ``seq``, and is to be acknowledged."""

    seq: int
    refusals: tuple[Refusal, ...] = ()


Outcome: TypeAlias = Settled | SynclineError
"""What comes of a submission; an error if nothing of it was committed."""


def nobody(_outcome: Outcome) -> None:
    """The ``settle`` of a submission after whose outcome nobody asks."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Changes as they came from ``author``, without a number: sent twice, they are stored twice,
    which in a CRDT document does nothing. ``writer`` says whose operations may be among them;
    ``live`` that they are changes as they are made, so that those of one client are its author's.

    What the author may not do is in ``refused``, not in ``entries``. ``settle`` is called with the
    outcome, once, in the event loop, and must not wait. ``size`` is that of the updates, in bytes.
    ``taste`` is None for an author that is trusted.
    ``account`` is whoever the author shares its turns at the store with; None for nobody.
    """

    workspace: str
    author: str
    entries: tuple[Entry, ...]
    writer: Writer = field(default=Writer(), kw_only=True)
    live: bool = field(default=False, kw_only=True)
    refused: tuple[Refusal, ...] = field(default=(), kw_only=True)
    taste: Taste | None = field(default=None, kw_only=True, repr=False, compare=False)
    settle: Callable[[Outcome], None] = field(
        default=nobody, kw_only=True, repr=False, compare=False
    )
    account: Hashable = field(default=None, kw_only=True, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = sum([len(entry.update) for entry in self.entries])
        object.__setattr__(self, "size", size)  # the class is frozen

    @property
    def sender(self) -> Hashable:
        """Whose changes keep their order."""
        return self.workspace, self.author, self.account


@dataclass(slots=True)
class Parts:
    """What has come of the parts of a batch so far."""

    refusals: tuple[Refusal, ...] = ()
    failure: SynclineError | None = None

    def settle(self, outcome: Outcome) -> None:
        """Take in the outcome of a part."""
        if isinstance(outcome, SynclineError):
            self.failure = self.failure or outcome
        else:
            self.refusals += outcome.refusals


@dataclass(frozen=True, slots=True)
class PushedBatch(Submission):
    """A batch as it came from a replica; ``digest`` is the SHA-256 of its frame.

    ``follows`` is the last batch that the replica knew to be acknowledged when it connected. A
    large batch is committed in parts, of which only the last one is ``complete`` and makes a
    receipt. So if the relay ends in between, the whole batch comes again.
    """

    batch: int
    digest: bytes
    follows: int = 0
    complete: bool = field(default=True, kw_only=True)
    parts: Parts | None = field(default=None, kw_only=True, repr=False, compare=False)

    def split(self, most: int) -> Sequence[PushedBatch]:
        """The batch in parts of at most ``most`` updates."""
        if len(self.entries) <= most:
            return (self,)
        parts = Parts()
        starts = range(0, len(self.entries), most)
        cut = [self._part(start, start + most, parts) for start in starts]
        begun = [
            replace(part, refused=(), settle=parts.settle, complete=False) for part in cut[:-1]
        ]
        return [*begun, cut[-1]]

    def _part(self, start: int, end: int, parts: Parts) -> PushedBatch:
        taste = None if self.taste is None else self.taste.part(start, end)
        return replace(self, entries=self.entries[start:end], taste=taste, parts=parts)

    def with_refusals(self) -> PushedBatch:
        """The last part, once the others have their outcomes."""
        if self.parts is None or not self.complete:
            return self
        return replace(self, refused=self.refused + self.parts.refusals)
