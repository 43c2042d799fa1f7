"""What is to be known of a document, found out in an opener."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from syncline.engine.errors import DocumentBroken, StoreFailed
from syncline.engine.records.projection import ProjectedTable
from syncline.engine.updates.parse import StateVector, decode_state_vector

from .inline import DocumentOpener
from .outcomes import DIGEST, OPEN, REBUILD, ROWS
from .process import OpenerEnded, OpenerRefused, OpenerUnavailable
from .row_maker import RowWanted, read_row, rows_request

_RETRY_SECONDS = 5.0


class OpenedElsewhere:
    """Opens documents of which the logs are given, one at a time, blocking.

    Every method raises DocumentBroken if that ends or hangs, and StoreFailed if there is no opener.
    """

    def __init__(self, opener: DocumentOpener) -> None:
        self._opener = opener

    def digest(self, updates: Sequence[bytes]) -> bytes:
        """As ``log_digest``."""
        return self._ask(DIGEST, *updates)

    def state_vector(self, updates: Sequence[bytes]) -> StateVector:
        """As ``log_state``; everything in the document is read, too."""
        return decode_state_vector(self._ask(OPEN, *updates))

    def rebuilt(self, updates: Sequence[bytes], epoch: int) -> bytes:
        """As ``rebuild_log``."""
        return self._ask(REBUILD, str(epoch).encode(), *updates)

    def row(self, table: ProjectedTable, updates: Sequence[bytes]) -> Mapping[str, Any] | None:
        """The row of the document in ``table``; None if its record does not live."""
        wanted = RowWanted("row", 0, table, fresh=True, updates=tuple(updates))
        return read_row(self._ask(ROWS, *rows_request([wanted], ["row"])))

    def close(self) -> None:
        """End the opener."""
        self._opener.kill()

    def _ask(self, task: bytes, *parts: bytes) -> bytes:
        try:
            (answer,) = self._opener.ask(task, *parts)
        except OpenerRefused as error:
            raise DocumentBroken(str(error), hint=_HINT) from error
        except OpenerEnded as error:
            raise DocumentBroken(f"The document cannot be opened: {error}.", hint=_HINT) from error
        except OpenerUnavailable as error:
            raise StoreFailed(
                f"No document can be opened at present: {error}.",
                hint="Look at the machine: memory, processes.",
                retry_after=_RETRY_SECONDS,
            ) from error
        return answer


_HINT = "An update in its log is bad; `syncline verify` lists the documents with such logs."
