"""Snapshots: one update that holds all that a document's log holds, and the proof that it does.

A log is compacted through a document, not by concatenating updates, because only a document
collects what was deleted; but for one in which a character is cut in two (cut_characters.py). What
the snapshot replaces is gone for ever, so it is checked before it is used: pycrdt drops from a
snapshot what it could not integrate, without a word, and with a gap in the log that is all that
came after the gap.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncline.engine.document.document import Document, merge_updates
from syncline.engine.errors import DocumentBroken, InvalidUpdate, SnapshotRefused
from syncline.engine.updates.parse import (
    DEFAULT_LIMITS,
    UpdateLimits,
    decode_state_vector,
    encode_state_vector,
    parse_update,
)

from .cut_characters import cuts_a_character

ROW_BYTES = 32
"""What a row of a log costs beside its data: its keys, in two B-trees. Many small rows are worth
replacing by one that is as large as all their data."""

_LIMITS = UpdateLimits(max_bytes=DEFAULT_LIMITS.max_document_bytes)


def make_snapshot(updates: Sequence[bytes], state_vector: bytes) -> bytes | None:
    """The snapshot of the document with the log ``updates``, known to be at ``state_vector``.

    None when it would not be smaller, ``ROW_BYTES`` counted in. Raises SnapshotRefused when the log
    lacks something, when the snapshot differs from it in anything, and when it is larger than an
    update may be, so that no replica would take it.
    """
    try:
        return _make(updates, state_vector)
    except DocumentBroken as error:
        raise _refused(f"the CRDT library failed on it ({error.message})") from error


def _make(updates: Sequence[bytes], state_vector: bytes) -> bytes | None:
    document = Document(1, updates)
    try:
        state = document.state_vector()
        if state != decode_state_vector(state_vector):
            raise _refused("its updates do not lead to the state that is stored: some are missing")
        # What a document writes is another text then.
        as_bytes = cuts_a_character(updates)
        snapshot = merge_updates(updates) if as_bytes else document.diff({})
        size = sum(map(len, updates))
        if len(snapshot) + ROW_BYTES >= size + ROW_BYTES * len(updates):
            return None
        try:
            info = parse_update(snapshot, _LIMITS)
        except InvalidUpdate as error:
            raise _refused(f"replicas would not take a snapshot of it ({error.message})") from error
        if info.needs or info.advance({}) != state:
            raise _refused("a snapshot of it is not complete")
        if as_bytes:
            return snapshot
        copy = Document(1, [snapshot])
        try:
            _compare(document, copy, updates)
        finally:
            copy.close()
        return snapshot
    finally:
        document.close()


def _compare(document: Document, copy: Document, updates: Sequence[bytes]) -> None:
    if encode_state_vector(copy.state_vector()) != encode_state_vector(document.state_vector()):
        raise _refused("a document made from its snapshot is in another state")
    if copy.to_formatted() != document.to_formatted():
        raise _refused("a document made from its snapshot has other content")
    # What it deletes shows neither in a state vector nor, if it hides nothing, in the content.
    if any(copy.apply(update) for update in updates):
        raise _refused("a document made from its snapshot lacks something of the log")


def _refused(why: str) -> SnapshotRefused:
    return SnapshotRefused(
        f"The log is not compacted: {why}.",
        hint="Nothing was changed, and nothing needs to be done unless updates are missing: then "
        "look at the disk, and restore a backup.",
    )
