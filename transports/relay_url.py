"""A relay's URL: ``ws://host:port/workspace``, or with a path before the workspace, where the
relay stands behind a proxy: ``wss://host/sync/workspace``."""

from __future__ import annotations

import re
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from syncline.engine.errors import InvalidName, InvalidUrl
from syncline.engine.names import check_workspace

_EXAMPLE = 'Write it like "ws://localhost:8765/crm"; the last part names the workspace.'

_PREFIX_PART = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]+")


def parse_relay_url(url: str) -> str:
    """Check a relay's URL and return the workspace that the last part of its path names, decoded.
    Raises InvalidUrl."""
    # urlsplit drops some of these silently, and what it checked would not be what is used.
    if any(character.isspace() or not character.isprintable() for character in url):
        _refuse(url, "contains a space or a control character", _EXAMPLE)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        host.encode("idna")
    except ValueError:
        _refuse(url, "has no valid host and port", _EXAMPLE)
    _check_scheme(url, parts)
    if not host:
        _refuse(url, "names no host", _EXAMPLE)
    if port == 0:
        _refuse(url, "has port 0, which nothing listens on", _EXAMPLE)
    if parts.username is not None or parts.password is not None:
        _refuse(url, "contains credentials", "Leave them out: URLs end up in logs.")
    # RFC 6455, 3 forbids the fragment; a query would be ignored.
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        _refuse(url, "goes on after the workspace", "Leave out the part from '?' or '#' on.")
    return _workspace(url, parts)


def _check_scheme(url: str, parts: SplitResult) -> None:
    if parts.scheme in ("http", "https"):
        secure = "wss" if parts.scheme == "https" else "ws"
        meant = f"{secure}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        _refuse(url, "is not a websocket URL", f'Write "{meant}".')
    if parts.scheme not in ("ws", "wss") or not parts.netloc:
        _refuse(url, "does not begin with ws:// or wss://", _EXAMPLE)


def _workspace(url: str, parts: SplitResult) -> str:
    path = parts.path.removeprefix("/").removesuffix("/")
    if not path:
        base = f"{parts.scheme}://{parts.netloc}"
        _refuse(url, "names no workspace", f'Add its name, for example "{base}/crm".')
    *prefix, last = path.split("/")
    # Proxies and libraries differ in what they make of these.
    if any(unquote(part) in ("", ".", "..") for part in (*prefix, last)):
        _refuse(url, 'has an empty part, "." or ".." in its path', _EXAMPLE)
    try:
        return check_workspace(unquote(last))
    except InvalidName as error:
        _refuse(url, f"ends with {last[:80]!r}, which cannot name a workspace", error.hint)


def parse_path_prefix(prefix: str) -> str:
    """The path under which a relay is reached behind a proxy, as ``/sync``; "" for none. ``prefix``
    may lack the first slash, or have one at the end. Raises InvalidUrl."""
    parts = prefix.removeprefix("/").removesuffix("/")
    if not parts:
        return ""
    if not all(_PREFIX_PART.fullmatch(part) for part in parts.split("/")):
        raise InvalidUrl(
            f"{prefix[:80]!r} cannot be the path prefix of a relay.",
            hint='Write it like "/sync": parts of letters, digits and "-_.~" between slashes.',
        )
    return f"/{parts}"


def without_prefix(path: str, prefix: str) -> str:
    """``path``, percent-encoded as it came, without ``prefix``. One that does not begin with it
    stays as it is: it comes past the proxy, or the proxy has taken the prefix off."""
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        return path[len(prefix) :] or "/"
    return path


def _refuse(url: str, problem: str, hint: str) -> NoReturn:
    # Neither a password nor a token in the query belongs into an error.
    shown = re.sub(r"//[^/]*@", "//***@", url.partition("?")[0])[:100]
    raise InvalidUrl(f"The relay's URL {shown!r} {problem}.", hint=hint)
