"""What was stored untasted, and harms whoever opens it, concerns its document alone."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from syncline import Record, Relay
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    Ack,
    Compare,
    Digests,
    DocumentUpdate,
    Fetch,
)
from syncline.engine.yjs.messages import SyncStep2
from syncline.relay import core as relay_core
from syncline.relay.log import table_rows
from tests.cli.processes import run
from tests.hostile.harmful import EVIL, HARMFUL, plant
from tests.hostile.test_tasting import beside
from tests.relay.clients import Author, connected
from tests.relay.editors import synced, y_websocket_at

KINDS = list(HARMFUL)


class Page(Record, collection="pages"):
    """Rows are made of the collection in which the evil document is."""

    name: str = ""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_core, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(relay_core, "CAREFUL_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(relay_core, "DIGEST_SECONDS", 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_everybody_may_join_fetch_and_compare(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "relay.db"
    plant(path, kind)
    async with Relay(path, port=0) as relay, beside(relay.url) as good:
        async with y_websocket_at(f"{relay.url}/crm/{EVIL}") as editor:
            step_2 = await synced(editor)
            assert isinstance(step_2, SyncStep2)
            assert len(step_2.update) > 20
        async with connected(relay.url) as bob:
            await bob.greet()
            await bob.say(Fetch(EVIL, 0, b"\0"))
            assert len((await bob.hear(DocumentUpdate)).update) > 20
            await bob.say(Compare(None))
            assert (await bob.hear(Digests)).ranges
        # The first one is from before.
        assert max(good.waits[1:], default=0) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hangs", "is refused"])  # the other one does not kill each time
async def test_whoever_writes_there_hears_that_it_cannot_be_opened(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "relay.db"
    plant(path, kind)
    async with Relay(path, port=0) as relay, connected(relay.url) as ada:
        await ada.greet()
        for batch in (1, 2):
            await ada.push(batch, Author().type("x"), address=EVIL)
            (refusal,) = (await ada.hear(Ack)).refused
            assert refusal.code == "document-broken"
        await ada.push(3, Author().type("x"))
        assert (await ada.hear(Ack)).refused == ()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_other_rows_go_on(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a relay that trusts everybody, so that nothing is tasted."""
    monkeypatch.setattr(table_rows, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(relay_core.RelayCore, "submit", _untasted)
    path = tmp_path / "relay.db"
    async with Relay(path, port=0, models=[Page]):
        pass  # with new tables it would read all documents itself
    plant(path, kind)
    async with Relay(path, port=0, models=[Page]) as relay, connected(relay.url) as ada:
        await ada.greet()
        await ada.push(1, Author().type("x"), address=EVIL)
        assert (await ada.hear(Ack)).refused == ()
        began = time.monotonic()
        author = Author()
        author.document.map("$r").set("x", 1.0)
        (update,) = author.document.take_captured()
        await ada.push(2, update, address=Address("pages", "good"))
        await ada.hear(Ack)
        assert time.monotonic() - began < PATIENCE
    with closing(sqlite3.connect(path)) as database:
        database.execute("SELECT key FROM pages").fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_tables_are_made_of_what_can_be_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "relay.db"
    plant(path, kind)
    async with Relay(path, port=0, models=[Page]) as relay, connected(relay.url) as ada:
        await ada.greet()
    if kind != "hangs":  # which the command waits for a minute
        code, out, _ = await run("rebuild-projection", str(path))
        assert (code, out) == (0, "pages: 0 rows\n")


PATIENCE = 10.0


async def _untasted(core: relay_core.RelayCore, submission: object, _principal: object) -> None:
    await core.committer.submit(submission)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kills", "is refused"])
async def test_verify_names_the_document(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "relay.db"
    plant(path, kind)
    code, out, _ = await run("verify", str(path))
    assert code == 1
    assert f"crm/{EVIL}" in out
    code, _, err = await run("rebuild-document", str(path), str(EVIL), "--workspace", "crm")
    assert code == 1
    assert "document" in err
