"""Node with the packages of package-lock.json, and the relay that its clients talk to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from syncline import Relay
from tests.interop.editors import HERE, KINDS, Node, node
from tests.stores.servers import database

_OLDEST_NODE = 20


def _missing(why: str) -> None:
    if os.environ.get("SYNCLINE_REQUIRE_SERVICES") == "1":
        pytest.fail(why)
    pytest.skip(why)


def _run(*command: str) -> str:
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=200, check=False
    )
    if done.returncode != 0:
        _missing(f"{' '.join(command)} failed: {(done.stderr or done.stdout)[-400:]}")
    return done.stdout


@pytest.fixture(scope="session")
def packages() -> None:
    """The packages of the lock, installed if they are not."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            _missing(f"no {command}")
    version = _run("node", "--version")
    if int(version.removeprefix("v").partition(".")[0]) < _OLDEST_NODE:
        _missing(f"Node is {version.strip()}, and must be {_OLDEST_NODE} or newer")
    with FileLock(HERE / ".npm.lock"):
        installed = HERE / "node_modules" / ".package-lock.json"  # npm writes it last
        lock = HERE / "package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            _run("npm", "ci")


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
