"""What was purged is gone: from the record, from every replica, and from their logs."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.engine.errors import RecordNotFound
from syncline.environment import Environment, wall_clock
from syncline.replica.replica import LOCAL
from syncline.stores.base import Store
from tests.cli.processes import run
from tests.replica.test_sync import PATIENCE, settle
from tests.replica.test_used_again import FULL, NEW, Kept, Room
from tests.stores.test_opening import opened

VALUES = (b"Ada", b"no nuts", b"private", b"towel")
NAMES = (b"vip", b"floor")
"""Elements of sets and keys of maps are names in the document: removed entries keep theirs."""
HOUR = timedelta(hours=1)


def logged(store: Store, workspace: str, address: str) -> bytes:
    """All bytes in the log of a document."""
    found = [info for info in store.documents(workspace) if str(info.address) == address]
    stored = store.load(workspace, found[0].address)
    assert stored is not None
    return b"".join(stored.updates)


async def compacted(replica: Replica, path: Path, address: str) -> None:
    """Return when the log of a document of ``replica`` is one snapshot."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await replica.synced()
            with closing(opened(path, exclusive=False)) as store:
                if not any(value in logged(store, LOCAL, address) for value in VALUES):
                    return
            await asyncio.sleep(0)


@pytest.mark.long
@pytest.mark.parametrize("model", [Room, Kept])
@pytest.mark.parametrize("deleted_before", [False, True])
async def test_nothing_of_it_remains(
    tmp_path: Path, model: type[Room], deleted_before: bool
) -> None:
    address = f"{model.__schema__.collection}/101"
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/hotel"
        async with (
            Replica.open(tmp_path / "one.db", models=[model], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[model], relay=url) as two,
        ):
            mine, yours = one.collection(model), two.collection(model)
            mine.create(key="101", **FULL)
            mine["101"].visits += 5
            await settle(one, two)
            assert yours["101"].notes == FULL["notes"]
            if deleted_before:
                mine.delete("101")
                await settle(one, two)
            mine.purge("101")
            assert "101" not in mine
            await settle(one, two)
            assert "101" not in yours
            for replica, name in ((one, "one.db"), (two, "two.db")):
                await compacted(replica, tmp_path / name, address)
            mine.purge("101")  # of no effect
            yours.create(key="101", guest="Bob")
            await settle(two, one)
            assert mine["101"].to_dict() == NEW
    store = tmp_path / "relay.db"
    code, out, err = await run("compact", str(store))
    assert code == 0, out + err
    assert_gone(store, "hotel", address, VALUES)
    code, out, err = await run("rebuild-document", str(store), address, "--workspace", "hotel")
    assert code == 0, out + err
    assert_gone(store, "hotel", address, VALUES + NAMES)
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(tmp_path / "one.db", models=[model], relay=f"{relay.url}/hotel") as one,
    ):
        await settle(one)
        assert one.collection(model)["101"].to_dict() == NEW
    assert_gone(tmp_path / "one.db", LOCAL, address, VALUES + NAMES)


def assert_gone(path: Path, workspace: str, address: str, secrets: tuple[bytes, ...]) -> None:
    with closing(opened(path)) as store:
        content = logged(store, workspace, address)
        assert b"Bob" in content
        assert not any(secret in content for secret in secrets)


async def test_what_was_deleted_long_ago(tmp_path: Path) -> None:
    late = 0

    def now() -> int:
        return wall_clock() + late

    async with Replica.open(
        tmp_path / "a.db", models=[Room], environment=Environment(now=now)
    ) as replica:
        rooms = replica.collection(Room)
        for key in ("1", "2", "3", "4", "5"):
            rooms.create(key=key, guest="Ada")
        rooms.delete("1")
        rooms.delete("2")
        late = 7_200_000
        rooms.delete("3")
        assert await rooms.purge_deleted(older_than=3 * HOUR) == 0
        assert await rooms.purge_deleted(older_than=HOUR) == 2
        assert await rooms.purge_deleted(older_than=HOUR) == 0
        rooms.create(key="1", guest="Bob")
        late = 4 * 3_600_000
        assert await rooms.purge_deleted(older_than=HOUR) == 1
        assert {key: record.guest for key, record in ((each.key, each) for each in rooms)} == {
            "1": "Bob",
            "4": "Ada",
            "5": "Ada",
        }


async def test_a_device_that_was_away(tmp_path: Path) -> None:
    """What it edited meanwhile stays, and is seen when the key is used again."""
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/hotel"
        async with (
            Replica.open(tmp_path / "one.db", models=[Room, Kept], relay=url) as one,
            Replica.open(tmp_path / "two.db", models=[Room, Kept], relay=url) as two,
        ):
            for model in (Room, Kept):
                one.collection(model).create(key="101", **FULL)
            await settle(one, two)
            await two.disconnect()
            for model in (Room, Kept):
                two.collection(model)["101"].guest = "late"
                one.collection(model).purge("101")
            await one.synced()
            await two.connect(url)
            await settle(one, two)
            assert "101" not in one.collection(Room)
            assert "101" not in two.collection(Room)
            # keep-edit: the edit brings the record back, with nothing else in it.
            for replica in (one, two):
                kept = replica.collection(Kept)["101"]
                assert (kept.guest, kept.diet, str(kept.notes)) == ("late", None, "")


async def test_what_never_was(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db", models=[Room]) as replica:
        with pytest.raises(RecordNotFound, match="rooms/9"):
            replica.collection(Room).purge("9")
