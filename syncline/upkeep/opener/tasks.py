"""What an opener does with documents, in its process. None of it leaves anything behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from syncline.engine.document.digests import log_digest
from syncline.engine.document.document import log_state
from syncline.engine.document.tasted import TastedDocument
from syncline.engine.history.rebuild import rebuild_log
from syncline.engine.history.snapshot import make_snapshot
from syncline.engine.updates.parse import encode_state_vector

from .outcomes import DIGEST, OPEN, REBUILD, ROWS, SNAPSHOT, TASTE
from .row_maker import RowMaker
from .tasting_table import TastingTable


def _snapshot(parts: Sequence[bytes]) -> list[bytes]:
    state_vector, *updates = parts
    made = make_snapshot(updates, state_vector)
    return [] if made is None else [made]


def _digest(updates: Sequence[bytes]) -> list[bytes]:
    return [log_digest(updates)]


def _open(updates: Sequence[bytes]) -> list[bytes]:
    TastedDocument(updates).read()
    return [encode_state_vector(log_state(updates))]


def _rebuild(parts: Sequence[bytes]) -> list[bytes]:
    epoch, *updates = parts
    return [rebuild_log(updates, int(epoch))]


def tasks(
    report: Callable[[bytes], None],
) -> Mapping[bytes, Callable[[Sequence[bytes]], list[bytes]]]:
    """What a request may ask for, for the life of one process; ``report`` sends a part of an answer
    ahead."""
    return {
        SNAPSHOT: _snapshot,
        DIGEST: _digest,
        OPEN: _open,
        REBUILD: _rebuild,
        TASTE: TastingTable(report).taste,
        ROWS: RowMaker(report).rows,
    }
