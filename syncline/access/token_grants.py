"""What stands in a token file, checked: all that is wrong is said at once, and no token is shown.

Nothing of the file is quoted, because what stands in the wrong place may be a token.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from syncline.engine.errors import InvalidName, UsageError
from syncline.engine.names import Address, check_collection, check_workspace
from syncline.engine.problems import Problems, TomlMistake, count_of
from syncline.engine.protocol.messages import MAX_TOKEN
from syncline.engine.suggestions import closest

from .access import Access

N = TypeVar("N")

_KEYS = (
    "token",
    "sha256",
    "name",
    "access",
    "workspaces",
    "collections",
    "documents",
    "connections",
    "trusted",
)
_ACCESS = {"read": Access.READ, "write": Access.WRITE}
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*token[ \t]*\]\]", re.MULTILINE)
_TOKEN = re.compile(rf"[\x21-\x7e]{{1,{MAX_TOKEN}}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# A key of many parts takes the parser time with the square of their number.
MAX_DOTS = 16
_QUOTED = re.compile(
    r"""
    \"{3} [\s\S]*? \"{3}  |  '{3} [\s\S]*? '{3}  # on several lines
    | "(?: [^"\\\n] | \\. )*"  |  '[^'\n]*'
    | \#[^\n]*
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{1,100}")
_HINT = (
    "Write it as docs/security.md shows. A good token: "
    "python -c 'import secrets; print(secrets.token_urlsafe())'"
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What the bearer of one token may do. None narrows nothing; with both ``collections`` and
    ``documents``, what is in either. ``scope`` is that of the Principal,
    ``connections`` how many it may have."""

    digest: str
    name: str
    access: Access
    workspaces: frozenset[str] | None = None
    collections: frozenset[str] | None = None
    documents: frozenset[Address] | None = None
    scope: str = ""
    trusted: bool = False
    connections: int | None = None

    def access_to(self, workspace: str, address: Address | None) -> Access:
        """What is allowed with a document; with None, the most in the workspace."""
        if self.workspaces is not None and workspace not in self.workspaces:
            return Access.NONE
        if address is None or (self.collections is None and self.documents is None):
            return self.access
        named = (self.collections is not None and address.collection in self.collections) or (
            self.documents is not None and address in self.documents
        )
        return self.access if named else Access.NONE


def _scope(
    access: Access, collections: frozenset[str] | None, documents: frozenset[Address] | None
) -> str:
    """What stands for these rights; nothing for all rights."""
    if access is Access.WRITE and collections is None and documents is None:
        return ""
    parts = [access.name, *sorted(collections or ()), *sorted(map(str, documents or ()))]
    return "\n".join(parts)


def read_grants(where: str, data: bytes) -> Mapping[str, Grant]:
    """The grants in a token file, by the digest of their token. Raises UsageError."""
    problems = Problems()
    grants: dict[str, Grant] = {}
    text, entries = _parse(data, problems)
    lines = list(_header_lines(text))
    for index, entry in enumerate(entries):
        place = f"token {index + 1}"
        if len(lines) == len(entries):
            place += f" (line {lines[index]})"
        grant = _grant(place, entry, problems)
        if grant is not None and grant.digest in grants:
            problems.add(place, "its token stands in the file twice; give each its own")
        elif grant is not None:
            grants[grant.digest] = grant
    if not problems and not grants:
        problems.add("the file", "it has no tokens; begin each with a line [[token]]")
    if problems:
        said = "\n".join(f"{each.key}: {each.message}." for each in problems.found)
        raise UsageError(
            f"The token file {where} has {count_of(len(problems))}.\n{said}", hint=_HINT
        )
    return grants


def _header_lines(text: str) -> Iterator[int]:
    """The line of each [[token]]."""
    line, counted = 1, 0
    for found in _HEADER.finditer(text):
        line += text.count("\n", counted, found.start())
        counted = found.start()
        yield line


def _parse(data: bytes, problems: Problems) -> tuple[str, list[object]]:
    try:
        text = data.decode()
        if any(line.count(".") > MAX_DOTS for line in _QUOTED.sub("", text).splitlines()):
            problems.add("the file", "it has a key of many parts; no key here has a dot")
            return "", []
        table = tomllib.loads(text)
    except UnicodeDecodeError:
        problems.add("the file", "it is no UTF-8 text")
        return "", []
    except tomllib.TOMLDecodeError as error:
        # Not in its words: they may quote what stands there.
        at = TomlMistake.of(error)
        place = f"line {at.line}, column {at.column}" if at.line else "end of document"
        problems.add(place, "this is no TOML")
        return "", []
    except (ValueError, RecursionError):  # of numbers that are too long, and lists too deep
        problems.add("the file", "this is no TOML")
        return "", []
    for key in table:
        if key != "token":
            problems.add("the file", f"it has an unknown table or key{_meant(key, ['token'])}")
    tokens: object = table.get("token", [])
    if not isinstance(tokens, list):
        problems.add("the file", "write [[token]], with two brackets, above each token")
        return text, []
    return text, cast("list[object]", tokens)


def _grant(place: str, entry: object, problems: Problems) -> Grant | None:
    if not isinstance(entry, dict):
        problems.add(place, "it is no table; begin it with a line [[token]]")
        return None
    values = cast("dict[str, Any]", entry)
    before = len(problems)
    for key in values:
        if key not in _KEYS:
            problems.add(place, f"it has an unknown key{_meant(key, _KEYS)}")
    digest = _digest(place, values, problems)
    name = values.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.add(place, "name: give it one, of at most 100 characters, for the log")
    elif name == values.get("token"):
        problems.add(place, "name: it is the token itself, and names stand in logs")
    access = values.get("access")
    if not isinstance(access, str) or access not in _ACCESS:
        problems.add(place, 'access: write "read" or "write"')
    workspaces = _names(place, values, "workspaces", check_workspace, problems)
    collections = _names(place, values, "collections", check_collection, problems)
    documents = _names(place, values, "documents", Address.parse, problems)
    trusted = values.get("trusted", False)
    if not isinstance(trusted, bool):
        problems.add(place, "trusted: write true or false")
    connections = values.get("connections")
    if connections is not None and (type(connections) is not int or connections < 1):
        problems.add(place, "connections: write a number from 1 on, or leave it out")
    if len(problems) > before or digest is None:
        return None
    allowed = _ACCESS[str(access)]
    scope = _scope(allowed, collections, documents)
    return Grant(
        digest,
        str(name),
        allowed,
        workspaces,
        collections,
        documents,
        scope,
        trusted=bool(trusted),
        connections=connections,
    )


def _digest(place: str, values: Mapping[str, Any], problems: Problems) -> str | None:
    if ("token" in values) == ("sha256" in values):
        problems.add(place, "write either token or sha256")
        return None
    if "token" in values:
        token = values["token"]
        if isinstance(token, str) and _TOKEN.fullmatch(token):
            return hashlib.sha256(token.encode()).hexdigest()
        problems.add(
            place,
            f"token: it is no text of 1 to {MAX_TOKEN} visible ASCII characters without spaces",
        )
        return None
    digest = values["sha256"]
    if isinstance(digest, str) and _DIGEST.fullmatch(digest.lower()):
        return digest.lower()
    problems.add(place, "sha256: it is no text of 64 hexadecimal digits")
    return None


def _names(
    place: str,
    values: Mapping[str, Any],
    key: str,
    check: Callable[[str], N],
    problems: Problems,
) -> frozenset[N] | None:
    if key not in values:
        return None
    listed = values[key]
    if not isinstance(listed, list) or not listed:
        problems.add(place, f"{key}: it is no list of at least one; leave it out to allow all")
        return None
    names: set[N] = set()
    for number, name in enumerate(cast("list[object]", listed), start=1):
        try:
            names.add(check(name if isinstance(name, str) else ""))
        except InvalidName as error:
            problems.add(f"{place}, {key}, number {number}", error.hint.rstrip("."))
    return frozenset(names)


def _meant(key: str, known: Sequence[str]) -> str:
    """What to write instead of an unknown key, which is not quoted."""
    close = closest(key, known)
    return f", perhaps meant as {close}" if close else f"; known are {', '.join(known)}"
