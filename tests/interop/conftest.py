"""Node with the packages of package-lock.json, and the relay that its clients talk to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from syncline import Relay
from tests.interop.editors import HERE, KINDS, Node, node
from tests.npm import install, program, run
from tests.profiles import missing
from tests.stores.servers import database

_OLDEST_NODE = 20


@pytest.fixture(scope="session")
def packages() -> None:
    """The packages of the lock, installed if they are not."""
    version = run(program("node"), "--version", folder=HERE).strip()
    if int(version.removeprefix("v").partition(".")[0]) < _OLDEST_NODE:
        missing(f"Node is {version}, and must be {_OLDEST_NODE} or newer")
    install(HERE)


@pytest.fixture
async def editors(packages: None) -> AsyncGenerator[Node]:
    """A process of Node, to open editors in."""
    async with node() as started:
        yield started


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each client."""
    name: str = request.param
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the relay's store is, on each kind of database: an SQLAlchemy URL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'relay.db'}"
    else:
        with database(request.param) as made:
            yield made.url


@pytest.fixture
async def url(tmp_path: Path) -> AsyncGenerator[str]:
    """A relay's workspace, on SQLite."""
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        yield f"{relay.url}/crm"
