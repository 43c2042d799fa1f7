"""The database that a path or a URL names; its driver is imported only then."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from syncline.engine.errors import InvalidUrl

from .database import Database
from .url_secrets import without_secrets

_HINT = (
    'Write a path, "sqlite:///folder/app.db" (four slashes for an absolute path), '
    '"postgresql://user@host/database" or "mariadb://user@host/database".'
)


def database_of(url_or_path: str | Path) -> Database:
    """The database that a path or a URL names. Raises InvalidUrl, StoreError without a driver."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        from .sqlite import SqliteFile

        return SqliteFile(Path(_file_name(str(url_or_path))))
    try:
        url = make_url(url_or_path)
    except (ArgumentError, ValueError):
        # Not quoted: it may hold a password.
        raise InvalidUrl("The store URL cannot be read.", hint=_HINT) from None
    if url.get_backend_name() != "sqlite" and "@" in f"{url.host}{url.database}":
        raise InvalidUrl(  # not quoted either: it is the rest of a password
            "The store URL has an @ in its host or its database.",
            hint="Write %40 for an @ in a user or a password, %2F for a slash, %3A for a colon.",
        )
    match url.get_backend_name():
        case "sqlite":
            from .sqlite import SqliteFile

            return SqliteFile(Path(_file_of_url(url)))
        case "postgresql":
            from .postgresql import PostgreSql

            return PostgreSql(url)
        case "mariadb" | "mysql":
            from .mariadb import MariaDb

            return MariaDb(url)
        case other:
            raise InvalidUrl(f"Syncline has no store for {other}.", hint=_HINT)


def readable(url_or_path: str) -> str:
    """How a store that can be opened is named to people: without the user and the password, and
    without the values of parameters."""
    return without_secrets(make_url(url_or_path)) if "://" in url_or_path else url_or_path


def _file_of_url(url: URL) -> str:
    shown = repr(without_secrets(url))
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InvalidUrl(
            f"{shown} asks for a driver that is not blocking.",
            hint='Write "sqlite:///folder/app.db": stores use threads, not asyncio.',
        )
    if (
        url.host
        or url.username is not None
        or url.query
        or (url.database or "").startswith("file:")
    ):
        raise InvalidUrl(
            f"{shown} has more than a path.",
            hint='Write "sqlite:///folder/app.db", with four slashes for an absolute path, and '
            "without parameters.",
        )
    return _file_name(url.database or "", shown)


def _file_name(name: str, shown: str | None = None) -> str:
    if not name or ":memory:" in name:
        raise InvalidUrl(
            f"{shown or repr(name)} names no file.",
            hint='Write "sqlite:///folder/app.db" or a path; for a store that lives in memory use '
            "MemoryStore().",
        )
    return name
