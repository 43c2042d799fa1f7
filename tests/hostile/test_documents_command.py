"""``syncline documents`` on stores in which something cannot be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline import Relay
from syncline.engine.document.document import Document
from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector
from syncline.stores import DocumentWrite, SqlStore, Write
from syncline.upkeep.cutting import find_cut
from syncline.upkeep.opener.documents import OpenedElsewhere
from syncline.upkeep.opener.process import Opener
from tests.cli.processes import run
from tests.engine.update_bytes import after, inside, item, section, text, update
from tests.hostile.harmful import EVIL
from tests.relay.clients import connected
from tests.relay.editors import synced, y_websocket_at

GOOD = [update(section(5, 0, item(4, text("a")))), update(section(5, 1, after(5, 0, 4, text("b"))))]
BAD = update(section(9, 0, item(4, text("x"), inside(5, 0))))
ON_BAD = update(section(9, 1, after(9, 0, 4, text("y"))))
LATER = update(section(5, 2, after(5, 1, 4, text("c"))))
FINE = Address("pages", "fine")


def stored(path: Path, *updates: bytes) -> None:
    store = SqlStore(path)
    store.open()
    try:
        state = encode_state_vector({5: 3, 9: 2})
        store.write([Write("", meta={"role": "relay", "relay": "0" * 32})])
        store.write(
            [
                Write("crm", (DocumentWrite(EVIL, updates, state),)),
                Write("crm", (DocumentWrite(FINE, (GOOD[0],), encode_state_vector({5: 1})),)),
            ]
        )
    finally:
        store.close()


@pytest.mark.slow
async def test_a_bad_update_is_listed_shown_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    stored(path, *GOOD, BAD, ON_BAD, LATER)
    code, out, _ = await run("documents", str(path))
    assert code == 1
    assert f"crm/{EVIL}: " in out
    assert str(FINE) not in out

    where = ("--workspace", "crm")
    code, out, _ = await run("documents", str(path), *where, "--show", str(EVIL))
    assert code == 0
    assert "of its 5 updates these are to blame: 3." in out
    assert "1 more build on them" in out
    code, out, _ = await run("documents", str(path))
    assert code == 1  # nothing was changed

    code, out, _ = await run("documents", str(path), *where, "--cut", str(EVIL))
    assert code == 0
    assert "It is cut." in out
    code, out, _ = await run("documents", str(path))
    assert (code, out) == (0, "Every document can be opened.\n")

    async with Relay(path, port=0) as relay:
        async with connected(relay.url) as ada:
            await ada.greet()
        async with y_websocket_at(f"{relay.url}/crm/{EVIL}") as editor:
            held = await synced(editor)
    assert Document(1, [held.update]).text("t").content() == "abc"


async def test_it_says_what_it_needs(tmp_path: Path) -> None:
    stored(tmp_path / "relay.db", *GOOD)
    code, _, err = await run("documents", str(tmp_path / "relay.db"), "--show", str(EVIL))
    assert code == 1
    assert "--workspace says where it is" in " ".join(err.split())


@pytest.mark.parametrize("at", range(4))
def test_the_bad_ones_are_found_wherever_they_are(tmp_path: Path, at: int) -> None:
    log = [*GOOD, LATER]
    also_bad = update(section(7, 0, item(4, text("x"), inside(5, 0))))
    log[min(at, 2) + 1 : min(at, 2) + 1] = [BAD, also_bad]
    stored(tmp_path / "relay.db", *log)
    store = SqlStore(tmp_path / "relay.db")
    store.open()
    opens = OpenedElsewhere(Opener(10.0))
    try:
        cut = find_cut(store, "crm", EVIL, opens)
    finally:
        opens.close()
        store.close()
    assert [log[each] for each in cut.bad] == [BAD, also_bad]
    assert list(cut.kept) == [*GOOD, LATER]
    assert cut.lost == ()
