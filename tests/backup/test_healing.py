"""A relay's store is lost and a backup restored: its replicas give back what the backup lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.upkeep.backup import backup, restore
from tests.replica.models import Contact
from tests.stores.servers import SERVERS, database

PATIENCE = 60.0


async def _synced(*replicas: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        for _ in range(2):  # what one sends, the others fetch
            for replica in replicas:
                await replica.synced()


@pytest.fixture(params=["sqlite", *SERVERS])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where two new stores may be, on each kind of database."""
    if request.param == "sqlite":
        yield str(tmp_path / "relay.db"), str(tmp_path / "restored.db")
        return
    with database(request.param) as one, database(request.param) as other:
        yield one.url, other.url


@pytest.mark.slow
async def test_edits_after_the_backup_survive_the_loss_of_the_relay(
    tmp_path: Path, stores: tuple[str, str]
) -> None:
    store, restored = stores
    lost = Relay(store, port=0)
    async with lost:
        port, url = lost.port, f"{lost.url}/crm"
        ada = Replica.open(tmp_path / "ada.db", models=[Contact], relay=url)
        bob = Replica.open(tmp_path / "bob.db", models=[Contact], relay=url)
        await ada.__aenter__()
        await bob.__aenter__()
        contacts = ada.collection(Contact)
        for number in range(300):  # more than one range of digests
            contacts.create(key=f"k{number:03}", name=str(number), notes="Called back.")
        await _synced(ada, bob)
        await asyncio.to_thread(backup, store, tmp_path / "backup.db")
        contacts["k001"].notes.delete(0, 7)  # a deletion alone: no new operation
        contacts["k002"].visits += 2
        contacts.create(key="new", name="after the backup", tags=["x"])
        bob.collection(Contact).delete("k003")
        await _synced(ada, bob)
        expected = ada.to_dict()
    restore(tmp_path / "backup.db", restored)
    ada.collection(Contact)["k004"].name = "while the relay was away"
    async with (
        Relay(restored, port=port),
        Replica.open(tmp_path / "new.db", models=[Contact], relay=url) as fresh,
    ):
        await _synced(ada, bob, fresh)
        assert ada.pending == bob.pending == 0
        assert fresh.to_dict() == ada.to_dict() == bob.to_dict()
        expected["contacts"]["k004"]["name"] = "while the relay was away"
        assert fresh.to_dict() == expected
        for replica in (ada, bob):
            await replica.__aexit__(None, None, None)


@pytest.mark.slow
async def test_a_relay_that_lost_everything_but_its_identity_is_filled_again(
    tmp_path: Path,
) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        port, url = relay.port, f"{relay.url}/crm"
    await asyncio.to_thread(backup, tmp_path / "relay.db", tmp_path / "empty.db")
    async with (
        Relay(tmp_path / "relay.db", port=port),
        Replica.open(tmp_path / "ada.db", models=[Contact], relay=url) as ada,
    ):
        ada.collection(Contact).create(key="k", name="Ada")
        await _synced(ada)
    restore(tmp_path / "empty.db", tmp_path / "restored.db")
    async with (
        Relay(tmp_path / "restored.db", port=port),
        Replica.open(tmp_path / "ada.db", models=[Contact], relay=url) as ada,
        Replica.open(tmp_path / "new.db", models=[Contact], relay=url) as fresh,
    ):
        await _synced(ada, fresh)
        assert fresh.collection(Contact)["k"].name == "Ada"
