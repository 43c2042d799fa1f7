"""What the relay says to Yjs clients, frame by frame; tests/interop has the real clients."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector
from syncline.engine.yjs.hocuspocus import encode as about
from syncline.engine.yjs.messages import (
    Authenticated,
    Awareness,
    Client,
    Close,
    QueryAwareness,
    Stateless,
    SyncStep1,
    SyncStep2,
    Update,
)
from syncline.environment import wall_clock
from syncline.relay.editors import connection as editor
from syncline.relay.editors import turned_away
from syncline.relay.editors.stateless import StatelessMessage
from syncline.relay.log import room
from syncline.stores import SqlStore
from syncline.upkeep.rebuilding import rebuild_document
from tests.relay.clients import Author, text_of
from tests.relay.editors import (
    EMPTY,
    NOTHING,
    STORED,
    A,
    B,
    frame_about,
    hocuspocus_at,
    opened,
    synced,
    y_websocket_at,
)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncGenerator[Relay]:
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        yield relay


# Who is who


@pytest.mark.parametrize(
    ("path", "first", "code", "reason"),
    [
        ("/crm", '{"type":"hello"}', 1002, 'the subprotocol "syncline" is needed'),
        ("/crm", b"\0\0\1\0", 4400, "the URL names no document"),
        ("/crm/pages/a", frame_about("pages/a", 0, 0, b"\1\0"), 4400, "ends in /crm"),
        ("/crm/", b"\0\0\1\0", 4400, "the URL names no document"),
        ("/C%20R%20M/pages/a", b"\0\0\1\0", 4400, "cannot name a workspace"),
        ("/crm/pages/a%2Fb", b"\0\0\1\0", 4400, "contains '/'"),
        ("/crm/pages/", b"\0\0\1\0", 4400, "is empty"),
        ("/crm/Pages/a", b"\0\0\1\0", 4400, "cannot name a collection"),
        ("/crm/pages/a%FF", b"\0\0\1\0", 4400, "contains"),
        ("/crm/pages/a", b"\0\3", 4400, "unknown type 3"),
        ("/crm/pages/a", b"\0", 4400, "ends early"),
        ("/crm", b"\5", 4400, "announces 5 bytes"),
        ("/crm", b"", 4400, "ends early"),
    ],
)
async def test_who_speaks_nothing_that_is_spoken_here(
    relay: Relay, path: str, first: bytes | str, code: int, reason: str
) -> None:
    async with y_websocket_at(f"{relay.url}{path}") as client:
        await client.send(first)
        ended, why, _ = await client.ended()
        assert (ended, reason in why) == (code, True), why


async def test_a_name_without_a_slash_is_in_documents(relay: Relay, tmp_path: Path) -> None:
    async with y_websocket_at(f"{relay.url}/crm/readme") as client:
        await synced(client)
        await client.say(Update(Author().type("x")))
        await client.told()  # it is stored
        async with Replica.open(tmp_path / "r.db", relay=f"{relay.url}/crm") as replica:
            await replica.synced()
            assert str(replica.document("documents/readme").text("body")) == "x"


# Syncing


async def test_the_recorded_conversation_of_a_hocuspocus_client(relay: Relay) -> None:
    # As in the trace: the token first, and without waiting, step 1 and awareness.
    async with hocuspocus_at(f"{relay.url}/crm") as client:
        await client.authenticate("doc", "tok", "4.8.0")
        await client.say("doc", EMPTY)
        await client.say("doc", Awareness((Client(1, 0, "{}"),)))
        assert await client.hear() == bytes.fromhex("03646f6302020a726561642d7772697465")
        frames = [await client.hear() for _ in range(4)]
        # Step 1 comes before step 2, whatever else comes between.
        step_1 = frames.index(bytes.fromhex("03646f63000001" + "00"))
        assert frames.index(bytes.fromhex("03646f630001020000")) == step_1 + 1
        # It hears that it has gone, at its own clock, and is asked: so it raises its clock.
        assert about("doc", Awareness((Client(1, 0, None),))) in frames
        assert about("doc", QueryAwareness()) in frames
        await client.say("doc", SyncStep2(NOTHING))
        assert await client.hear() == bytes.fromhex("03646f630801")
        await client.say("doc", Update(Author().type("x")))
        assert await client.hear() == bytes.fromhex("03646f630801")
        await client.say("doc", Close())
        assert await client.hear() == about("doc", Close("provider_initiated"))
        # The document may be opened again.
        await opened(client, "doc")


async def test_an_update_reaches_all_and_its_author_by_y_websocket(relay: Relay) -> None:
    url = f"{relay.url}/crm"
    ada, bob = Author(2**33), Author(2**34)
    async with (
        y_websocket_at(f"{url}/pages/a") as first,
        y_websocket_at(f"{url}/pages/a") as second,
        hocuspocus_at(url) as third,
    ):
        await synced(first)
        await synced(second)
        await opened(third, A)
        update = ada.type("one")
        await first.say(Update(update))
        assert await second.told() == Update(update)
        assert await third.hear() == about(A, Update(update))
        assert await first.told() == Update(update)  # which is its acknowledgement
        answer = bob.type("two")
        await third.say(A, Update(answer))
        assert await third.hear() == about(A, STORED)
        assert await first.told() == Update(answer)
        assert await second.told() == Update(answer)
        await first.say(Update(ada.type("three")))
        assert await third.hear() == about(A, await first.told())  # and not its own before


async def test_what_an_editor_wrote_offline_comes_back_to_it(relay: Relay) -> None:
    async with y_websocket_at(f"{relay.url}/crm/{A}") as client:
        await synced(client)
        await client.say(SyncStep2(Author().type("offline")))
        confirmed = await client.told()
        assert isinstance(confirmed, Update)
        assert text_of(confirmed.update) == "offline"


async def test_two_sessions_of_one_document_on_one_connection(relay: Relay) -> None:
    async with hocuspocus_at(f"{relay.url}/crm") as client:
        one, two = f"{A}\0aaaaaaaaaaa", f"{A}\0bbbbbbbbbbb"
        await opened(client, one)
        await opened(client, two)
        update = Author().type("x")
        await client.say(one, Update(update))
        assert {await client.hear(), await client.hear()} == {
            about(one, STORED),
            about(two, Update(update)),
        }


async def test_what_is_sent_again_at_every_connection_is_stored_once(
    relay: Relay, tmp_path: Path
) -> None:
    # A step 2 has all deletions that the client knows, always.
    ada = Author()
    whole = ada.type("hello")
    deletion = ada.delete(1, 2)

    def log_rows() -> int:
        with sqlite3.connect(tmp_path / "relay.db") as database:
            (count,) = database.execute("SELECT count(*) FROM syncline_updates").fetchone()
            return int(count)

    async with hocuspocus_at(f"{relay.url}/crm") as client:
        await opened(client, A)
        for update in (whole, deletion):
            await client.say(A, Update(update))
            assert await client.hear() == about(A, STORED)
    before = log_rows()
    async with (
        hocuspocus_at(f"{relay.url}/crm") as client,
        y_websocket_at(f"{relay.url}/crm/{A}") as other,
    ):
        await synced(other)
        await opened(client, A)
        await client.say(A, SyncStep2(ada.everything()))
        assert await client.hear() == about(A, STORED)
        assert log_rows() == before
        # Only what is new is stored and sent on.
        news = ada.type("!")
        await client.say(A, SyncStep2(ada.everything()))
        assert await client.hear() == about(A, STORED)
        assert log_rows() == before + 1
        sent = await other.told()
        assert isinstance(sent, Update)
        assert len(sent.update) <= len(news)
    assert text_of(whole, deletion, sent.update) == ada.text()


async def test_a_change_is_acknowledged_and_shown_after_its_commit(
    relay: Relay, tmp_path: Path
) -> None:
    url = f"{relay.url}/crm"
    async with hocuspocus_at(url) as writer, y_websocket_at(f"{url}/{A}") as reader:
        await opened(writer, A)
        await synced(reader)
        with sqlite3.connect(tmp_path / "relay.db", isolation_level=None) as database:
            database.execute("BEGIN IMMEDIATE")  # nobody else commits now
            update = Author().type("x")
            await writer.say(A, Update(update))
            # Something else that the relay answers later shows that nothing came before it.
            await writer.authenticate(B)
            await writer.say(B, EMPTY)
            assert await writer.hear() == about(B, Authenticated(read_only=False))
            await reader.say(EMPTY)
            assert isinstance(await reader.told(), SyncStep1)
            assert await reader.told() == SyncStep2(NOTHING)
            database.execute("ROLLBACK")
        await writer.hear_until(about(A, STORED))
        assert await reader.told() == Update(update)


async def test_a_change_that_builds_on_something_unknown_is_made_up_for(relay: Relay) -> None:
    ada = Author()
    first, second = ada.type("one "), ada.type("two")
    async with hocuspocus_at(f"{relay.url}/crm") as client:
        await opened(client, A)
        await client.say(A, Update(second))  # the first was lost
        assert await client.hear() == about(A, SyncStep1(b"\0"))
        await client.say(A, SyncStep2(ada.everything()))
        assert await client.hear() == about(A, STORED)  # once: the client counts
        await client.say(A, EMPTY)
        step_1 = await client.hear()
        assert step_1 == about(A, SyncStep1(encode_state_vector({ada.client: 7})))
    assert text_of(first, second) == "one two"


async def test_a_slow_editor_catches_up_from_the_store(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "RECENT_BYTES", 0)  # nothing is remembered
    ada = Author()
    async with (
        hocuspocus_at(f"{relay.url}/crm") as writer,
        y_websocket_at(f"{relay.url}/crm/{A}") as reader,
    ):
        await opened(writer, A)
        await synced(reader)
        held: list[bytes] = []
        for word in ("one ", "two ", "three"):
            await writer.say(A, Update(ada.type(word)))
            await writer.hear_until(about(A, STORED))
            told = await reader.told()
            assert isinstance(told, Update)
            held.append(told.update)
        assert text_of(*held) == "one two three"


# Refusals


async def test_a_refused_update_denies_the_document_with_the_reason(relay: Relay) -> None:
    url = f"{relay.url}/crm"
    async with hocuspocus_at(url) as client, y_websocket_at(f"{url}/{A}") as other:
        await opened(client, A)
        await opened(client, B)
        await synced(other)
        await client.say(A, Update(b"\7nonsense"))
        denied = await client.hear()
        assert denied.startswith(frame_about(A, 2, 1)), denied
        assert b"is not valid" in denied, denied
        assert (await client.hear()).startswith(frame_about(A, 7))
        # What the client sends before it has heard of it is dropped; it may try again.
        await client.say(A, Update(Author().type("x")))
        await client.say(A, EMPTY)
        await client.say(B, Update(Author().type("y")))
        assert await client.hear() == about(B, STORED)
        await opened(client, A)
        await other.say(Update(b"\7nonsense"))
        code, reason, frames = await other.ended()
        assert (code, "is not valid" in reason) == (4403, True)
        assert frames[-1].startswith(b"\2\0")


async def test_who_comes_again_with_what_was_refused_is_not_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_asked(relay: Relay, has: SyncStep1) -> bool:
        """Whether an editor that has this is asked for what the relay lacks; that is refused."""
        async with y_websocket_at(f"{relay.url}/crm/{A}") as client:
            await client.say(has)
            asked = await client.hear() == b"\0\0\1\0"
            await client.say(SyncStep2(b"\7nonsense"))
            code, reason, _ = await client.ended()
            assert (code, "is not valid" in reason) == (4403, True)
            return asked

    held = SyncStep1(encode_state_vector({7: 9}))
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        assert await is_asked(relay, held)
        assert not await is_asked(relay, held)
        assert await is_asked(relay, SyncStep1(encode_state_vector({7: 10})))
        assert await is_asked(relay, EMPTY)
        assert await is_asked(relay, EMPTY)  # as everybody who comes for the first time
    monkeypatch.setattr(turned_away, "TURNED_AWAY_SECONDS", 0.0)
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        assert await is_asked(relay, held)
        assert await is_asked(relay, held)  # long enough after


async def test_a_bad_frame_denies_one_document_of_a_connection(relay: Relay) -> None:
    async with hocuspocus_at(f"{relay.url}/crm") as client:
        await opened(client, A)
        await opened(client, B)
        await client.send(frame_about(A, 6, "to all"))
        assert (await client.hear()).startswith(frame_about(A, 2, 1))
        assert (await client.hear()).startswith(frame_about(A, 7))
        await client.say(B, Update(Author().type("y")))
        assert await client.hear() == about(B, STORED)
        await client.send(frame_about(B, 99, "from the future"))  # is ignored
        await client.send(b"\x0a")  # a pong
        await client.say(B, Update(Author(2**35).type("z")))
        assert await client.hear() == about(B, STORED)


async def test_an_invalid_name_is_denied_with_a_sentence(relay: Relay) -> None:
    async with hocuspocus_at(f"{relay.url}/crm") as client:
        await client.authenticate("a/b/c")
        denied = await client.hear()
        assert denied.startswith(frame_about("a/b/c", 2, 1))
        assert b"contains '/'" in denied
        await opened(client, A)


async def test_a_database_that_is_away_ends_the_connection_until_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncline.stores.databases import sqlite

    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    ada = Author()
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        url = f"{relay.url}/crm"
        async with hocuspocus_at(url) as one, y_websocket_at(f"{url}/{A}") as two:
            await opened(one, A)
            await synced(two)
            with sqlite3.connect(tmp_path / "relay.db", isolation_level=None) as database:
                database.execute("BEGIN IMMEDIATE")
                await one.say(A, Update(ada.type("x")))
                assert (await one.ended())[0] == 1013  # both clients connect again after this
                await two.say(Update(Author(2**35).type("y")))
                assert (await two.ended())[0] == 1013
                database.execute("ROLLBACK")
        async with hocuspocus_at(url) as one:
            await opened(one, A)
            await one.say(A, SyncStep2(ada.everything()))
            assert await one.hear() == about(A, STORED)


async def test_an_editor_with_the_former_history_of_a_rebuilt_document_is_told(
    tmp_path: Path,
) -> None:
    path, ada = tmp_path / "relay.db", Author()
    async with Relay(path, port=0) as relay, hocuspocus_at(f"{relay.url}/crm") as client:
        await opened(client, A)
        for word in ("one ", "two"):
            await client.say(A, Update(ada.type(word)))
            assert await client.hear() == about(A, STORED)
    store = SqlStore(path)
    store.open()
    rebuild_document(store, "crm", Address.parse(A), wall_clock)
    store.close()
    async with Relay(path, port=0) as relay:
        url = f"{relay.url}/crm"
        async with hocuspocus_at(url) as client:
            await client.authenticate(A)
            await client.say(A, SyncStep1(encode_state_vector({ada.client: 7})))
            assert await client.hear() == about(A, Authenticated(read_only=False))
            denied = await client.hear()
            assert denied.startswith(frame_about(A, 2, 1))
            assert b"pages/a was rebuilt at the relay" in denied
        async with y_websocket_at(f"{url}/{A}") as fresh:
            step_2 = await synced(fresh)  # a page that was loaded anew
            assert text_of(step_2.update) == "one two"
            new = Author(2**35)
            new.document.apply(step_2.update)
            await fresh.say(Update(new.type("!")))
            async with y_websocket_at(f"{url}/{A}") as again:
                await again.say(SyncStep1(encode_state_vector(new.document.state_vector())))
                assert isinstance(await again.told(), SyncStep1)


# Presence


async def test_a_dropped_socket_takes_its_cursor_along(relay: Relay) -> None:
    url = f"{relay.url}/crm"
    async with y_websocket_at(f"{url}/{A}") as ada, hocuspocus_at(url) as bob:
        await opened(bob, A)
        await ada.say(EMPTY)
        await ada.say(Awareness((Client(7, 3, '{"name":"Ada"}'),)))
        assert await bob.hear() == about(A, Awareness((Client(7, 3, '{"name":"Ada"}'),)))
        ada.break_off()
        assert await bob.hear() == about(A, Awareness((Client(7, 3, None),)))
        # And back, at the clock that it had.
        async with y_websocket_at(f"{url}/{A}") as again:
            await again.say(EMPTY)
            await again.say(Awareness((Client(7, 3, '{"name":"Ada"}'),)))
            assert await bob.hear() == about(A, Awareness((Client(7, 3, '{"name":"Ada"}'),)))


async def test_who_asks_or_comes_late_is_told_of_everybody(relay: Relay) -> None:
    url = f"{relay.url}/crm"
    async with y_websocket_at(f"{url}/{A}") as ada:
        await ada.say(EMPTY)
        await ada.say(Awareness((Client(7, 3, "{}"),)))
        await ada.say(QueryAwareness())
        async with y_websocket_at(f"{url}/{A}") as bob:
            await bob.say(EMPTY)
            heard = [await bob.told() for _ in range(3)]
            assert Awareness((Client(7, 3, "{}"),)) in heard
            await bob.say(QueryAwareness())
            assert await bob.told() == Awareness((Client(7, 3, "{}"),))


async def test_a_quiet_editor_gets_a_sign_of_life(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "KEEP_ALIVE_SECONDS", 0.05)
    url = f"{relay.url}/crm"
    async with (
        y_websocket_at(f"{url}/{A}") as y_websocket,
        hocuspocus_at(url) as v3,
        hocuspocus_at(url) as v4,
    ):
        await y_websocket.say(EMPTY)
        await v3.authenticate(A)
        await v4.authenticate(A, "", "4.8.0")
        for _ in range(2):
            while await y_websocket.told() != Awareness(()):
                pass
            while await v3.hear() != about(A, Awareness(())):
                pass
            while await v4.hear() != b"\x09":
                pass
        # Also one that sends and sends, and to whom nobody says a word.
        author = Author()
        for _ in range(3):
            await y_websocket.say(Update(author.type("x")))
        while await y_websocket.told() != Awareness(()):
            pass


@pytest.mark.slow
async def test_who_is_let_into_nothing_holds_no_connection(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "KEEP_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(editor, "IDLE_SECONDS", 0.2)
    async with hocuspocus_at(f"{relay.url}/crm") as idle, hocuspocus_at(f"{relay.url}/crm") as busy:
        await idle.authenticate("no/such/name")
        await busy.authenticate(A)
        code, reason, _ = await idle.ended()
        assert (code, reason) == (1013, "No document was open for 0.2 seconds.")
        while await busy.hear() != about(A, Awareness(())):
            pass
        await busy.say(A, Close())
        assert (await busy.ended())[0] == 1013


# Stateless messages


async def test_stateless_messages_are_the_programs(tmp_path: Path) -> None:
    got: list[StatelessMessage] = []

    async def on_stateless(message: StatelessMessage) -> None:
        if message.payload == "fail":
            raise LookupError("of the program")
        got.append(message)
        message.reply(f"you said {message.payload}")
        message.broadcast("somebody said something")

    async with Relay(tmp_path / "relay.db", port=0, on_stateless=on_stateless) as relay:
        url = f"{relay.url}/crm"
        async with hocuspocus_at(url) as one, hocuspocus_at(url) as two:
            await opened(one, A)
            await opened(two, A)
            await one.say(A, Stateless("fail"))
            await one.say(A, Stateless("hi"))
            assert await one.hear() == about(A, Stateless("you said hi"))
            assert await one.hear() == about(A, Stateless("somebody said something"))
            assert await two.hear() == about(A, Stateless("somebody said something"))
    (message,) = got
    assert (message.workspace, message.address) == ("crm", Address("pages", "a"))
    assert message.principal.name == "anonymous"


async def test_stateless_messages_are_dropped_without_a_program(relay: Relay) -> None:
    async with hocuspocus_at(f"{relay.url}/crm") as client:
        await opened(client, A)
        await client.say(A, Stateless("hi"))
        await client.say(A, Update(Author().type("x")))
        assert await client.hear() == about(A, STORED)
