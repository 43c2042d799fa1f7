"""Updates that no client makes: refused to their author, seen by nobody, in all three protocols."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline import Credentials, Principal, Relay
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack
from syncline.engine.yjs.messages import Update
from syncline.relay.log.ledger import MAX_COLLECTED
from tests.engine.test_layout import CHAIN, NEVER_MADE
from tests.engine.update_bytes import after, deletes, gc, section, text, update
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

    async def authenticate(self, _credentials: Credentials) -> Principal:
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
