"""A relay and its replicas compact while they are in use."""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.engine.names import Address
from syncline.replica.replica import LOCAL
from syncline.stores import LogSize, SqlStore
from syncline.upkeep.compaction import CompactionPolicy, unacknowledged
from tests.cli.processes import run

PATIENCE = 60.0
SMALL = CompactionPolicy(min_bytes=1500, min_updates=5)
PAD = Address("pages", "pad")


def size_of(store: Path, workspace: str) -> LogSize:
    opened = SqlStore(store, exclusive=False)
    opened.open()
    try:
        size = opened.log_size(workspace, PAD)
        assert size is not None
        return size
    finally:
        opened.close()


async def edit(replica: Replica, rng: random.Random, times: int) -> None:
    text = replica.document(str(PAD)).text("body")
    for number in range(times):
        content = str(text)
        with replica.transaction():
            text.insert(rng.randint(0, len(content)), f"{number} lorem ipsum ")
            if len(content) > 200:
                text.delete(rng.randrange(len(content) - 100), 80)
        await replica.flushed()


@pytest.mark.long
async def test_it_happens_while_replicas_edit_and_all_stay_equal(tmp_path: Path) -> None:
    relay_path = tmp_path / "relay.db"
    paths = [tmp_path / f"{name}.db" for name in "abc"]
    rng = random.Random(1)
    contents: set[str] = set()
    for turn in range(2):  # the second time with everything started anew
        async with Relay(relay_path, port=0, compaction=SMALL) as relay:
            url = f"{relay.url}/w"
            replicas = [
                Replica.open(path, relay=url, compaction=SMALL) for path in paths[: 2 + turn]
            ]
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for replica in replicas:
                    await replica.__aenter__()
                for replica in replicas[:2]:
                    group.create_task(edit(replica, rng, 150))
            async with asyncio.timeout(PATIENCE):
                for _ in range(2):
                    for replica in replicas:
                        await replica.synced()
                # What is due is compacted soon: then the first update is a snapshot.
                for path, workspace in ((relay_path, "w"), *((path, LOCAL) for path in paths[:2])):
                    while size_of(path, workspace).first < 500:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            contents = {str(replica.document(str(PAD)).text("body")) for replica in replicas}
            assert len(contents) == 1
            assert all(replica.status.refused == 0 for replica in replicas)
            for replica in replicas:
                await replica.__aexit__(None, None, None)
    async with (
        Relay(relay_path, port=0) as relay,
        Replica.open(tmp_path / "new.db", relay=f"{relay.url}/w") as fresh,
        asyncio.timeout(PATIENCE),
    ):
        await fresh.synced()
        assert {str(fresh.document(str(PAD)).text("body"))} == contents


@pytest.mark.slow
async def test_a_replica_keeps_what_the_relay_has_not_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Replica.open(path, compaction=SMALL) as replica:
        await edit(replica, random.Random(2), 60)
    store = SqlStore(path)
    store.open()
    assert unacknowledged(store, LOCAL) == {PAD}
    store.close()
    assert size_of(path, LOCAL).updates == 60
    code, _, _ = await run("compact", str(path))
    assert code == 0
    assert size_of(path, LOCAL).updates == 60


async def planted(tmp_path: Path) -> tuple[Path, str]:
    """A relay's store of three documents, one of which has lost a row."""
    path = tmp_path / "relay.db"
    never = CompactionPolicy(min_bytes=1 << 40)
    async with (
        Relay(path, port=0, compaction=never) as relay,
        Replica.open(tmp_path / "a.db", relay=f"{relay.url}/w") as replica,
        asyncio.timeout(PATIENCE),
    ):
        for name in ("one", "two", "three"):
            for number in range(30):
                replica.document(f"pages/{name}").text("body").append(f"{number} ")
                await replica.synced()
    database = sqlite3.connect(path)
    with database:
        document = "SELECT id FROM syncline_documents WHERE key = 'two'"
        row = f"SELECT seq FROM syncline_updates WHERE document_id = ({document}) LIMIT 1 OFFSET 12"
        assert database.execute(f"DELETE FROM syncline_updates WHERE seq = ({row})").rowcount == 1
    database.close()
    return path, "pages/two"


@pytest.mark.long
async def test_the_command_compacts_what_is_sound(tmp_path: Path) -> None:
    path, broken = await planted(tmp_path)
    code, out, _ = await run("compact", str(path), "--dry-run")
    assert code == 1
    assert "would gain" in out
    before = path.stat().st_size
    code, out, _ = await run("compact", str(path))
    assert code == 1
    assert f"Left as it is: {broken}" in out
    assert "it has 29 of 30 updates" in out
    assert path.stat().st_size <= before
    store = SqlStore(path, exclusive=False)
    store.open()
    counts = {info.address.key: info.updates for info in store.documents("w")}
    store.close()
    assert counts == {"one": 1, "two": 30, "three": 1}
    code, out, _ = await run("compact", str(path), "--workspace", "none")
    assert code == 1


@pytest.mark.slow
async def test_the_command_leaves_a_running_relay_alone(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0):
        code, _, err = await run("compact", str(tmp_path / "relay.db"))
        assert code == 1
        assert "compacts by itself" in err.replace("\n", " ")


@pytest.mark.slow
async def test_a_relay_lives_on_when_a_log_cannot_be_compacted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, broken = await planted(tmp_path)
    caplog.set_level(logging.INFO, "syncline.upkeep.compaction")
    policy = CompactionPolicy(min_bytes=300, min_updates=5)
    async with (
        Relay(path, port=0, compaction=policy) as relay,
        Replica.open(tmp_path / "a.db", relay=f"{relay.url}/w") as replica,
        asyncio.timeout(PATIENCE),
    ):
        while not ("stays as it is" in caplog.text and "compacted pages/one" in caplog.text):
            for name in ("one", "two"):
                replica.document(f"pages/{name}").text("body").append("more and more")
            await replica.synced()
    assert f"{broken} in 'w' stays as it is" in caplog.text
