"""What is offered to the ledger, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncline.engine.document.document import merge_updates
from syncline.engine.errors import DocumentBroken
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import Entry, Refusal, Updates
from syncline.engine.updates.by_document import UpdatesByDocument


@dataclass(frozen=True, slots=True)
class Submission:
    """Changes as they came from ``author``, without a number: sent twice, they are stored twice,
    which in a CRDT document does nothing.

    What the author may not do is in ``refused``, not in ``entries``.
    """

    workspace: str
    author: str
    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class PushedBatch(Submission):
    """A batch as it came from a replica; ``digest`` is the SHA-256 of its frame.

    ``follows`` is the last batch that the replica knew to be acknowledged when it connected.
    """

    batch: int
    digest: bytes
    follows: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of one submission, to be acknowledged: it is durable as of ``seq``."""

    seq: int
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction added to one workspace: merged per document, and the frame that tells
    its readers.

    ``author`` is whose changes these all are, or None.
    """

    workspace: str
    since: int
    cursor: int
    entries: tuple[Entry, ...]
    frame: bytes
    author: str | None

    @property
    def memory(self) -> int:
        """Bytes in memory, about: the frame repeats what the entries hold."""
        return 2 * len(self.frame)


def merged_entries(documents: UpdatesByDocument) -> tuple[Entry, ...]:
    """These updates, one entry per document where they can be merged."""
    entries: list[Entry] = []
    for address, latest in documents:
        updates, epoch = latest.updates, latest.epoch
        try:
            entries.append(Entry(address, merge_updates(updates), epoch))
        except DocumentBroken:
            # What cannot be merged goes as it came; the readers quarantine the bad one.
            entries.extend(Entry(address, update, epoch) for update in updates)
    return tuple(entries)


def updates_frame(since: int, cursor: int, entries: tuple[Entry, ...]) -> bytes:
    """The encoded frame that carries ``entries``."""
    frame = encode(Updates(since, cursor, entries))
    if not isinstance(frame, bytes):
        raise TypeError("updates are a binary frame")
    return frame
