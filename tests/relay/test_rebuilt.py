"""A document gets a new history at the relay: replicas follow, and lose no edit of theirs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from syncline import Relay, Replica
from tests.cli.processes import run
from tests.replica.models import Contact

PATIENCE = 60.0


async def _synced(*replicas: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        for _ in range(2):
            for replica in replicas:
                await replica.synced()


@pytest.mark.long
@pytest.mark.parametrize("reopened", [False, True])
async def test_edits_that_the_relay_did_not_have_are_made_again(
    tmp_path: Path, *, reopened: bool
) -> None:
    store = tmp_path / "relay.db"
    async with Relay(store, port=0) as relay:
        port, url = relay.port, f"{relay.url}/crm"
        ada = await Replica.open(tmp_path / "a.db", models=[Contact], relay=url).__aenter__()
        bob = await Replica.open(tmp_path / "b.db", models=[Contact], relay=url).__aenter__()
        ada.collection(Contact).create(
            key="x", name="Ada", notes="one two three", visits=1, tags=["a", "b"]
        )
        for number in range(200):
            ada.collection(Contact)["x"].name = f"Ada {number}"
        await _synced(ada, bob)
    # Nobody is connected. Bob edits what he has; the operator rebuilds; Bob knows nothing of that.
    record = bob.collection(Contact)["x"]
    record.notes.insert(4, "and ")
    record.notes.delete(0, 3)
    record.visits += 5
    record.tags.discard("a")
    record.tags.add("c")
    record.phone = "123"
    await bob.flushed()
    code, out, err = await run("rebuild-document", str(store), "contacts/x", "--workspace", "crm")
    assert (code, err) == (0, "")
    assert "contacts/x: " in out
    if reopened:
        await bob.__aexit__(None, None, None)
        bob = await Replica.open(tmp_path / "b.db", models=[Contact], relay=url).__aenter__()
    async with (
        Relay(store, port=port),
        Replica.open(tmp_path / "new.db", models=[Contact], relay=url) as fresh,
    ):
        ada.collection(Contact)["x"].notes.append(" four")
        await _synced(ada, bob, fresh)
        assert ada.to_dict() == bob.to_dict() == fresh.to_dict()
        there = fresh.collection(Contact)["x"]
        assert str(there.notes) == " and two three four"
        assert (int(there.visits), sorted(there.tags)) == (6, ["b", "c"])
        assert (there.name, there.phone) == ("Ada 199", "123")
        assert [r.status.refused for r in (ada, bob)] == [0, 0]
        for replica in (ada, bob):
            await replica.__aexit__(None, None, None)


@pytest.mark.slow
async def test_what_cannot_be_rebuilt_is_told(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0):
        pass
    code, _, err = await run(
        "rebuild-document", str(tmp_path / "relay.db"), "contacts/x", "--workspace", "crm"
    )
    assert code == 1
    assert "There is no document contacts/x in the workspace 'crm'" in err.replace("\n", "")
