"""The databases of store tests; failures inside the shipped contract suite show their values."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.servers import SERVERS, TestDatabase, database


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[TestDatabase]:
    """A new database on each kind of server."""
    with database(request.param) as made:
        yield made


@pytest.fixture(params=["sqlite", *SERVERS])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a new store may be, on each kind of database: a path or a URL."""
    if request.param == "sqlite":
        yield str(tmp_path / "app.db")
    else:
        with database(request.param) as made:
            yield made.url
