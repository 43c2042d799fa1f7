"""Replicas and a relay over real websockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncline import Relay, Replica
from syncline.engine.errors import RelayUnreachable, WorkspaceMismatch
from tests.profiles import scaled
from tests.replica.models import Contact, Draft, link_of

MODELS = [Contact, Draft]
PATIENCE = 60.0


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        yield relay


def phone(tmp_path: Path, name: str, relay: Relay | None = None, **options: Any) -> Replica:
    url = f"{relay.url}/crm" if relay else None
    return Replica.open(tmp_path / f"{name}.db", models=MODELS, relay=url, **options)


async def settle(*replicas: Replica) -> None:
    """Have every replica hold everything: what one sends, the others fetch."""
    async with asyncio.timeout(PATIENCE):
        for _ in range(2):
            for replica in replicas:
                await replica.synced()


async def test_every_field_merges(tmp_path: Path, relay: Relay) -> None:
    async with phone(tmp_path, "ada", relay) as ada, phone(tmp_path, "bob", relay) as bob:
        ours, theirs = ada.collection(Contact), bob.collection(Contact)
        ours.create(key="x", name="Xavier", notes="Call him.", tags=["a"], numbers=["1", "2", "3"])
        await settle(ada, bob)
        assert theirs["x"].name == "Xavier"

        await ada.disconnect()
        await bob.disconnect()
        mine, yours = ours["x"], theirs["x"]
        mine.phone, yours.stage = "+44 1", theirs["x"].stage.__class__.CUSTOMER
        mine.notes.append(" Soon.")
        yours.notes.insert(0, "Today: ")
        mine.visits += 2
        yours.visits += 3
        mine.tags.discard("a")
        yours.tags.add("a")
        mine.numbers.move(0, 2)
        yours.numbers.insert(0, "4")
        mine.email, yours.email = "mine@example.org", "yours@example.org"
        mine.credit, yours.credit = Decimal(5), Decimal(7)
        mine.extra["k"] = 1
        yours.extra["l"] = 2
        await ada.connect(f"{relay.url}/crm")
        await bob.connect(f"{relay.url}/crm")
        await settle(ada, bob)

        assert ada.to_dict() == bob.to_dict()
        assert mine.phone == "+44 1"
        assert str(mine.notes) == "Today: Call him. Soon."
        assert int(mine.visits) == 5
        assert mine.tags == {"a"}
        assert list(mine.numbers) == ["4", "2", "3", "1"]
        assert mine.credit == Decimal(7)
        assert mine.extra == {"k": 1, "l": 2}
        (conflict,) = mine.conflicts()
        assert conflict.field == "email"
        assert {item.value for item in conflict.values} == {"mine@example.org", "yours@example.org"}
        assert mine.email == conflict.values[0].value
        mine.email = "both@example.org"
        await settle(ada, bob)
        assert yours.email == "both@example.org"
        assert yours.conflicts() == []
        assert ada.pending == bob.pending == 0


async def test_delete_against_edit(tmp_path: Path, relay: Relay) -> None:
    async with phone(tmp_path, "ada", relay) as ada, phone(tmp_path, "bob", relay) as bob:
        ada.collection(Contact).create(key="x", name="X")
        ada.collection(Draft).create(key="x", title="X", body="text")
        await settle(ada, bob)
        await ada.disconnect()
        await bob.disconnect()
        ada.collection(Contact).delete("x")
        ada.collection(Draft).delete("x")
        bob.collection(Contact)["x"].name = "edited"
        bob.collection(Draft)["x"].body.append("!")
        await ada.connect(f"{relay.url}/crm")
        await bob.connect(f"{relay.url}/crm")
        await settle(ada, bob)
        assert "x" not in ada.collection(Contact)
        assert "x" not in bob.collection(Contact)
        assert str(ada.collection(Draft)["x"].body) == "text!"
        assert ada.to_dict() == bob.to_dict()


async def test_two_devices_that_create_one_key_make_one_record(
    tmp_path: Path, relay: Relay
) -> None:
    async with phone(tmp_path, "ada") as ada, phone(tmp_path, "bob") as bob:
        ada.collection(Contact).create(key="x", name="First", notes="a", visits=1)
        bob.collection(Contact).create(key="x", name="Second", notes="b", visits=1)
        await ada.connect(f"{relay.url}/crm")
        await bob.connect(f"{relay.url}/crm")
        await settle(ada, bob)
        assert ada.to_dict() == bob.to_dict()
        record = ada.collection(Contact)["x"]
        assert record.name in ("First", "Second")
        assert sorted(str(record.notes)) == ["a", "b"]
        assert int(record.visits) == 2


async def test_changes_arrive_live(tmp_path: Path, relay: Relay) -> None:
    async with phone(tmp_path, "ada", relay) as ada, phone(tmp_path, "bob", relay) as bob:
        await settle(ada, bob)
        changes = bob.collection(Contact).changes()
        ada.collection(Contact).create(key="x", name="X")
        async with asyncio.timeout(PATIENCE):
            change = await anext(changes)
            assert (change.kind, change.record.name, change.origin) == ("created", "X", "remote")
            with ada.transaction():
                ada.collection(Contact)["x"].phone = "1"
                ada.collection(Contact)["x"].visits += 1
            change = await anext(changes)
            assert (change.kind, change.fields) == ("updated", ("phone", "visits"))
            ada.collection(Contact).delete("x")
            change = await anext(changes)
            assert (change.kind, change.record.key) == ("deleted", "x")


@pytest.mark.slow
@pytest.mark.scaled
async def test_a_thousand_records_each(tmp_path: Path, relay: Relay) -> None:
    each = scaled(1000)
    async with phone(tmp_path, "ada") as ada, phone(tmp_path, "bob") as bob:
        for replica, name in ((ada, "a"), (bob, "b")):
            with replica.transaction("import"):
                for number in range(each):
                    replica.collection(Contact).create(
                        key=f"{name}{number:04}", name=f"{name} {number}"
                    )
        await ada.connect(f"{relay.url}/crm")
        await bob.connect(f"{relay.url}/crm")
        await settle(ada, bob)
        for replica in (ada, bob):
            await replica.disconnect()
            for number in range(100):
                record = replica.collection(Contact)[f"a{number:04}"]
                record.visits += 1
                record.phone = str(number)
        for replica in (ada, bob):
            await replica.connect(f"{relay.url}/crm")
        await settle(ada, bob)
        assert len(ada.collection(Contact)) == len(bob.collection(Contact)) == 2 * each
        assert ada.to_dict() == bob.to_dict()
        assert int(ada.collection(Contact)["a0099"].visits) == 2
        assert ada.pending == bob.pending == 0


@pytest.mark.slow
async def test_shared_documents_and_seeds(tmp_path: Path, relay: Relay) -> None:
    def page(document: Any) -> None:
        document.text("body").append("Welcome")

    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(phone(tmp_path, name, relay)) for name in "abc"]
        for number, replica in enumerate(replicas):
            replica.seed("pages/welcome", page)
            replica.document("pages/welcome").array("seen").append(number)
        await settle(*replicas)
        contents = [replica.document("pages/welcome").to_dict() for replica in replicas]
        assert contents[0] == contents[1] == contents[2]
        assert contents[0]["body"] == "Welcome"
        assert sorted(contents[0]["seen"]) == [0, 1, 2]
        assert replicas[0].to_dict() == replicas[1].to_dict()


async def test_nothing_is_lost_when_the_relay_is_down(tmp_path: Path) -> None:
    store = tmp_path / "relay.db"
    async with Relay(store, port=0) as relay:
        port = relay.port
        async with phone(tmp_path, "ada", relay) as ada:
            ada.collection(Contact).create(key="x", name="before")
            await settle(ada)
    async with phone(tmp_path, "ada", None) as ada:
        ada.collection(Contact)["x"].name = "offline"
    async with Replica.open(
        tmp_path / "ada.db", models=MODELS, relay=f"ws://127.0.0.1:{port}/crm"
    ) as ada:
        assert link_of(ada) in ("connecting", "waiting")
        assert ada.pending == 1
        ada.collection(Contact)["x"].phone = "1"
        async with Relay(store, port=port) as relay, phone(tmp_path, "bob", relay) as bob:
            await settle(ada, bob)
            assert link_of(ada) == "online"
            assert ada.status.error is None
            assert bob.collection(Contact)["x"].name == "offline"
            assert bob.to_dict() == ada.to_dict()


@pytest.mark.slow
async def test_a_copied_store_becomes_another_replica(tmp_path: Path, relay: Relay) -> None:
    async with phone(tmp_path, "ada", relay) as ada:
        ada.collection(Contact).create(key="x", name="X", notes="-")
        await settle(ada)
        await ada.disconnect()
        ada.collection(Contact)["x"].notes.append("unsent")
    (tmp_path / "copy.db").write_bytes((tmp_path / "ada.db").read_bytes())
    async with phone(tmp_path, "ada", relay) as ada, phone(tmp_path, "copy", relay) as copy:
        ada.collection(Contact)["x"].notes.append(" from ada")
        copy.collection(Contact)["x"].notes.append(" from copy")
        await settle(ada, copy)
        assert ada.to_dict() == copy.to_dict()
        notes = str(ada.collection(Contact)["x"].notes)
        assert sorted(
            [notes.count("unsent"), notes.count("from ada"), notes.count("from copy")]
        ) == [
            1,
            1,
            1,
        ]


@pytest.mark.slow
async def test_a_replica_stays_with_its_workspace_and_relay(tmp_path: Path, relay: Relay) -> None:
    async with phone(tmp_path, "ada", relay) as ada:
        await settle(ada)
        with pytest.raises(
            WorkspaceMismatch, match="a replica of the workspace 'crm', not of 'hr'"
        ):
            await ada.connect(f"{relay.url}/hr")
        with pytest.raises(RelayUnreachable, match="cannot be reached"):
            await ada.connect("ws://127.0.0.1:1/crm")
        async with Relay(tmp_path / "other.db", port=0) as other:
            with pytest.raises(WorkspaceMismatch, match="has synced with the relay"):
                await ada.connect(f"{other.url}/crm")
        assert link_of(ada) == "offline"
    async with (
        Relay(tmp_path / "third.db", port=0) as other,
        phone(tmp_path, "ada", other) as ada,
    ):
        with pytest.raises(WorkspaceMismatch, match="has synced with the relay"):
            await ada.synced()
        assert link_of(ada) == "failed"
    with pytest.raises(WorkspaceMismatch, match="This store belongs to a relay"):
        async with Replica.open(tmp_path / "other.db"):
            pass
    with pytest.raises(WorkspaceMismatch, match="This store belongs to a replica"):
        async with Relay(tmp_path / "ada.db", port=0):
            pass
