"""The change feed: changes in databases as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from syncline.connectors import watch
from syncline.connectors.file.load import InvalidPipeline
from syncline.connectors.report import Change
from syncline.engine.errors import SystemRefused

from .two_sides import Side, empty
from .webhooks import PATIENCE

FILE = """
[pipeline]
name = "accounts"
mode = "one-way"
every = "1h"

[source]
url = "${SOURCE_URL}"

[destination]
url = "${DESTINATION_URL}"
"""


@pytest.fixture
def watched(tmp_path: Path) -> Generator[tuple[Path, dict[str, str], Side]]:
    file = tmp_path / "accounts.toml"
    file.write_text(FILE)
    with empty("sqlite", tmp_path, "a") as source, empty("sqlite", tmp_path, "b") as target:
        side = Side("source", "sqlite", source)
        side.create("CREATE TABLE account (id INTEGER PRIMARY KEY, status TEXT)")
        side.execute("INSERT INTO account VALUES (1, 'fine')")
        yield file, {"SOURCE_URL": source, "DESTINATION_URL": target}, side
        side.close()


@pytest.mark.slow
async def test_changes_come_as_they_are_made(watched: tuple[Path, dict[str, str], Side]) -> None:
    file, environ, side = watched
    found: list[Change] = []

    async def read() -> None:
        async for change in watch(file, environ):
            found.append(change)
            if change.kind == "deleted":
                return
            if change.fields.get("status") == "taken over":
                await asyncio.to_thread(side.execute, "DELETE FROM account")

    reading = asyncio.create_task(read())
    await copied(environ["DESTINATION_URL"])
    await asyncio.to_thread(side.execute, "UPDATE account SET status = 'taken over'")
    await asyncio.wait_for(reading, PATIENCE)
    assert [(each.name, each.key, each.kind, each.fields) for each in found] == [
        ("account", "1", "updated", {"status": "taken over"}),
        ("account", "1", "deleted", {}),
    ]


async def copied(url: str) -> None:
    """The first copy is there."""
    target = Side("destination", "sqlite", url)
    async with asyncio.timeout(PATIENCE):
        while True:
            names = target.execute("SELECT name FROM sqlite_master WHERE name = 'account'")
            if names and target.execute("SELECT id FROM account"):
                break
            await asyncio.sleep(0.01)
    target.close()


@pytest.mark.slow
async def test_a_reader_that_is_slow_misses_nothing(
    watched: tuple[Path, dict[str, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.connectors.running.feed.CHANGES_AHEAD", 1)
    file, environ, side = watched
    changes = watch(file, environ)
    first = asyncio.ensure_future(anext(changes))
    await copied(environ["DESTINATION_URL"])
    many = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 40)"
    await asyncio.to_thread(
        side.execute, f"INSERT INTO account (id, status) {many} SELECT i, 'fine' FROM n"
    )
    found = [await asyncio.wait_for(first, PATIENCE)]
    found += [await asyncio.wait_for(anext(changes), PATIENCE) for _ in range(38)]
    assert [change.key for change in found] == [str(number) for number in range(2, 41)]
    await changes.aclose()


@pytest.mark.slow
async def test_a_reader_that_goes_stops_a_pipeline_that_waits_for_it(
    watched: tuple[Path, dict[str, str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.connectors.running.feed.CHANGES_AHEAD", 1)
    file, environ, side = watched
    changes = watch(file, environ)
    first = asyncio.ensure_future(anext(changes))
    await copied(environ["DESTINATION_URL"])
    many = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 40)"
    await asyncio.to_thread(
        side.execute, f"INSERT INTO account (id, status) {many} SELECT i, 'fine' FROM n"
    )
    await asyncio.wait_for(first, PATIENCE)
    await asyncio.wait_for(changes.aclose(), PATIENCE)


async def test_what_cannot_work_reaches_the_reader(
    watched: tuple[Path, dict[str, str], Side], tmp_path: Path
) -> None:
    file, environ, _ = watched
    with pytest.raises(InvalidPipeline, match="SOURCE_URL"):
        await anext(watch(file, {}))
    missing = f"sqlite:///{tmp_path / 'missing.db'}"
    with pytest.raises(SystemRefused, match=r"missing\.db"):
        await anext(watch(file, environ | {"SOURCE_URL": missing}))
