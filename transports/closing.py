"""How a connection ended: the code, the words, and whose doing it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from syncline.engine.errors import TransportClosed

ABNORMAL = 1006
"""What RFC 6455 reports when a connection ended without a close frame. Never sent."""
_MAX_REASON = 123  # RFC 6455, 5.5: a control frame carries 125 bytes, two of them the code
_RETRY_SECONDS = 1.0

_HINTS = {
    1002: "The reason says which rule of the protocol was broken; change the sender.",
    1003: "The reason says which kind of frame is not understood; change the sender.",
    1007: "A text frame was not UTF-8; change the sender.",
    1008: "The reason says which rule was broken; connecting again helps once that is settled.",
    1009: "Send smaller frames, or allow larger ones at the receiver.",
    1011: "Its log says what failed; connect again.",
    1013: "It has too much to do; connect again later.",
}
_HINT = "Connect again; what was not acknowledged has to be sent again."


@dataclass(frozen=True, slots=True)
class Closing:
    """``by`` says whose doing it was; the network's is one without any close frame."""

    code: int
    reason: str
    by: Literal["us", "peer", "network"]

    @classmethod
    def here(cls, code: int, reason: str) -> Closing:
        """A close frame of ours. Raises ValueError for a code that must not be sent."""
        # RFC 6455, 7.4 and the IANA registry: the others are reserved, or only ever reported.
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise ValueError(f"{code} cannot be sent as a websocket close code.")
        # Cutting may leave half a character at the end.
        fitting = reason.encode("utf-8", "replace")[:_MAX_REASON].decode("utf-8", "ignore")
        return cls(code, fitting, "us")

    def seen_by_peer(self) -> Closing:
        """The same, as it looks from the other end."""
        return Closing(self.code, self.reason, "peer")

    def error(self, peer: str) -> TransportClosed:
        """The error for who goes on using the connection with ``peer``."""
        why = f"{self.code}: {self.reason}" if self.reason else f"{self.code}"
        if self.by == "us":
            message = f"The connection with {peer} was closed at this end ({why})."
        elif self.by == "peer":
            message = f"{peer} closed the connection ({why})."
        else:
            message = f"The connection with {peer} broke off ({why})."
        return TransportClosed(
            message,
            hint=_HINTS.get(self.code, _HINT),
            close_code=self.code,
            retry_after=_RETRY_SECONDS,
        )


BROKEN_OFF = Closing(ABNORMAL, "", "network")
