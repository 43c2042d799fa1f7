"""The points that trip implementers of the two protocols, one test each, by their number.

1 to 10 are those of the notes on the wire that this project was begun with; each test says its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.access.access import Access
from syncline.relay.editors import connection as editor
from tests.access.rules import Rules
from tests.interop.editors import HOCUSPOCUS, KINDS, Y_WEBSOCKET, Editor, Node

pytestmark = pytest.mark.npm

ABOUT = b"\x07pages/a"
STORED, NOT_STORED = ABOUT + b"\x08\x01", ABOUT + b"\x08\x00"
PING, PONG = b"\x09", b"\x0a"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


@pytest.fixture
async def url(file: Path) -> AsyncGenerator[str]:
    async with Relay(file, port=0) as relay:
        yield f"{relay.url}/crm"


only_hocuspocus = pytest.mark.parametrize("kind", HOCUSPOCUS)


@only_hocuspocus
async def test_1_unsynced_changes_start_at_one_and_every_update_is_acknowledged_once(
    editors: Node, url: str, kind: str
) -> None:
    ada = await editors.open(kind, url)
    assert (await ada.heard("unsyncedChanges")) in (1, {"number": 1})
    await ada.saved()
    assert ada.frames("received").count(STORED) == 1  # of the step 2 that the relay asked for
    for word in ("a", "b", "c"):
        await ada.append(word)
    await ada.until(0, "unsynced")
    # Something that comes later shows that no more acknowledgements were on their way.
    witness = await editors.open(kind, url)
    await witness.shows("abc")
    await witness.append("d")
    await ada.shows("abcd")
    assert ada.frames("received").count(STORED) == 4
    assert await ada.do("unsynced") == 0


@only_hocuspocus
async def test_2_what_is_not_stored_is_not_counted_down(
    editors: Node, tmp_path: Path, kind: str
) -> None:
    rules = Rules({"bob": {"*": Access.READ}})
    async with Relay(tmp_path / "r.db", port=0, authenticator=rules, authorizer=rules) as relay:
        bob = await editors.open(kind, f"{relay.url}/crm", token="bob")
        await bob.saved()
        await bob.append("mine")
        await bob.received(NOT_STORED)
        assert await bob.do("unsynced") == 1


@only_hocuspocus
async def test_2_the_acknowledgement_waits_for_the_commit(
    editors: Node, url: str, kind: str, file: Path
) -> None:
    ada = await editors.open(kind, url)
    await ada.saved()
    other = await editors.open(kind, url, "pages/b", beside=ada)
    with sqlite3.connect(file, isolation_level=None) as database:
        database.execute("BEGIN IMMEDIATE")  # nobody else commits now
        await ada.append("x")
        mark = ada.mark()
        await other.do("forceSync")
        await ada.received(b"\x07pages/b\x00\x01", after=mark)  # it answers what needs no commit
        assert await ada.do("unsynced") == 1
        database.execute("ROLLBACK")
    await ada.saved()
    assert ada.told("ended") == []


async def test_3_quiet_clients_without_awareness_get_signs_of_life(
    editors: Node, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "KEEP_ALIVE_SECONDS", 0.2)
    quiet = [await editors.open(kind, url) for kind in KINDS]
    for client in quiet:
        await client.synced()
        await client.present(None)
    for _ in range(17):  # the watchdogs look every 3 s, and give up after 30 s of silence
        mark = quiet[0].mark()
        for client in quiet:
            await client.heard("received", after=mark)
        await quiet[0].do("later", 20)
    for client in quiet:
        pinged = PING in client.frames("received")
        assert pinged == (client.kind == "hocuspocus-v4")  # others would stumble over one
        assert client.told("ended") == []
    await quiet[0].append("alive")
    for client in quiet:
        await client.shows("alive")


async def test_4_a_pong_is_taken_for_what_it_is(
    editors: Node, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "KEEP_ALIVE_SECONDS", 0.05)
    ada = await editors.open("hocuspocus-v4", url)
    await ada.received(PING)
    mark = ada.mark()
    await ada.received(PING, after=mark)
    assert PONG in ada.frames("sent")
    await ada.append("x")
    await ada.saved()
    assert ada.told("ended") == []


async def test_5_who_is_denied_a_document_later_is_not_stranded(
    editors: Node, url: str, kind: str
) -> None:
    ada, bob = await editors.open(kind, url), await editors.open(kind, url)
    await ada.synced()
    await bob.synced()
    await nonsense(ada)
    if kind == Y_WEBSOCKET:
        assert (await ada.heard("closed"))["code"] == 4403
    else:
        denied = await ada.heard("authenticationFailed")
        assert "is not valid" in denied["reason"]
        await ada.received(ABOUT + b"\x07")  # CLOSE comes second
        assert ada.told("ended") == []
    await bob.append("unharmed")
    await ada.do("retry", "any")  # v2 says nothing that opens a document again without a token
    await ada.shows("unharmed")


async def test_6_a_client_that_returns_at_its_clock_is_seen(
    editors: Node, url: str, kind: str
) -> None:
    ada, bob = await editors.open(kind, url), await editors.open(kind, url)
    await ada.synced()
    await ada.present({"name": "Ada"})
    await bob.sees({"name": "Ada"})
    await ada.do("cut")
    await bob.sees()
    clock = await ada.do("clock")
    await ada.connect()
    await bob.sees({"name": "Ada"})
    # Not by the renewal that comes up to 15 s later: the relay saw to it.
    assert await ada.do("clock") == clock + 1


async def test_7_every_protocol_is_spoken_on_one_port(
    editors: Node, url: str, tmp_path: Path
) -> None:
    everybody = [await editors.open(kind, url) for kind in KINDS]
    async with Replica.open(tmp_path / "replica.db", relay=url) as replica:
        await replica.synced()
        replica.document("pages/a").text("body").append("one port")
        for client in everybody:
            await client.shows("one port")


async def test_8_a_refusal_comes_behind_the_upgrade(
    editors: Node, tmp_path: Path, kind: str
) -> None:
    rules = Rules({})
    async with Relay(tmp_path / "r.db", port=0, authenticator=rules, authorizer=rules) as relay:
        ada = await editors.open(kind, f"{relay.url}/crm", token="no")
        if kind == Y_WEBSOCKET:
            await ada.heard("closed")
            assert ada.told("ended")[0][0] == 4401  # before the upgrade a browser shows but 1006
        else:
            await ada.heard("authenticationFailed")
        assert ada.told("error") == []


async def test_9_no_update_is_dropped_alone(editors: Node, url: str, kind: str) -> None:
    ada, bob = await editors.open(kind, url), await editors.open(kind, url)
    await ada.synced()
    await bob.synced()
    # One is lost, and all that follow build on it.
    await ada.do("lose", 1)
    await ada.append("lost ")
    await ada.append("found")
    await bob.shows("lost found")
    await ada.append("!")
    await bob.shows("lost found!")


async def test_10_leaving_while_it_connects(editors: Node, url: str, kind: str) -> None:
    # A provider takes its listeners away before it closes a socket that may still fail; the sockets
    # of these tests have one of their own, and the process fails for whatever is thrown.
    for _ in range(5):
        hasty = await editors.open(kind, url)
        await hasty.destroy()
    ada = await editors.open(kind, url)
    await ada.append("x")
    bob = await editors.open(kind, url)
    await bob.shows("x")
    await ada.sees({})


async def nonsense(client: Editor) -> None:
    """Send an update that is none."""
    frame = b"\x00\x02\x03\x07no"
    await client.do("raw", (frame if client.kind == Y_WEBSOCKET else ABOUT + frame).hex())
