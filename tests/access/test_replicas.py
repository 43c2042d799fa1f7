"""Who may do what, at replicas: on real sockets, a real store, real replicas."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.access.access import Access
from syncline.engine.document.document import EMPTY_UPDATE
from syncline.engine.errors import NotAllowed, NotAuthenticated
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    Ack,
    CaughtUp,
    Compare,
    Digests,
    DocumentUpdate,
    Enumerate,
    Fetch,
    States,
)
from syncline.replica.replica import LOCAL
from syncline.stores import SqlStore
from syncline.upkeep.backup import backup, restore
from tests.access.rules import Rules
from tests.relay.clients import Author, connected

NONE, READ, WRITE = Access.NONE, Access.READ, Access.WRITE
PATIENCE = 60.0


@pytest.fixture
def rules() -> Rules:
    return Rules(
        {
            "ada": {"*": WRITE},
            "bob": {"*": READ},
            "cleo": {"pages": WRITE, "notes": READ},
            "dan": {},
        }
    )


@asynccontextmanager
async def serving(path: Path, rules: Rules) -> AsyncGenerator[Relay]:
    async with Relay(path, port=0, authenticator=rules, authorizer=rules) as relay:
        yield relay


@asynccontextmanager
async def replica_of(
    path: Path, relay: Relay, token: str | Callable[[], Awaitable[str]] | None
) -> AsyncGenerator[Replica]:
    async with Replica.open(path, relay=f"{relay.url}/crm", token=token) as replica:
        yield replica


async def synced(replica: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        await replica.synced()
        await replica.flushed()  # what was refused is kept


def write(replica: Replica, *names: str, text: str = "x") -> None:
    for name in names:
        replica.document(name).text("body").append(text)


def text(replica: Replica, name: str) -> str:
    return str(replica.document(name).text("body"))


@pytest.mark.parametrize(
    ("token", "error", "sentence"),
    [
        (None, NotAuthenticated, "This token is not known."),
        ("mallory", NotAuthenticated, "This token is not known."),
        ("dan", NotAllowed, "dan may not use the workspace crm."),
    ],
)
async def test_who_may_not_enter_is_told(
    tmp_path: Path, rules: Rules, token: str | None, error: type[Exception], sentence: str
) -> None:
    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "r.db", relay, token) as replica,
    ):
        write(replica, "pages/a")
        with pytest.raises(error, match=sentence):
            await synced(replica)
        assert replica.status.link == "failed"
        assert replica.pending == 1  # nothing is lost
        # With another token it goes on where it was.
        await replica.connect(f"{relay.url}/crm", token="ada")
        await synced(replica)
        assert replica.pending == 0


async def test_a_token_may_be_fetched_for_each_connection(tmp_path: Path, rules: Rules) -> None:
    tokens = iter(["ada", "bob"])

    async def fetch() -> str:
        return next(tokens)

    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "r.db", relay, fetch) as replica,
    ):
        await synced(replica)
        await replica.disconnect()
        await replica.connect(f"{relay.url}/crm")
        await synced(replica)
    assert rules.asked == ["ada", "bob"]


async def test_a_token_is_in_no_log(
    tmp_path: Path, rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "r.db", relay, "s3cret") as replica,
    ):
        with pytest.raises(NotAuthenticated):
            await synced(replica)
    assert "not known" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.slow
async def test_an_authenticator_that_fails_is_logged_and_the_replica_tries_again(
    tmp_path: Path, rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = iter(["crash", "ada"])

    async def fetch() -> str:
        return next(tokens)

    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "r.db", relay, fetch) as replica,
    ):
        await synced(replica)
    assert "LookupError: the user database is away" in caplog.text


async def test_a_reader_reads_and_what_it_writes_is_set_aside(tmp_path: Path, rules: Rules) -> None:
    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "ada.db", relay, "ada") as ada,
        replica_of(tmp_path / "bob.db", relay, "bob") as bob,
    ):
        write(ada, "pages/a", text="from Ada")
        await synced(ada)
        await synced(bob)
        assert text(bob, "pages/a") == "from Ada"
        write(bob, "pages/b")
        await synced(bob)
        assert (bob.pending, bob.status.refused) == (0, 1)
        await synced(ada)
        assert text(ada, "pages/b") == ""
    store = SqlStore(tmp_path / "bob.db", exclusive=False)
    store.open()
    (refused,) = store.refused(LOCAL)
    store.close()
    assert (refused.code, refused.message) == ("not-allowed", "bob may not change pages/b.")


async def test_of_one_batch_what_may_be_written_is_stored(tmp_path: Path, rules: Rules) -> None:
    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "ada.db", relay, "ada") as ada,
        replica_of(tmp_path / "cleo.db", relay, "cleo") as cleo,
    ):
        with cleo.transaction():
            write(cleo, "pages/a", "notes/a", "secret/a")
        await synced(cleo)
        assert cleo.status.refused == 2
        await synced(ada)
        assert [text(ada, f"{name}/a") for name in ("pages", "notes", "secret")] == [
            "x",
            "",
            "",
        ]


async def test_what_may_not_be_read_is_never_sent(tmp_path: Path, rules: Rules) -> None:
    names = ["pages/a", "notes/a", "secret/a"]
    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "ada.db", relay, "ada") as ada,
    ):
        write(ada, *names)
        await synced(ada)
        # From the store, when it catches up; and live, alone and beside what it may read.
        async with replica_of(tmp_path / "cleo.db", relay, "cleo") as cleo:
            await synced(cleo)
            write(ada, *names, text="y")
            await synced(ada)
            write(ada, "secret/a", text="z")
            await synced(ada)
            await synced(cleo)
            assert [text(cleo, name) for name in names] == ["xy", "xy", ""]
            assert cleo.status.cursor == ada.status.cursor


@pytest.mark.slow
async def test_a_comparison_shows_only_what_may_be_read(tmp_path: Path, rules: Rules) -> None:
    relay_db, copy = tmp_path / "relay.db", tmp_path / "copy.db"
    names = ["pages/a", "notes/a", "secret/a"]
    async with (
        serving(relay_db, rules) as relay,
        replica_of(tmp_path / "ada.db", relay, "ada") as ada,
        replica_of(tmp_path / "cleo.db", relay, "cleo") as cleo,
    ):
        write(ada, *names)
        await synced(ada)
        await synced(cleo)
        await asyncio.to_thread(backup, relay_db, copy)
        write(cleo, "pages/a", text="!")
        await synced(cleo)
    # The relay loses what came after the backup; the replicas compare, and offer it again.
    restored = tmp_path / "restored.db"
    await asyncio.to_thread(restore, copy, restored)
    async with (
        serving(restored, rules) as relay,
        replica_of(tmp_path / "cleo.db", relay, "cleo") as cleo,
    ):
        await synced(cleo)
        assert text(cleo, "secret/a") == ""
        async with replica_of(tmp_path / "ada.db", relay, "ada") as ada:
            await synced(ada)
            assert [text(ada, name) for name in names] == ["x!", "x", "x"]
            assert (cleo.status.refused, ada.status.refused) == (0, 0)


async def test_what_may_not_be_read_is_in_no_answer(tmp_path: Path, rules: Rules) -> None:
    pages, secret = Address("pages", "a"), Address("secret", "a")
    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        connected(relay.url, "a" * 32) as ada,
        connected(relay.url, "c" * 32) as cleo,
    ):
        await ada.greet(token="ada")
        await ada.push(1, Author().type("x"), address=pages)
        await ada.hear(Ack)
        await cleo.greet(token="cleo")
        await cleo.hear(CaughtUp)
        for whoever in (ada, cleo):
            await whoever.say(Compare(None))
        before = await cleo.hear(Digests)
        assert before == await ada.hear(Digests)
        await ada.push(2, Author(2**41).type("y"), address=secret)
        await ada.hear(Ack)
        for whoever in (ada, cleo):
            await whoever.say(Compare(None))
            await whoever.say(Enumerate(None, None))
            await whoever.say(Fetch(secret, 0, b"\0"))
        assert await cleo.hear(Digests) == before
        assert await ada.hear(Digests) != before
        assert [each.address for each in (await cleo.hear(States)).documents] == [pages]
        assert [each.address for each in (await ada.hear(States)).documents] == [pages, secret]
        assert (await cleo.hear(DocumentUpdate)).update == EMPTY_UPDATE
        assert (await ada.hear(DocumentUpdate)).update != EMPTY_UPDATE


async def test_access_that_ends_ends_with_the_next_change(tmp_path: Path, rules: Rules) -> None:
    async with (
        serving(tmp_path / "relay.db", rules) as relay,
        replica_of(tmp_path / "ada.db", relay, "ada") as ada,
        replica_of(tmp_path / "cleo.db", relay, "cleo") as cleo,
    ):
        write(ada, "pages/a")
        await synced(ada)
        await synced(cleo)
        rules.rules["cleo"] = {"notes": READ}
        write(ada, "pages/a", text="y")
        write(cleo, "pages/a", text="z")
        await synced(ada)
        await synced(cleo)
        assert text(cleo, "pages/a") in ("xz", "zx")
        assert cleo.status.refused == 1
        await synced(ada)
        assert text(ada, "pages/a") == "xy"
