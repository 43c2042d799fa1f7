"""E-mail addresses and URLs."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv6Address
from typing import ClassVar
from urllib.parse import SplitResult, urlsplit

from .rule import Row, TypedText, check_option, library

_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
_ANGLED = re.compile(r"<([^<>]*)>")
_PORTS = {"http": 80, "https": 443, "ftp": 21}
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})


class Email(TypedText):
    """An address in the form that email-validator gives it: the domain in small letters, Unicode in
    NFC. Whether the domain exists is not asked."""

    name: ClassVar[str] = "Email"

    def __init__(self) -> None:
        library("email_validator", self.name)

    def read(self, text: str, row: Row) -> str:
        from email_validator import EmailNotValidError

        try:
            return _address(text)
        except EmailNotValidError as error:
            raise self.refusal(
                text,
                "is not an e-mail address",
                hint=str(error),
                suggestion=_inner_address(text),
            ) from error


class Url(TypedText):
    """A URL of one of ``schemes``, with scheme and host in small letters and without the scheme's
    own port. The rest stays as it is, since it may tell capital letters from small ones."""

    name: ClassVar[str] = "URL"

    def __init__(self, *schemes: str) -> None:
        self._schemes = tuple(scheme.lower() for scheme in schemes or ("https", "http"))
        for scheme in self._schemes:
            good = re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) is not None
            check_option(good, self.name, f"knows no scheme {scheme!r}", 'Write "https".')

    def read(self, text: str, row: Row) -> str:
        found = self._canonical(text)
        if found is not None:
            return found
        raise self.refusal(
            text,
            "is not a URL",
            hint=f"Write it whole, as in {self._schemes[0]}://example.com/page.",
            suggestion=self._canonical(f"{self._schemes[0]}://{text}"),
        )

    def _canonical(self, text: str) -> str | None:
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname or ""
        except ValueError:
            return None
        hidden = any(unicodedata.category(char) in _HIDDEN for char in text)
        if hidden or parts.scheme not in self._schemes or not _is_host(host):
            return None
        userinfo, _, _ = parts.netloc.rpartition("@")
        netloc = f"{userinfo}@" if userinfo else ""
        netloc += f"[{host}]" if ":" in host else unicodedata.normalize("NFC", host)
        if port is not None and port != _PORTS.get(parts.scheme):
            netloc += f":{port}"
        # Not geturl of urlsplit's result: it drops an empty query or fragment, which is fine here.
        return SplitResult(parts.scheme, netloc, parts.path, parts.query, parts.fragment).geturl()


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return bool(IPv6Address(host))
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    whole = len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    return whole and (len(labels) > 1 or host == "localhost")


def _address(text: str) -> str:
    from email_validator import validate_email

    return validate_email(text, check_deliverability=False).normalized


def _inner_address(text: str) -> str | None:
    """The address in ``Ada <ada@example.com>`` or ``mailto:ada@example.com``."""
    from email_validator import EmailNotValidError

    # Not email.utils.parseaddr: it recurses once per dot, and long text exhausts the stack.
    angled = _ANGLED.search(text)
    inside = angled[1] if angled else text.removeprefix("mailto:")
    for candidate in (inside, "".join(inside.split())):
        try:
            return _address(candidate)
        except EmailNotValidError:
            continue
    return None
