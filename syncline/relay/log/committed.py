"""A stretch of a workspace's log, as its readers are told of it."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.engine.document.document import merge_updates
from syncline.engine.errors import DocumentBroken
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import Entry, Updates
from syncline.engine.updates.by_document import UpdatesByDocument


@dataclass(frozen=True, slots=True)
class Committed:
    """All that was committed with since < seq <= cursor: merged per document, and the frame that
    tells its readers, encoded once for all of them.

    ``author`` is whose changes these all are, or None.
    """

    workspace: str
    since: int
    cursor: int
    entries: tuple[Entry, ...]
    frame: bytes
    author: str | None

    @classmethod
    def of(
        cls,
        workspace: str,
        since: int,
        cursor: int,
        documents: UpdatesByDocument,
        author: str | None = None,
    ) -> Committed:
        """The stretch that holds these updates."""
        entries = _merged(documents)
        return cls(workspace, since, cursor, entries, updates_frame(since, cursor, entries), author)

    @property
    def memory(self) -> int:
        """Bytes in memory, about: the frame repeats what the entries hold."""
        return 2 * len(self.frame)


def _merged(documents: UpdatesByDocument) -> tuple[Entry, ...]:
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
