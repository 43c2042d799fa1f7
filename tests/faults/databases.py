"""Databases of their own for the relays of these tests."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.stores import servers

KINDS = ("sqlite", *servers.SERVERS)


@contextmanager
def database(kind: str, folder: Path) -> Generator[str]:
    """The store URL of a new, empty database. A server's is dropped in the end; the test is
    skipped when there is no server."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'relay.db'}"
    else:
        with servers.database(kind) as made:
            yield made.url
