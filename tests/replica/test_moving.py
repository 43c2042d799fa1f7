"""A replica moves to another relay, and nothing is lost: not its outbox, and nothing of either
relay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from syncline import Relay, Replica, SynclineError, TokenFile
from syncline.engine.errors import (
    Disconnected,
    InvalidUrl,
    NotAuthenticated,
    RelayUnreachable,
    StoreError,
    WorkspaceMismatch,
)
from syncline.engine.names import Address
from syncline.stores import MemoryStore, SqlStore, Store, Write
from syncline.upkeep.rebuilding import rebuild_document
from tests.access.tokens import ADMIN, token_file
from tests.replica.models import Contact, link_of

PATIENCE = 60.0
NOWHERE = "ws://127.0.0.1:9/crm"


def opened(folder: Path, name: str, relay: str | None, store: Store | None = None) -> Replica:
    return Replica.open(store or folder / f"{name}.db", models=[Contact], relay=relay)


async def synced(*replicas: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        for _ in range(2):
            for replica in replicas:
                await replica.synced()


def names(replica: Replica) -> dict[str, str]:
    return {contact.key: contact.name for contact in replica.collection(Contact)}


@pytest.mark.slow
async def test_to_an_empty_relay_with_edits_in_the_outbox(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "old.db", port=0) as old,
        opened(tmp_path, "ada", f"{old.url}/crm") as ada,
        opened(tmp_path, "bob", f"{old.url}/crm") as bob,
    ):
        for number in range(5):
            ada.collection(Contact).create(key=f"a{number}", name=str(number), notes="Hello")
        bob.collection(Contact).create(key="b", name="Bob's", visits=3, tags=["x"])
        ada.document("pages/welcome").text("body").append("Welcome")
        await synced(ada, bob)
        await bob.disconnect()
        bob.collection(Contact)["a0"].notes.append(" from the outbox")
        bob.collection(Contact).delete("a1")
        async with Relay(tmp_path / "new.db", port=0) as new:
            url = f"{new.url}/crm"
            with pytest.raises(WorkspaceMismatch) as caught:
                await bob.connect(url)
            assert "replica.move_to(url)" in caught.value.hint
            await bob.move_to(url)
            assert (link_of(bob), bob.status.relay) == ("online", url)
            await synced(bob)
            async with opened(tmp_path, "fresh", url) as fresh:
                await synced(fresh)
                assert fresh.to_dict() == bob.to_dict()
                assert str(fresh.collection(Contact)["a0"].notes) == "Hello from the outbox"
                await ada.move_to(url)  # which has not seen the outbox of the other
                await synced(ada, bob, fresh)
                assert ada.to_dict() == bob.to_dict() == fresh.to_dict()
                assert "a1" not in ada.collection(Contact)
                assert int(ada.collection(Contact)["b"].visits) == 3
                assert [each.pending for each in (ada, bob, fresh)] == [0, 0, 0]
                assert [each.status.refused for each in (ada, bob, fresh)] == [0, 0, 0]


@pytest.mark.slow
async def test_the_store_belongs_to_the_new_relay_from_then_on(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "old.db", port=0) as old,
        Relay(tmp_path / "new.db", port=0) as new,
    ):
        async with opened(tmp_path, "ada", f"{old.url}/crm") as ada:
            ada.collection(Contact).create(key="x", name="X")
            await synced(ada)
            await ada.move_to(f"{new.url}/crm")
        async with opened(tmp_path, "ada", f"{new.url}/crm") as ada:
            await synced(ada)
        async with opened(tmp_path, "ada", f"{old.url}/crm") as ada:
            with pytest.raises(WorkspaceMismatch):
                await synced(ada)
            ada.collection(Contact).create(key="y", name="Y")
            await ada.move_to(f"{old.url}/crm")  # and back, to one that knows this replica
            await synced(ada)
        async with opened(tmp_path, "fresh", f"{old.url}/crm") as fresh:
            await synced(fresh)
            assert names(fresh) == {"x": "X", "y": "Y"}


async def test_to_a_relay_of_another_lineage_both_contents_merge(tmp_path: Path) -> None:
    """The two have never met, and have a record and a document of the same address."""
    async with (
        Relay(tmp_path / "one.db", port=0) as one,
        Relay(tmp_path / "two.db", port=0) as two,
        opened(tmp_path, "ada", f"{one.url}/crm") as ada,
        opened(tmp_path, "bob", f"{two.url}/crm") as bob,
    ):
        for replica, name in ((ada, "ada"), (bob, "bob")):
            contacts = replica.collection(Contact)
            contacts.create(key=name, name=name)
            contacts.create(key="both", name=name, notes=name, visits=1, tags=[name])
            replica.document("pages/welcome").text("body").append(name)
            await synced(replica)
        ada.collection(Contact)["both"].phone = "in the outbox"
        await ada.move_to(f"{two.url}/crm")
        await synced(ada, bob)
        assert ada.to_dict() == bob.to_dict()
        assert names(bob).keys() == {"ada", "bob", "both"}
        both = bob.collection(Contact)["both"]
        assert sorted(both.tags) == ["ada", "bob"]
        assert int(both.visits) == 2
        assert both.phone == "in the outbox"
        assert sorted(str(both.notes)[at : at + 3] for at in (0, 3)) == ["ada", "bob"]
        body = str(bob.document("pages/welcome").text("body"))
        assert body in ("adabob", "bobada")


@pytest.mark.slow
@pytest.mark.parametrize("rebuilt", ["theirs", "ours"])
async def test_a_document_that_one_of_the_relays_has_rebuilt(tmp_path: Path, rebuilt: str) -> None:
    """Two histories of one document are never merged; what each holds alone is kept all the
    same."""
    stores = {name: tmp_path / f"relay-{name}.db" for name in ("one", "two")}
    for name, path in stores.items():
        async with (
            Relay(path, port=0) as relay,
            opened(tmp_path, name, f"{relay.url}/crm") as replica,
        ):
            replica.collection(Contact).create(key="x", name=name, tags=[name], visits=1)
            replica.collection(Contact)["x"].extra[name] = 1
            await synced(replica)
    store = SqlStore(stores["two" if rebuilt == "theirs" else "one"])
    store.open()
    rebuild_document(store, "crm", Address("contacts", "x"), lambda: 1_800_000_000_000)
    store.close()
    async with (
        Relay(stores["one"], port=0) as one,
        Relay(stores["two"], port=0) as two,
        opened(tmp_path, "one", f"{one.url}/crm") as ada,
        opened(tmp_path, "two", f"{two.url}/crm") as bob,
    ):
        await synced(ada, bob)
        ada.collection(Contact)["x"].phone = "in the outbox"
        await ada.move_to(f"{two.url}/crm")
        await synced(ada, bob)
        assert ada.to_dict() == bob.to_dict()
        record = bob.collection(Contact)["x"]
        assert sorted(record.tags) == ["one", "two"]
        assert dict(record.extra) == {"one": 1, "two": 1}
        assert int(record.visits) == 2
        assert record.phone == "in the outbox"


@pytest.mark.slow
async def test_an_attempt_that_fails_changes_nothing(tmp_path: Path) -> None:
    tokens = TokenFile(token_file(tmp_path))
    async with (
        Relay(tmp_path / "old.db", port=0) as old,
        Relay(tmp_path / "guarded.db", port=0, authenticator=tokens) as guarded,
        opened(tmp_path, "ada", f"{old.url}/crm") as ada,
        opened(tmp_path, "bob", f"{old.url}/crm") as bob,
    ):
        ada.collection(Contact).create(key="x", name="X")
        await synced(ada)
        attempts: list[tuple[str, str | None, type[SynclineError]]] = [
            (NOWHERE, None, RelayUnreachable),
            ("http://127.0.0.1:9/crm", None, InvalidUrl),
            (f"{guarded.url}/hr", ADMIN, WorkspaceMismatch),
            (f"{guarded.url}/crm", "unknown", NotAuthenticated),
        ]
        for url, token, error in attempts:
            with pytest.raises(error):
                await ada.move_to(url, token=token)
            assert ada.status.relay == f"{old.url}/crm"
            ada.collection(Contact)["x"].name = url
            await synced(ada, bob)
            assert names(bob) == {"x": url}
        await ada.disconnect()
        with pytest.raises(RelayUnreachable):
            await ada.move_to(NOWHERE)
        assert link_of(ada) == "offline"
        await ada.move_to(f"{guarded.url}/crm", token=ADMIN)
        await synced(ada)


async def test_who_waits_for_the_sync_waits_on(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "new.db", port=0) as new,
        opened(tmp_path, "ada", NOWHERE) as ada,
    ):
        ada.collection(Contact).create(key="x", name="X")
        waiting = asyncio.create_task(ada.synced())
        with pytest.raises(RelayUnreachable):
            await ada.move_to(NOWHERE)
        await ada.move_to(f"{new.url}/crm")
        async with asyncio.timeout(PATIENCE):
            await waiting
        assert ada.pending == 0


async def test_a_move_is_ended_by_disconnecting(tmp_path: Path) -> None:
    from syncline.environment import Environment

    asked = asyncio.Event()

    async def never(_url: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    environment = Environment(connect=never)  # type: ignore[arg-type]
    async with Replica.open(tmp_path / "a.db", environment=environment) as ada:
        moving = asyncio.create_task(ada.move_to(NOWHERE))
        await asked.wait()
        await ada.disconnect()
        with pytest.raises(Disconnected):
            await moving
        assert link_of(ada) == "offline"


async def test_a_move_that_is_cancelled_goes_back(tmp_path: Path) -> None:
    from syncline.environment import Environment
    from syncline.transports import Transport, connect_websocket

    asked = asyncio.Event()

    async def connect(url: str) -> Transport:
        if url == NOWHERE:
            asked.set()
            await asyncio.Event().wait()
        return await connect_websocket(url)

    async with Relay(tmp_path / "old.db", port=0) as old:
        url = f"{old.url}/crm"
        async with Replica.open(
            tmp_path / "a.db", models=[Contact], relay=url, environment=Environment(connect=connect)
        ) as ada:
            await synced(ada)
            moves = [asyncio.create_task(ada.move_to(NOWHERE)) for _ in range(2)]
            await asked.wait()
            for move in moves:
                move.cancel()
            await asyncio.gather(*moves, return_exceptions=True)
            ada.collection(Contact).create(name="still at home")
            await synced(ada)
            assert (ada.status.relay, ada.pending) == (url, 0)


class Dying(MemoryStore):
    """A disk that takes so many transactions more, and is then gone until it is ``mended``."""

    left: int | None = None

    def write(self, writes: Sequence[Write]) -> list[int]:
        if self.left == 0:
            raise StoreError("The power is off.", hint="Wait.")
        if self.left is not None:
            self.left -= 1
        return super().write(writes)


async def _move_and_die(disk: Dying, url: str, after: int) -> bool:
    """Move, and lose power after so many transactions; returns whether it was done before."""
    replica = opened(Path(), "", None, disk)
    await replica.__aenter__()
    disk.left = after
    done = False
    try:
        async with asyncio.timeout(PATIENCE):
            await replica.move_to(url)
            while replica.pending and replica.status.error is None:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await replica.flushed()
            done = replica.pending == 0
    except StoreError:
        pass
    if done:
        disk.left = None
    try:
        await replica.__aexit__(None, None, None)
    except StoreError:
        assert not done
    disk.left = None
    return done


@pytest.mark.long
async def test_a_crash_at_any_transaction_loses_nothing(tmp_path: Path) -> None:
    async with Relay(tmp_path / "old.db", port=0) as old:
        first = Dying()
        async with opened(tmp_path, "", f"{old.url}/crm", first) as ada:
            for number in range(3):
                ada.collection(Contact).create(key=f"k{number}", name=str(number), notes="Hello")
            await synced(ada)
            await ada.disconnect()
            ada.collection(Contact)["k0"].notes.append(" from the outbox")
            await ada.flushed()
            expected = ada.to_dict()
        before = first.copy()
        ends = set[str]()
        for after in range(40):
            disk = Dying()
            vars(disk).update(vars(before.copy()))
            async with Relay(MemoryStore(), port=0) as new:
                done = await _move_and_die(disk, f"{new.url}/crm", after)
                url = f"{new.url}/crm"
                async with opened(tmp_path, "", url, disk) as ada:
                    try:
                        await synced(ada)
                        ends.add("moved")
                    except WorkspaceMismatch:
                        ends.add("still at the old one")
                        await ada.connect(f"{old.url}/crm")
                        url = f"{old.url}/crm"
                        await synced(ada)
                    assert ada.to_dict() == expected
                async with opened(tmp_path, "", url, MemoryStore()) as fresh:
                    await synced(fresh)
                    assert fresh.to_dict() == expected
            if done:
                break
        else:
            pytest.fail("the move never came to an end")
        assert ends == {"moved", "still at the old one"}
