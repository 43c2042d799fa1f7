"""Nobody writes under another one's ids: the victim's next edit is seen by all, its author told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Credentials, NotAuthenticated, Principal, Relay, Replica
from syncline.access.access import Access
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    MAX_FORMER,
    Ack,
    Entry,
    Error,
    Hello,
    Updates,
    Welcome,
)
from syncline.engine.yjs.messages import SyncStep1, SyncStep2, Update
from syncline.relay.log import owners
from syncline.relay.log.ledger import COMPARED_BYTES, Ledger
from syncline.relay.log.owners import Writer
from syncline.relay.log.submission import Settled, Submission
from syncline.stores import MemoryStore
from syncline.upkeep.backup import backup, restore
from tests.engine.update_bytes import after, deletes, gc, item, section, text, update
from tests.relay.clients import PATIENCE, Author, connected
from tests.relay.editors import (
    EMPTY,
    NOTHING,
    hocuspocus_at,
    opened,
    synced,
    y_websocket_at,
)

HERS = Address("notes", "hers")
FOREIGN = b"belongs to another device"


class Passwords:
    """Everybody is whom their token names."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        if credentials.token is None:
            raise NotAuthenticated("There was no token.", hint="Bring one.")
        return Principal(credentials.token.partition("-")[0])

    def access(self, _who: Principal, _workspace: str, _address: Address | None) -> Access:
        return Access.WRITE


@asynccontextmanager
async def _ada_and_bob(tmp_path: Path, url: str) -> AsyncGenerator[Replica]:
    """Ada, who has written; in the end Bob has everything of hers."""
    async with (
        Replica.open(tmp_path / "ada.db", relay=f"{url}/crm") as ada,
        Replica.open(tmp_path / "bob.db", relay=f"{url}/crm") as bob,
        asyncio.timeout(PATIENCE),
    ):
        ada.document(str(HERS)).text("t").append("hello")
        await ada.synced()
        yield ada
        ada.document(str(HERS)).text("t").append(" and more")
        for replica in (ada, bob):
            await replica.synced()
            assert replica.status.refused == 0
            assert str(replica.document(str(HERS)).text("t")) == "hello and more"


def _client_of(replica: Replica) -> int:
    return replica._workspace.identity.client_id  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("forged", ["a text", "the clocks up to the last one"])
async def test_a_replica_cannot_write_under_the_client_id_of_another(
    tmp_path: Path, forged: str
) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        _ada_and_bob(tmp_path, relay.url) as ada,
        connected(relay.url) as eve,
    ):
        client = _client_of(ada)
        junk = item(4, text("junk")) if forged == "a text" else gc(1 << 25)
        await eve.greet()
        await eve.push(1, update(section(client, 5, junk)), address=HERS)
        await eve.push(2, update(section(7, 0, item(4, text("mine")))), address=HERS)
        await eve.push(3, update(section(client, 0, junk)), address=Address("notes", "new"))
        for foreign in (True, False, True):
            ack = await eve.hear(Ack)
            assert [each.code for each in ack.refused] == ["foreign-operations"] * foreign
        # What is there already may be brought again, and what others wrote may be deleted.
        seen = update(section(client, 0, item(4, text("hello"))))
        await eve.push(4, seen, update(deletes=deletes((7, [(0, 4)]))), address=HERS)
        assert (await eve.hear(Ack)).refused == ()


async def test_an_id_stays_its_owners_after_a_restart(tmp_path: Path) -> None:
    for opening in range(2):
        async with (
            Relay(tmp_path / "relay.db", port=0) as relay,
            connected(relay.url, "e" * 32) as eve,
            connected(relay.url, "a" * 32) as ada,
        ):
            await eve.greet(acknowledged=opening)
            if not opening:
                await ada.greet()
                await ada.push(1, update(section(5, 0, item(4, text("hello")))), address=HERS)
                assert (await ada.hear(Ack)).refused == ()
            await eve.push(opening + 1, update(section(5, 5, gc(1))), address=HERS)
            (refusal,) = (await eve.hear(Ack)).refused
            assert refusal.code == "foreign-operations"


async def test_an_editor_cannot_write_under_the_client_id_of_a_replica(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        _ada_and_bob(tmp_path, relay.url) as ada,
    ):
        forged = update(section(_client_of(ada), 5, item(4, text("junk"))))
        async with y_websocket_at(f"{relay.url}/crm/notes/hers") as eve:
            await synced(eve)
            await eve.say(Update(forged))
            # She is asked for what is missing, and has nothing else.
            while not isinstance(await eve.told(), SyncStep1):
                pass
            for _ in range(2):
                await eve.say(SyncStep2(forged))
            code, reason, _ = await eve.ended()
            assert code == 4403
            assert FOREIGN.decode() in reason
        async with hocuspocus_at(f"{relay.url}/crm") as eve:
            await opened(eve, str(HERS))
            await eve.say(str(HERS), Update(forged))
            for _ in range(2):
                await eve.say(str(HERS), SyncStep2(forged))
            while FOREIGN not in await eve.hear():
                pass


async def test_an_editor_cannot_write_under_the_client_id_of_another_principal(
    tmp_path: Path,
) -> None:
    typing = Author(77)
    async with Relay(tmp_path / "relay.db", port=0, authenticator=Passwords()) as relay:
        url = f"{relay.url}/crm/pad"
        async with y_websocket_at(f"{url}?token=ada") as ada:
            await synced(ada)
            await ada.say(Update(typing.type("hello")))
            await ada.told()  # it is stored
            async with y_websocket_at(f"{url}?token=eve") as eve:
                assert (await synced(eve)).update != NOTHING
                forged = update(section(77, 5, item(4, text("junk"))))
                await eve.say(Update(forged))
                for _ in range(2):
                    await eve.say(SyncStep2(forged))
                code, reason, _ = await eve.ended()
                assert (code, FOREIGN.decode() in reason) == (4403, True)
        # The same page connects again, with the client id that it has, and goes on.
        async with (
            y_websocket_at(f"{url}?token=ada-on-another-connection") as ada,
            y_websocket_at(f"{url}?token=bob") as bob,
        ):
            await synced(ada)
            await synced(bob)
            more = typing.type(" more")
            await ada.say(Update(more))
            while await bob.told() != Update(more):
                pass


async def test_without_principals_editors_are_one_and_go_on_when_tokens_come(
    tmp_path: Path,
) -> None:
    typing = Author(77)
    for word, passwords in (("one ", None), ("two ", Passwords()), ("three", Passwords())):
        async with (
            Relay(tmp_path / "relay.db", port=0, authenticator=passwords) as relay,
            y_websocket_at(f"{relay.url}/crm/pad?token=ada") as ada,
        ):
            await synced(ada)
            await ada.say(Update(typing.type(word)))
            await ada.told()
            async with y_websocket_at(f"{relay.url}/crm/pad?token=bob") as bob:
                step_2 = await synced(bob)
                assert word.strip().encode() in step_2.update


async def test_a_replica_id_belongs_to_the_principal_who_first_wrote_under_it(
    tmp_path: Path,
) -> None:
    async with Relay(tmp_path / "relay.db", port=0, authenticator=Passwords()) as relay:
        async with connected(relay.url) as ada:
            await ada.greet(token="ada")
            await ada.push(1, update(section(5, 0, item(4, text("hello")))))
            assert (await ada.hear(Ack)).refused == ()
        async with connected(relay.url) as eve:
            await eve.say(Hello((1,), "crm", eve.replica, 5, 0, 0, None, "eve"))
            error = await eve.hear(Error)
            assert error.code == "not-allowed"
            assert "belongs to somebody else than eve" in error.message
        async with connected(relay.url) as ada:
            assert (await ada.greet(token="ada", acknowledged=1)).batch == 1
            await ada.push(2, update(section(5, 5, after(5, 4, 4, text("!")))))
            assert (await ada.hear(Ack)).refused == ()


async def test_who_is_connected_when_another_claims_the_replica_id_is_told(
    tmp_path: Path,
) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0, authenticator=Passwords()) as relay,
        connected(relay.url) as ada,
        connected(relay.url) as eve,
    ):
        await eve.greet(token="eve")
        await ada.greet(token="ada")
        await ada.push(1, update(section(5, 0, item(4, text("hello")))))
        assert (await ada.hear(Ack)).refused == ()
        await eve.push(1, update(section(6, 0, item(4, text("junk")))))
        assert (await eve.hear(Error)).code == "not-allowed"


async def test_a_copied_store_passes_on_what_the_lost_one_had_written(tmp_path: Path) -> None:
    """It has another replica id, and operations of the first one's client id in its outbox."""
    async with Relay(tmp_path / "relay.db", port=0) as relay, asyncio.timeout(PATIENCE):
        url = f"{relay.url}/crm"
        async with Replica.open(tmp_path / "ada.db", relay=url) as ada:
            ada.document(str(HERS)).text("t").append("hello")
            await ada.synced()
        async with Replica.open(tmp_path / "ada.db") as ada:
            ada.document(str(HERS)).text("t").append(" offline")
        shutil.copy(tmp_path / "ada.db", tmp_path / "copy.db")
        async with (
            Replica.open(tmp_path / "copy.db", relay=url) as copy,
            Replica.open(tmp_path / "bob.db", relay=url) as bob,
        ):
            copy.document(str(HERS)).text("t").append(" copied")
            for replica in (copy, bob):
                await replica.synced()
                assert replica.status.refused == 0
                assert str(replica.document(str(HERS)).text("t")) == "hello offline copied"


@pytest.mark.parametrize("builds_on_it", [True, False])
async def test_a_replica_leaves_out_what_others_are_to_bring(
    tmp_path: Path, builds_on_it: bool
) -> None:
    """Carl has an operation under Ada's id that the relay does not take from him."""
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        _ada_and_bob(tmp_path, relay.url) as ada,
        Replica.open(tmp_path / "carl.db", relay=f"{relay.url}/crm") as carl,
    ):
        await carl.synced()
        workspace = carl._workspace  # pyright: ignore[reportPrivateUsage]
        document = workspace.documents.get(HERS)
        have = dict(document.state_vector())
        root = "t" if builds_on_it else "u"
        forged = update(section(_client_of(ada), 5, after(_client_of(ada), 4, 4, text("x"))))
        other = Address("notes", "other")
        workspace.receive_document(HERS, 0, forged)
        with document.transaction():
            document.text(root).insert(len(document.text(root).content()), "carl's")
        workspace.journal.add(HERS, 0, document.take_captured(), local=False)
        workspace.journal.offer(HERS, 0, document.diff(have))
        carl.document(str(other)).text("t").append("fine")
        await carl.synced()
        await workspace.journal.flushed()
        assert carl.status.refused == builds_on_it
        async with Replica.open(tmp_path / "dora.db", relay=f"{relay.url}/crm") as dora:
            await dora.synced()
            assert str(dora.document(str(HERS)).text("t")) == "hello"
            assert str(dora.document(str(HERS)).text("u")) == ("" if builds_on_it else "carl's")
            assert str(dora.document(str(other)).text("t")) == "fine"


@pytest.mark.parametrize("size", [10, COMPARED_BYTES + 10])
async def test_who_comes_second_under_one_name_is_told(tmp_path: Path, size: int) -> None:
    """The id belongs to nobody yet: it came in a document that an editor brought whole."""
    forged = update(section(5, 0, item(4, text("x" * size))))
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        y_websocket_at(f"{relay.url}/crm/{HERS}") as eve,
        connected(relay.url) as ada,
    ):
        await ada.greet()
        await eve.say(EMPTY)
        await eve.say(SyncStep2(forged))
        await ada.hear(Updates)
        await ada.push(1, update(section(5, 0, item(4, text("ada's")))), address=HERS)
        codes = [each.code for each in (await ada.hear(Ack)).refused]
        assert codes == (["operations-taken"] if size < 1_000 else [])
        again = update(section(5, 0, item(4, text("x" * 5))))
        await ada.push(2, again, address=HERS)
        assert (await ada.hear(Ack)).refused == ()


async def test_a_restored_relay_gets_what_others_wrote_from_whoever_has_it(
    tmp_path: Path,
) -> None:
    """Ada, who wrote it, never comes back; and her id is hers in the backup."""
    path, saved = tmp_path / "relay.db", tmp_path / "saved.db"
    async with asyncio.timeout(PATIENCE):
        async with Relay(path, port=0) as relay:
            url = f"{relay.url}/crm"
            async with (
                Replica.open(tmp_path / "ada.db", relay=url) as ada,
                Replica.open(tmp_path / "bob.db", relay=url) as bob,
            ):
                ada.document(str(HERS)).text("t").append("hello")
                await ada.synced()
                backup(path, saved)
                ada.document(str(HERS)).text("t").append(" and more")
                await ada.synced()
                await bob.synced()
                client = _client_of(ada)
        restore(saved, path, force=True)
        async with Relay(path, port=0) as relay:
            url = f"{relay.url}/crm"
            async with (
                Replica.open(tmp_path / "bob.db", relay=url) as bob,
                Replica.open(tmp_path / "carl.db", relay=url) as carl,
            ):
                await bob.synced()
                await carl.synced()
                assert bob.status.refused == 0
                assert str(carl.document(str(HERS)).text("t")) == "hello and more"
            # She owns her id again with what she writes once she has compared.
            for word in (" again", ""):
                async with Replica.open(tmp_path / "ada.db", relay=url) as ada:
                    ada.document(str(HERS)).text("t").append(word or "!")
                    await ada.synced()
            async with connected(relay.url) as eve:
                await eve.greet()
                await eve.push(1, update(section(client, 22, gc(1))), address=HERS)
                (refusal,) = (await eve.hear(Ack)).refused
                assert refusal.code in ("foreign-operations", "missing-dependencies")
                await eve.push(2, update(section(client, 0, gc(1))), address=Address("n", "x"))
                assert [each.code for each in (await eve.hear(Ack)).refused] == [
                    "foreign-operations"
                ]


@pytest.mark.parametrize("kept", [2, owners._KEPT])  # pyright: ignore[reportPrivateUsage]
def test_an_owner_who_was_let_go_is_looked_up_again(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_KEPT", kept)
    store = MemoryStore()
    store.open()
    ledger = Ledger(store)

    def refused(principal: str, client: int, clock: int) -> int:
        entry = Entry(HERS, update(section(client, clock, item(4, text("x")))))
        submission = Submission("crm", principal, (entry,), writer=Writer(principal), live=True)
        ((outcome,), _) = ledger.commit([submission])
        assert isinstance(outcome, Settled)
        return len(outcome.refusals)

    for client in range(5):
        assert refused("ada", client, 0) == 0
    for client in range(5):
        assert refused("eve", client, 1) == 1
        assert refused("ada", client, 1) == 0


async def test_a_hello_names_so_many_former_replicas(tmp_path: Path) -> None:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        for count, kind in ((MAX_FORMER, Welcome), (MAX_FORMER + 1, Error)):
            former = tuple(f"{number:032x}" for number in range(count))
            async with connected(relay.url) as client:
                await client.say(Hello((1,), "crm", client.replica, 5, 0, 0, None, former=former))
                await client.hear(kind)
