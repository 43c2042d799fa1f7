"""Which web pages may connect to a relay.

A browser lets the page of any site open a websocket to any address that it can reach, also to a
relay on the user's own machine; all that it does is say in the handshake where the page is from
(``Origin``). So a relay that asks nobody for a token looks at that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from syncline.engine.errors import UsageError
from syncline.transports.loopback import is_loopback

logger = logging.getLogger("syncline.relay")

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_SHOWN = 200  # characters of an origin in an answer


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page is from; ``port`` is None for the default one of the scheme."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Origin | None:
        """What ``scheme://host:port`` says; None for anything else, such as the ``null`` of a page
        without an origin."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return None
        if not parts.scheme or not parts.hostname or "@" in parts.netloc:
            return None
        if parts.path or parts.query or parts.fragment:
            return None
        port = None if port == _DEFAULT_PORTS.get(parts.scheme) else port
        return cls(parts.scheme, parts.hostname, port)


def parse_origins(texts: Iterable[str]) -> frozenset[Origin]:
    """The origins of a list, such as ``https://app.example.com``. Raises UsageError."""
    origins: set[Origin] = set()
    for text in texts:
        origin = Origin.parse(text.removesuffix("/"))
        if origin is None:
            raise UsageError(
                f"{text[:_SHOWN]!r} is no origin of web pages.",
                hint='Write it like "https://app.example.com", without a path.',
            )
        origins.add(origin)
    return frozenset(origins)


class OriginPolicy:
    """Says which pages may connect to a relay bound to ``host``.

    Where nobody is authenticated: those of this machine, those of ``allowed``, and, on a relay that
    others can reach, those from the relay's own host and port. On one that is bound to loopback
    that would let in a site that has its name resolved to 127.0.0.1. Where tokens are asked for,
    the token decides, and pages of all sites may bring one, unless there is a list: then the same
    holds. Raises UsageError for what is no origin.
    """

    def __init__(self, allowed: Iterable[str], *, host: str, authenticated: bool) -> None:
        self._allowed = parse_origins(allowed)
        self._free = authenticated and not self._allowed
        self._same_host = not is_loopback(host)

    def refusal(self, origin: str | None, host: str) -> str | None:
        """Why a handshake with these ``Origin`` and ``Host`` headers is refused; None if it is
        not. What is no browser sends no origin."""
        if origin is None or self._free:
            return None
        page = Origin.parse(origin)
        if page is not None and (
            page in self._allowed
            or is_loopback(page.host)
            or (self._same_host and page == Origin.parse(f"{page.scheme}://{host}"))
        ):
            return None
        shown = origin[:_SHOWN] if origin.isprintable() else "this origin"
        logger.warning("A web page of %s wanted to connect and was refused.", shown)
        return (
            f"Pages of {shown} may not connect to this relay. Whoever runs it can allow them: "
            f"syncline serve --allow-origin {shown}"
        )
