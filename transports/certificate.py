"""The certificate of a relay that speaks TLS itself."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import TypeAlias

from syncline.engine.errors import UsageError

logger = logging.getLogger("syncline.transports")

RELOAD_SECONDS = 10.0
"""How often is looked whether the files have changed."""

_Version: TypeAlias = tuple[tuple[int, int, int], ...]  # of both files


class Certificate:
    """A certificate with its chain, and its private key, in PEM files; ``key`` is None if it stands
    in the same file. ``context`` takes new ones over when the files change, for connections that
    come from then on. Raises UsageError."""

    def __init__(self, certificate: str | Path, key: str | Path | None = None) -> None:
        self._certificate = Path(certificate)
        self._key = Path(key if key is not None else certificate)
        self.context = _context()
        try:
            self._version = self._look()
            self._load(self.context)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise UsageError(
                f"The certificate {self._certificate} cannot be used: {_reason(error)}.",
                hint="Give PEM files: the certificate with its chain, and its key, without a "
                "password.",
            ) from None

    async def follow(self) -> None:
        """Look after the files until cancelled."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            self.renew()

    def renew(self) -> None:
        """Take over files that have changed. Those that are wrong are logged, and the former ones
        stay."""
        try:
            version = self._look()
            if version == self._version:
                return
            self._version = version  # wrong ones are not read twice
            self._load(_context())  # a context that fails half way could serve nobody
            self._load(self.context)
        except (OSError, ValueError) as error:
            logger.error(
                "The certificate %s stays as it was: %s.", self._certificate, _reason(error)
            )
        else:
            logger.info("The certificate %s was read again.", self._certificate)

    def _look(self) -> _Version:
        return tuple(_version(file) for file in (self._certificate, self._key))

    def _load(self, context: ssl.SSLContext) -> None:
        # Without a password the library would ask for one at the terminal.
        context.load_cert_chain(self._certificate, self._key, password="")


def _version(file: Path) -> tuple[int, int, int]:
    if not file.is_file():  # a pipe would be read for ever
        raise OSError(f"{file} is no file")
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return "certificate and key are not in PEM, or do not belong together"
    return str(getattr(error, "strerror", None) or error)
