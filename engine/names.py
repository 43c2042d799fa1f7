"""Names: workspaces, collections, keys, and the addresses made of them.

A name is checked once, where it enters: from the API, from a frame, from a URL. Inside, an
``Address`` is known to be good.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from .errors import InvalidName

MAX_KEY_BYTES = 512
"""Longest key, in UTF-8 bytes."""

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
# Letters, marks, numbers of any script, and punctuation that is no separator in a path or URL.
_KEY_PUNCTUATION = frozenset(" -_.~@:+,()'&=!$")
_KEY_CATEGORIES = frozenset("LMN")
_COMMON_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)


class Address(NamedTuple):
    """Where a document lives inside its workspace. Written ``collection/key``."""

    collection: str
    key: str

    def __str__(self) -> str:
        return f"{self.collection}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Split and check ``collection/key``. Raises InvalidName."""
        _check_str("address", text)
        collection, slash, key = text.partition("/")
        if not slash:
            raise InvalidName(
                f"The address {text[:80]!r} has no slash.",
                hint='Write "collection/key", for example "pages/welcome".',
            )
        return cls(check_collection(collection), check_key(key))


def check_workspace(name: str) -> str:
    """Return ``name`` if it may name a workspace, else raise InvalidName."""
    return _check_plain("workspace", name)


def check_collection(name: str) -> str:
    """Return ``name`` if it may name a collection, else raise InvalidName."""
    return _check_plain("collection", name)


def check_key(key: str) -> str:
    """Return ``key`` if it may name a document inside a collection, else raise InvalidName."""
    _check_str("key", key)
    problem = _key_problem(key)
    if problem:
        raise InvalidName(
            f"The key {key[:80]!r} {problem}.",
            hint=f"A key is 1 to {MAX_KEY_BYTES} bytes of letters, digits, spaces inside and "
            "-_.~@:+,()'&=!$, in Unicode NFC form; leave it out to get a UUIDv7.",
        )
    return key


def _check_str(noun: str, name: object) -> None:
    if not isinstance(name, str):
        raise InvalidName(
            f"The {noun} {name!r:.80} is of type {type(name).__qualname__}, not str.",
            hint="Convert it with str() first.",
        )


def _check_plain(noun: str, name: str) -> str:
    if not _PLAIN.fullmatch(name):
        raise InvalidName(
            f"{name[:80]!r} cannot name a {noun}.",
            hint=f"A {noun} name is 1 to 63 of a-z, 0-9, dot, dash and underscore, starting with "
            "a letter or digit.",
        )
    return name


def _key_problem(key: str) -> str | None:
    if not key:
        return "is empty"
    if len(key) > MAX_KEY_BYTES or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    if _COMMON_KEY.fullmatch(key):  # UUIDs, and most others: every address of a frame comes here
        return None
    for character in key:
        if (
            character not in _KEY_PUNCTUATION
            and unicodedata.category(character)[0] not in _KEY_CATEGORIES
        ):
            return f"contains {character!r}"
    if key != key.strip():
        return "begins or ends with a space"
    if key in (".", ".."):
        return "is a path"
    if not unicodedata.is_normalized("NFC", key):
        return "is not in Unicode NFC form"
    return None
