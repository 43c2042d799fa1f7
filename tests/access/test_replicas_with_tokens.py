"""Replicas at a relay that knows who they are: real sockets, a real store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.access.access import Access, Credentials, Principal
from syncline.access.token_file import RELOAD_SECONDS, TokenFile
from syncline.engine.document.document import EMPTY_UPDATE
from syncline.engine.errors import NotAllowed, NotAuthenticated, SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    Ack,
    Advance,
    CaughtUp,
    Compare,
    Digests,
    DocumentUpdate,
    Enumerate,
    Error,
    Fetch,
    Hello,
    Ping,
    States,
    Updates,
    Welcome,
)
from syncline.engine.yjs.messages import QueryAwareness, SyncStep1, SyncStep2, Update
from syncline.transports import connect_websocket
from syncline.upkeep.backup import backup, restore
from tests.access.tokens import ADMIN, NOTE, PAGES, READER, TABLES, Clock, token_file
from tests.relay.clients import Author, Client
from tests.relay.editors import y_websocket_at

PATIENCE = 60.0
CARD = "cards/secret"
WELCOME = "pages/welcome"
SECRET = b"do not show"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def relay(tmp_path: Path, clock: Clock) -> AsyncGenerator[Relay]:
    tokens = TokenFile(token_file(tmp_path), now=clock)
    async with Relay(tmp_path / "relay.db", port=0, authenticator=tokens) as relay:
        yield relay


@asynccontextmanager
async def replica(
    folder: Path, name: str, relay: Relay, token: str | None
) -> AsyncGenerator[Replica]:
    url = f"{relay.url}/crm"
    async with Replica.open(folder / f"{name}.db", relay=url, token=token) as opened:
        yield opened


async def synced(*replicas: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        for each in replicas:
            await each.synced()
            await each.flushed()  # what was refused is counted in the store


def write(replica: Replica, address: str, text: str) -> None:
    replica.document(address).text("body").append(text)


def read(replica: Replica, address: str) -> str:
    return str(replica.document(address).text("body"))


@asynccontextmanager
async def connected(relay: Relay, token: str | None) -> AsyncGenerator[Client]:
    """A client that has said hello."""
    transport = await connect_websocket(f"{relay.url}/crm")
    try:
        client = Client(transport, "c" * 32)
        await client.say(Hello((1,), "crm", client.replica, 5, 0, 0, None, token))
        yield client
    finally:
        await transport.close()


# Coming in


@pytest.mark.parametrize("token", [None, "unknown"])
async def test_who_is_not_known_is_told_so_and_gives_up(
    tmp_path: Path, relay: Relay, token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(relay, token) as client:
        error = await client.hear(Error)
        assert (error.code, error.retry_after) == ("not-authenticated", None)
        assert await client.ended() == 1008
    async with replica(tmp_path, "a", relay, token) as stranger:
        write(stranger, WELCOME, "kept")
        with pytest.raises(NotAuthenticated):
            await synced(stranger)
        assert stranger.status.link == "failed"
        assert (stranger.pending, stranger.status.refused) == (1, 0)
        await stranger.connect(f"{relay.url}/crm", token=ADMIN)
        await synced(stranger)
        assert stranger.pending == 0
    assert "unknown" not in caplog.text
    assert ADMIN not in caplog.text


async def test_a_workspace_that_is_not_theirs(tmp_path: Path, relay: Relay) -> None:
    async with Replica.open(tmp_path / "a.db") as stranger:
        with pytest.raises(NotAllowed, match="pages may not use the workspace hr"):
            await stranger.connect(f"{relay.url}/hr", token=PAGES)
        with pytest.raises(SynclineError):
            await stranger.synced()


class Failing:
    """An authenticator that fails, as one whose database is away."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        raise LookupError("the database is away")


async def test_an_authenticator_that_fails_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0, authenticator=Failing()) as relay,
        connected(relay, ADMIN) as client,
    ):
        error = await client.hear(Error)
        assert error.code == "authentication-failed"
        assert error.retry_after
        assert "LookupError: the database is away" in caplog.text  # with its traceback
        assert "away" not in error.message + error.hint


# Writing


async def test_a_reader_reads_and_its_changes_are_set_aside(tmp_path: Path, relay: Relay) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        replica(tmp_path, "r", relay, READER) as reader,
    ):
        write(admin, WELCOME, "hello")
        await synced(admin, reader)
        assert read(reader, WELCOME) == "hello"
        write(reader, WELCOME, " me too")
        await synced(reader, admin)
        assert (reader.pending, reader.status.refused) == (0, 1)
        assert read(admin, WELCOME) == "hello"
        assert reader.status.link == "online"
        write(admin, WELCOME, "!")
        await synced(admin, reader)
        assert read(reader, WELCOME).replace(" me too", "") == "hello!"


async def test_of_a_batch_only_the_entry_is_refused_that_is_not_allowed(
    tmp_path: Path, relay: Relay
) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        replica(tmp_path, "p", relay, PAGES) as pages,
    ):
        with pages.transaction("both"):
            write(pages, WELCOME, "mine")
            write(pages, CARD, "not mine")
        await synced(pages, admin)
        assert (read(admin, WELCOME), read(admin, CARD)) == ("mine", "")
        assert (pages.pending, pages.status.refused) == (0, 1)
        assert pages.status.link == "online"


async def test_a_refusal_is_the_same_when_the_batch_comes_again(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    """The receipt holds the refusal: rights that change between do not split one batch in two."""
    update = Author().type("x")
    for rights in ("read", "write"):
        token_file(tmp_path, {READER: f'name = "reader"\naccess = "{rights}"\n'})
        clock.now += RELOAD_SECONDS
        async with connected(relay, READER) as client:
            await client.hear(Welcome)
            await client.push(1, update)
            ack = await client.hear(Ack)
            assert [each.code for each in ack.refused] == ["not-allowed"]


# Reading


async def test_what_one_may_not_read_never_comes(tmp_path: Path, relay: Relay) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        replica(tmp_path, "p", relay, PAGES) as pages,
    ):
        for number in range(3):  # live
            with admin.transaction("both"):
                write(admin, WELCOME, str(number))
                write(admin, CARD, SECRET.decode())
            write(admin, CARD, SECRET.decode())
            await synced(admin, pages)
        await pages.disconnect()
        for number in range(3, 6):  # in catch-up
            with admin.transaction("both"):
                write(admin, WELCOME, str(number))
                write(admin, CARD, SECRET.decode())
        write(admin, CARD, SECRET.decode())
        await synced(admin)
        await pages.connect(f"{relay.url}/crm")
        async with replica(tmp_path, "late", relay, PAGES) as late:
            await synced(pages, late)
            for each in (pages, late):
                assert each.to_dict() == {"pages": admin.to_dict()["pages"]}
                assert each.status.cursor == admin.status.cursor
    for store in ("p.db", "late.db"):
        content = await asyncio.to_thread((tmp_path / store).read_bytes)
        assert b"welcome" in content
        assert b"secret" not in content
        assert SECRET not in content


async def test_frames_hold_only_what_may_be_read(tmp_path: Path, relay: Relay) -> None:
    async with replica(tmp_path, "a", relay, ADMIN) as admin, connected(relay, NOTE) as client:
        await client.hear(CaughtUp)
        with admin.transaction("three"):
            for address in ("pages/note", WELCOME, CARD):
                write(admin, address, "x")
        await synced(admin)
        updates = await client.hear(Updates)
        assert [str(entry.address) for entry in updates.entries] == ["pages/note"]
        assert (updates.since, updates.cursor) == (0, 3)
        write(admin, CARD, "x")
        await synced(admin)
        advance = await client.hear(Advance)
        assert (advance.since, advance.cursor) == (3, 4)


async def test_who_may_read_all_gets_the_frame_of_all(tmp_path: Path, relay: Relay) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        connected(relay, READER) as client,
    ):
        await client.hear(CaughtUp)
        with admin.transaction("two"):
            write(admin, WELCOME, "x")
            write(admin, CARD, "x")
        await synced(admin)
        assert len((await client.hear(Updates)).entries) == 2


@pytest.mark.slow
async def test_questions_are_answered_as_if_the_rest_were_not_there(
    tmp_path: Path, relay: Relay
) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        connected(relay, NOTE) as client,
    ):
        write(admin, "pages/note", "shown")
        await synced(admin)
        await client.hear(Welcome)
        await client.say(Compare(None))
        alone = await client.hear(Digests)
        for number in range(600):  # more than two ranges of documents that are not shown
            write(admin, f"cards/{number}", "x")
            write(admin, f"zoo/{number}", "x")
        await synced(admin)
        await client.say(Compare(None))
        assert await client.hear(Digests) == alone
        assert [each.until for each in alone.ranges] == [None]
        await client.say(Enumerate(None, None))
        states = await client.hear(States)
        assert [str(each.address) for each in states.documents] == ["pages/note"]
        assert states.until is None
        for address in ("cards/1", "cards/none"):
            await client.say(Fetch(Address.parse(address), 3, b"\0"))
            answer = await client.hear(DocumentUpdate)
            assert (answer.epoch, answer.update) == (3, EMPTY_UPDATE)
        await client.say(Fetch(Address("pages", "note"), 0, b"\0"))
        assert (await client.hear(DocumentUpdate)).update != EMPTY_UPDATE


@pytest.mark.slow
async def test_the_ends_of_ranges_are_documents_that_may_be_read(
    tmp_path: Path, relay: Relay
) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        connected(relay, PAGES) as client,
    ):
        for number in range(600):
            write(admin, f"{'pages' if number % 2 else 'others'}/{number:03}", "x")
        await synced(admin)
        await client.hear(Welcome)
        await client.say(Compare(None))
        ends = [each.until for each in (await client.hear(Digests)).ranges]
        assert ends == [Address("pages", "499"), None]


@pytest.mark.slow
async def test_a_restored_relay_is_filled_by_each_with_what_it_may(
    tmp_path: Path, clock: Clock
) -> None:
    tokens = TokenFile(token_file(tmp_path), now=clock)
    opened = Relay(tmp_path / "relay.db", port=0, authenticator=tokens)
    async with opened as relay:
        port = relay.port
        async with (
            replica(tmp_path, "a", relay, ADMIN) as admin,
            replica(tmp_path, "p", relay, PAGES) as pages,
            replica(tmp_path, "r", relay, READER) as reader,
        ):
            write(admin, WELCOME, "before")
            write(admin, CARD, "before")
            await synced(admin, pages, reader)
            await asyncio.to_thread(backup, tmp_path / "relay.db", tmp_path / "backup.db")
            write(pages, WELCOME, " after")
            write(admin, CARD, " after")
            await synced(pages, admin, reader)
            expected = admin.to_dict()
    restore(tmp_path / "backup.db", tmp_path / "restored.db")
    async with Relay(tmp_path / "restored.db", port=port, authenticator=tokens) as relay:
        async with replica(tmp_path, "r", relay, READER) as reader:
            await synced(reader)  # it may not give back what it has
            assert reader.to_dict() == expected
        async with replica(tmp_path, "p", relay, PAGES) as pages:
            await synced(pages)
            assert pages.to_dict() == {"pages": expected["pages"]}
            assert (pages.pending, pages.status.refused) == (0, 0)
        async with replica(tmp_path, "new", relay, ADMIN) as fresh:
            await synced(fresh)
            assert fresh.to_dict()["pages"] == expected["pages"]
            assert read(fresh, CARD) == "before"  # the admin has not come back yet
            async with replica(tmp_path, "a", relay, ADMIN) as admin:
                await synced(admin, fresh)
            assert fresh.to_dict() == expected


# When rights change


async def test_a_token_taken_back_ends_its_connection_with_the_next_frame(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    async with (
        connected(relay, READER) as silent,
        connected(relay, READER) as talking,
        replica(tmp_path, "a", relay, ADMIN) as admin,
    ):
        await silent.hear(CaughtUp)
        await talking.hear(CaughtUp)
        token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
        clock.now = RELOAD_SECONDS
        await talking.say(Ping(1))
        error = await talking.hear(Error)
        assert error.code == "not-allowed"
        assert error.retry_after  # it may come back, and is then looked at anew
        assert await talking.ended() == 1008
        write(admin, WELCOME, "x")
        await synced(admin)
        assert (await silent.hear(Error)).code == "not-allowed"  # and not the change
        assert admin.status.link == "online"


async def test_a_batch_that_comes_after_the_token_was_taken_back_is_not_lost(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    """It is not refused, which would take it from the outbox: another token may bring it."""
    update = Author().type("x")
    async with connected(relay, ADMIN) as client:
        await client.hear(CaughtUp)
        token_file(tmp_path, {PAGES: TABLES[PAGES]})
        clock.now = RELOAD_SECONDS
        await client.push(1, update)
        assert (await client.hear(Error)).code == "not-allowed"
    async with connected(relay, PAGES) as client:
        assert (await client.hear(Welcome)).batch == 0
        await client.push(1, update)
        assert (await client.hear(Ack)).refused == ()


@pytest.mark.slow
async def test_a_replica_whose_token_is_taken_back_gives_up(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    async with replica(tmp_path, "r", relay, READER) as reader:
        await synced(reader)
        token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
        clock.now = RELOAD_SECONDS
        with pytest.raises(NotAuthenticated):
            await synced(reader)


@pytest.mark.slow
async def test_what_may_be_read_from_now_on_comes_whole(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        replica(tmp_path, "n", relay, NOTE) as note,
    ):
        for address in ("pages/note", WELCOME, CARD):
            write(admin, address, "long ago")
        write(admin, "pages/note", "!")
        await synced(admin, note)
        assert list(note.to_dict()) == ["pages"]
        write(note, "pages/note", " refused")
        await synced(note)
        assert note.status.refused == 1
        wider = {**TABLES, NOTE: 'name = "note"\naccess = "write"\ncollections = ["pages"]\n'}
        token_file(tmp_path, wider)
        clock.now = RELOAD_SECONDS
        await synced(note, admin)
        # It has what was committed when it could not read it; and what was refused is offered
        # again, because the relay compares with it.
        assert note.to_dict() == {"pages": admin.to_dict()["pages"]}
        assert read(admin, "pages/note") == "long ago! refused"
        assert read(note, WELCOME) == "long ago"


@pytest.mark.slow
async def test_what_may_no_longer_be_read_stays_as_it_was(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    async with (
        replica(tmp_path, "a", relay, ADMIN) as admin,
        replica(tmp_path, "r", relay, READER) as reader,
    ):
        write(admin, WELCOME, "old")
        write(admin, CARD, "old")
        await synced(admin, reader)
        narrower = {**TABLES, READER: 'name = "reader"\naccess = "read"\ncollections = ["pages"]\n'}
        token_file(tmp_path, narrower)
        clock.now = RELOAD_SECONDS
        write(admin, WELCOME, " new")
        write(admin, CARD, " new")
        await synced(admin, reader)
        assert (read(reader, WELCOME), read(reader, CARD)) == ("old new", "old")
        assert (reader.pending, reader.status.link) == (0, "online")
        assert reader.status.refused == 1  # it offered what the relay no longer shows it


class ByName:
    """An authorizer of one's own, beside a TokenFile as authenticator."""

    def access(self, principal: Principal, workspace: str, address: Address | None) -> Access:
        return Access.WRITE if principal.name == "reader" else Access.NONE


async def test_an_authorizer_of_ones_own(tmp_path: Path) -> None:
    tokens = TokenFile(token_file(tmp_path))
    async with Relay(
        tmp_path / "relay.db", port=0, authenticator=tokens, authorizer=ByName()
    ) as relay:
        async with replica(tmp_path, "r", relay, READER) as reader:
            write(reader, WELCOME, "x")
            await synced(reader)
            assert reader.status.refused == 0
        async with replica(tmp_path, "a", relay, ADMIN) as admin:
            with pytest.raises(NotAllowed):
                await synced(admin)


async def test_nothing_that_is_logged_shows_a_token(
    tmp_path: Path, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with replica(tmp_path, "a", relay, ADMIN) as admin:
        write(admin, WELCOME, "x")
        await synced(admin)
        assert ADMIN not in repr(admin.status)
    async with connected(relay, "never-seen") as client:
        await client.ended()
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("syncline")]
    assert ours
    assert not [each for each in ours if ADMIN in each or "never-seen" in each]
    assert ADMIN not in repr(Hello((1,), "crm", "r", 5, 0, 0, None, ADMIN))
    assert ADMIN not in repr(Credentials(ADMIN, {"authorization": f"Bearer {ADMIN}"}))


async def test_an_editor_whose_token_is_taken_back_sees_nobody(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    async with y_websocket_at(f"{relay.url}/crm/{WELCOME}?token={READER}") as reader:
        await reader.say(SyncStep1(b"\0"))
        assert isinstance(await reader.told(), SyncStep1)
        assert isinstance(await reader.told(), SyncStep2)
        token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
        clock.now = RELOAD_SECONDS
        await reader.say(QueryAwareness())
        assert (await reader.ended())[0] == 4403


async def test_an_editor_may_what_its_token_may_now(
    tmp_path: Path, clock: Clock, relay: Relay
) -> None:
    """It has one document and compares anyway: it need not connect again."""
    async with y_websocket_at(f"{relay.url}/crm/{WELCOME}?token={READER}") as editor:
        await editor.say(SyncStep1(b"\0"))
        assert isinstance(await editor.told(), SyncStep1)
        assert isinstance(await editor.told(), SyncStep2)
        token_file(tmp_path, {**TABLES, READER: 'name = "reader"\naccess = "write"\n'})
        clock.now = RELOAD_SECONDS
        await editor.say(Update(Author().type("x")))
        async with replica(tmp_path, "a", relay, ADMIN) as admin, asyncio.timeout(PATIENCE):
            while read(admin, WELCOME) != "x":
                await admin.synced()
