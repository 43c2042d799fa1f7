"""Tokens in a file: who may connect to a relay, and what each may do:

    [[token]]
    name = "ada's laptop"
    token = "…"                     # or sha256 = "…", the hex digest of it
    access = "write"                # or "read"
    workspaces = ["crm"]            # all, if it is left out
    collections = ["contacts"]      # these and the documents, or all if both are left out
    documents = ["pages/welcome"]
    trusted = true                  # what it writes is not tasted before it is stored
    connections = 10                # as many as the relay's quotas say, if it is left out

Only digests of the tokens are kept, and a token is looked up by its digest: how long that takes
tells nothing about the tokens that there are.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from syncline.engine.errors import NotAuthenticated, UsageError
from syncline.engine.names import Address

from .access import Access, Credentials, Principal
from .token_grants import Grant, read_grants

logger = logging.getLogger("syncline.relay")

RELOAD_SECONDS = 1.0
"""How often, at most, the file is looked at again."""
MAX_TOKEN_FILE_BYTES = 4 << 20
"""Largest token file."""
SMALL_BYTES = 64 << 10
"""A new version of up to this size holds at once, a larger one when it is read, in a thread."""
_DIGEST = "sha256"
_OTHERS = 0o077  # the bits of a file's mode that are not its owner's


@dataclass(frozen=True, slots=True)
class _Version:
    """What tells one version of the file from another."""

    modified_ns: int
    changed_ns: int  # unlike the time of modification no program can set it back
    size: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Version:
        return cls(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


class TokenFile:
    """Knows who connects by the tokens in a file, and what each may do: an Authenticator and an
    Authorizer.

    ``Relay(…, authenticator=TokenFile("tokens.toml"))``. The file is read again when it has
    changed, when it is asked and RELOAD_SECONDS have gone by: what it says then holds for the
    connections that are open, too. A new version that is wrong is logged, and the one before
    stays. ``now`` gives seconds. Raises UsageError, with all that is wrong in the file.
    """

    def __init__(self, path: str | Path, *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._now = now
        self._looked_at = now()
        self._version: _Version | None  # None while the file cannot be read
        try:
            self._version, data = self._read()
        except OSError as error:
            raise UsageError(
                _unreadable(self._path, error), hint="Give the path of a TOML file with tokens."
            ) from None
        self._grants = self._parse(data)

    async def authenticate(self, credentials: Credentials) -> Principal:
        """The principal of the token, with the name that the file gives it. Raises
        NotAuthenticated for no token, or one that is not in the file."""
        self._refresh()
        if credentials.token is None:
            raise NotAuthenticated(
                "This relay asks for a token, and there was none.",
                hint="Pass it with token=…; who runs the relay hands them out.",
            )
        digest = hashlib.sha256(credentials.token.encode("utf-8", "replace")).hexdigest()
        grant = self._grants.get(digest)
        if grant is None:
            raise NotAuthenticated(
                "This relay does not know the token.",
                hint="Ask who runs the relay for one: it may have been replaced.",
            )
        return Principal(
            grant.name, {_DIGEST: digest}, grant.scope, grant.trusted, grant.connections
        )

    def access(self, principal: Principal, workspace: str, address: Address | None) -> Access:
        """What ``principal`` may do with the document, or with ``address`` None anywhere in
        ``workspace``, as the file says now; NONE once its token is taken back."""
        self._refresh()
        grant = self._grants.get(str(principal.claims.get(_DIGEST)))
        if grant is None or (address is None and grant.scope != principal.scope):
            return Access.NONE
        return grant.access_to(workspace, address)

    def _refresh(self) -> None:
        now = self._now()
        if now - self._looked_at < RELOAD_SECONDS:
            return
        self._looked_at = now
        try:
            if _Version.of(self._path.stat()) == self._version:
                return
            version, data = self._read()
        except OSError as error:
            # It is tried again, though the file may stay the same: perhaps the relay had no file
            # descriptor left.
            if self._version is not None:
                self._version = None
                logger.error("%s Its last version stays in use.", _unreadable(self._path, error))
            return
        self._version = version  # a wrong one is not read twice
        if len(data) <= SMALL_BYTES:
            self._take_over(data, version)
        else:  # nobody waits for it: until then the former one holds
            threading.Thread(target=self._take_over, args=(data, version), daemon=True).start()

    def _take_over(self, data: bytes, version: _Version) -> None:
        try:
            grants = self._parse(data)
        except UsageError as error:
            logger.error("The last version of the token file stays in use. %s", error)
            return
        if self._version == version:  # and no newer one has come meanwhile
            self._grants = grants
            logger.info("The token file was read again: %d tokens.", len(grants))

    def _read(self) -> tuple[_Version, bytes]:
        """Raises OSError."""
        descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)  # before reading: what changes meanwhile is seen later
            if not stat.S_ISREG(status.st_mode):  # a pipe would be read for ever
                raise OSError(errno.EINVAL, "it is no file")
            data = file.read(MAX_TOKEN_FILE_BYTES + 1)
        if os.name == "posix" and status.st_mode & _OTHERS:
            logger.warning(
                "Others than its owner can read or change the token file %s: chmod 600 it.",
                self._path,
            )
        return _Version.of(status), data

    def _parse(self, data: bytes) -> Mapping[str, Grant]:
        if len(data) > MAX_TOKEN_FILE_BYTES:
            raise UsageError(
                f"The token file {self._path} has more than {MAX_TOKEN_FILE_BYTES:,} bytes.",
                hint="Keep so many tokens in a database, behind an Authenticator of your own.",
            )
        return read_grants(str(self._path), data)


def _unreadable(path: Path, error: OSError) -> str:
    return f"The token file {path} cannot be read: {error.strerror or type(error).__name__}."
