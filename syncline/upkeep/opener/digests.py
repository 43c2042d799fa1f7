"""Digests of documents, made in an opener."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.engine.errors import DocumentBroken, StoreFailed

from .inline import DocumentOpener
from .outcomes import DIGEST
from .process import OpenerEnded, OpenerRefused, OpenerUnavailable

DIGEST_PATIENCE_SECONDS = 10.0
"""How long the digest of one document may take."""
_RETRY_SECONDS = 5.0


class OpenerDigests:
    """Makes digests as ``log_digest`` does, blocking."""

    def __init__(self, opener: DocumentOpener) -> None:
        self._opener = opener

    def __call__(self, updates: Sequence[bytes]) -> bytes:
        """Raises DocumentBroken, and StoreFailed if there is no opener."""
        try:
            (digest,) = self._opener.ask(DIGEST, *updates)
        except (OpenerEnded, OpenerRefused) as error:
            raise DocumentBroken(
                f"The document cannot be opened: {error}.", hint="Look at its updates."
            ) from error
        except OpenerUnavailable as error:
            raise StoreFailed(
                f"No document can be opened at present: {error}.",
                hint="Look at the machine: memory, processes.",
                retry_after=_RETRY_SECONDS,
            ) from error
        return digest

    def close(self) -> None:
        """End the opener."""
        self._opener.kill()
