"""Updates that no client makes: refused to their author, seen by nobody, in all three protocols."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline import Credentials, Principal, Relay
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack, Entry
from syncline.engine.yjs.messages import Update
from syncline.relay.log import layouts
from syncline.relay.log.ledger import MAX_COLLECTED, Ledger
from syncline.relay.log.submission import Settled, Submission
from syncline.stores import MemoryStore
from tests.engine.test_layout import CHAIN, NEVER_MADE
from tests.engine.update_bytes import (
    after,
    deletes,
    gc,
    inside,
    item,
    section,
    text,
    typed,
    update,
)
from tests.hostile.beside import well_behaved
from tests.relay.clients import connected
from tests.relay.editors import hocuspocus_at, opened, synced, y_websocket_at

PAD = Address("documents", "pad")
KNOWN = update(section(1, 0, *CHAIN))
MORE = update(section(2, 0, after(1, 6, 4, text("!"))))
CODES = {True: {"invalid-update"}, False: {"invalid-update", "update-harmful"}}
"""By whether the author is trusted: others' updates are tasted first."""
JUMP = {"a jump of the clock": (gc(MAX_COLLECTED + 1), "operations without content")}


class Everybody:
    """Everybody is one principal, who may be trusted."""

    def __init__(self, *, trusted: bool) -> None:
        self._trusted = trusted

    async def authenticate(self, credentials: Credentials) -> Principal:
        del credentials
        return Principal("everybody", trusted=self._trusted)


@pytest.mark.slow
@pytest.mark.parametrize("trusted", CODES)
@pytest.mark.parametrize("name", NEVER_MADE | JUMP)
async def test_a_replica_is_told_and_the_document_goes_on(
    tmp_path: Path, name: str, trusted: bool
) -> None:
    struct, sentence = (NEVER_MADE | JUMP)[name]
    everybody = Everybody(trusted=trusted)
    async with (
        Relay(tmp_path / "relay.db", port=0, authenticator=everybody) as relay,
        well_behaved(tmp_path, relay.url) as bob,
        connected(relay.url) as eve,
    ):
        await eve.greet()
        await eve.push(1, KNOWN, address=PAD)
        assert (await eve.hear(Ack)).refused == ()
        await eve.push(2, update(section(2, 0, struct)), address=PAD)
        (refusal,) = (await eve.hear(Ack)).refused
        assert refusal.address == PAD
        assert refusal.code in CODES[trusted]
        assert sentence in refusal.message or refusal.code == "update-harmful"
        await eve.push(3, MORE, update(deletes=deletes((2, [(0, 1)]))), address=PAD)
        assert (await eve.hear(Ack)).refused == ()
        await bob.synced()
        assert str(bob.document(str(PAD)).text("u")) == "xyz"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["in a character", "two values after a key's"])
async def test_an_editor_is_told_and_others_edit_on(tmp_path: Path, name: str) -> None:
    struct, sentence = NEVER_MADE[name]
    bad = update(section(2, 0, struct))
    everybody = Everybody(trusted=True)
    async with (
        Relay(tmp_path / "relay.db", port=0, authenticator=everybody) as relay,
        well_behaved(tmp_path, relay.url) as bob,
        y_websocket_at(f"{relay.url}/crm/pad") as good,
    ):
        await synced(good)
        await good.say(Update(KNOWN))
        await good.told()
        async with y_websocket_at(f"{relay.url}/crm/pad") as eve:
            await synced(eve)
            await eve.say(Update(bad))
            code, reason, _ = await eve.ended()
            assert code == 4403
            assert sentence in reason
        async with hocuspocus_at(f"{relay.url}/crm") as eve:
            await opened(eve, "pad")
            await eve.say("pad", Update(bad))
            while sentence.encode() not in await eve.hear():
                pass
        await good.say(Update(MORE))
        await good.told()
        await bob.synced()
        assert str(bob.document(str(PAD)).text("u")) == "xyz!"


def _offered(ledger: Ledger, address: Address, *updates: bytes) -> list[str]:
    entries = tuple(Entry(address, each) for each in updates)
    ((outcome,), _) = ledger.commit([Submission("crm", "eve", entries)])
    assert isinstance(outcome, Settled)
    return [refusal.message for refusal in outcome.refusals]


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("count", [1, 300])  # of more than 256 the first are looked at before
def test_what_came_since_the_layout_was_read_counts(count: int, one_by_one: bool) -> None:
    store = MemoryStore()
    store.open()
    ledger = Ledger(store)
    assert _offered(ledger, PAD, KNOWN, update(section(2, 0, after(1, 6, 4, text("ab"))))) == []
    later = [update(section(3, clock, typed("x"))) for clock in range(count)]
    bad = [update(section(4, 0, item(4, text("y"), inside(3, clock)))) for clock in (0, count - 1)]
    if one_by_one:
        for each in later:
            assert _offered(ledger, PAD, each) == []
        later = []
    refused = _offered(ledger, PAD, *later, *bad)
    assert len(refused) == 2
    assert all("in what is no shared type" in each for each in refused)


@pytest.mark.parametrize("kept", [2, layouts._KEPT])  # pyright: ignore[reportPrivateUsage]
def test_a_layout_that_was_let_go_is_read_again(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "_KEPT", kept)
    store = MemoryStore()
    store.open()
    ledger = Ledger(store)
    pads = [Address("documents", str(number)) for number in range(4)]
    bad = update(section(4, 0, item(4, text("y"), inside(1, 2))))
    for pad in pads:
        good = update(section(2, 0, after(1, 6, 4, text("ab"))))
        assert _offered(ledger, pad, KNOWN, good) == []
    for pad in pads:
        (refused,) = _offered(ledger, pad, bad)
        assert "in what is no shared type" in refused
