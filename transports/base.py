"""What a transport is: it moves whole frames between two sessions, in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

Frame: TypeAlias = str | bytes
"""A text frame (str) or a binary frame (bytes)."""


class Transport(Protocol):
    """One end of a connection. Every method may be called from several tasks at once.

    Nothing is acknowledged: a frame that ``send`` took may still be lost with the connection.
    """

    @property
    def peer(self) -> str:
        """Who is at the other end, for logs and errors."""
        ...

    async def send(self, frame: Frame) -> None:
        """Send one frame; waits while the peer is slow, so that what waits is bounded.

        When cancelled, the frame is sent whole or not at all. Raises TransportClosed.
        """
        ...

    async def receive(self) -> Frame:
        """The next frame. What the peer sent before it closed comes first, then TransportClosed.

        When cancelled, no frame is lost.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a websocket close code (RFC 6455, 7.4), in bounded time.

        What came and was not received is dropped. Of no effect on a connection that has ended.
        ``reason`` is cut at 123 bytes of UTF-8. Raises ValueError for a code that must not be sent.
        """
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for in its opening handshake.

    ``path`` is that of the URL, percent-encoded as it came, without the server's path prefix;
    ``query`` its parameters, decoded, of several with one name the last; ``headers`` those of HTTP,
    by lower-case name; ``subprotocol`` what the two ends agreed on;
    ``address`` the network address of the client, or empty where there is none.
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    subprotocol: str | None = None
    address: str = ""


Connect: TypeAlias = Callable[[str], Awaitable[Transport]]
"""Opens a transport to a relay's URL. Raises RelayUnreachable, InvalidUrl."""
