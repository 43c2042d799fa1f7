"""What nobody's client says, over all three protocols: it is refused or ends the connection, and
somebody well-behaved beside it does not notice."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Relay
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack
from syncline.engine.yjs.hocuspocus import encode as about
from syncline.engine.yjs.messages import Awareness, Client, Denied, Update
from syncline.relay.editors import serving
from tests.engine.update_bytes import deletes, item, section, text, typed, uint, update, values
from tests.relay.clients import NOTE, Author, connected, text_of
from tests.relay.editors import (
    Hocuspocus,
    YWebsocket,
    hocuspocus_at,
    opened,
    synced,
    y_websocket_at,
)

BAD = Address("pages", "bad")
SOON = 5.0
REFUSED = {1002, 1007, 1008, 1009, 1013, 4400, 4403, 4413, 4429}
"""Close codes that say whose fault it is."""

BAD_UPDATES = {
    "cut short": Author().type("hello")[:-3],
    "noise": bytes(range(256)),
    "2^28 clients": uint(2**28) + b"\x01",
    "an integer of ten bytes": b"\xff" * 9 + b"\x01",
    "a padded integer": b"\x80\x80\x00",
    "a length beyond the end": update(section(1, 0, item(4, uint(2**40) + b"x"))),
    "a text that is not UTF-8": update(section(1, 0, item(4, text(b"\xff\xfe")))),
    "clocks beyond the last": update(section(1, 2**31 - 2, typed("xxxx"))),
    "a client beyond 53 bits": update(section(2**60, 0, typed("x"))),
    "a deletion of everything": update(deletes=deletes((1, [(0, 2**53)]))),
    "values 100,000 deep": update(section(1, 0, values(b"\x75\x01" * 100_000 + b"\x7e"))),
}
BAD_AWARENESS = {
    "a state of 1 MB": (Client(7, 1, '"' + "x" * 1_000_000 + '"'),),
    "20,000 clients": tuple(Client(number, 1, "{}") for number in range(20_000)),
    "65 clients": tuple(Client(number, 1, "{}") for number in range(65)),
    "no JSON": (Client(7, 1, "{"),),
}
BAD_FRAMES = {
    "nothing": b"",
    "noise": b"\xff" * 100,
    "a length beyond the end": b"\x00\x02" + uint(2**40),
    "text": "hello",
}
BAD_NAMES = {
    "dots": "../../etc/passwd",
    "a control character": "pages/a\x01b",
    "10 kB": "pages/" + "x" * 10_000,
    "SQL with a slash more": "pages/x'; DROP TABLE/syncline",
    "a line break": "pages/a\nb",
    "direction": "pages/a\u202eb",
}


class Beside:
    """Somebody well-behaved."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._author = Author()
        self._replica = 0

    async def notices_nothing(self) -> None:
        """Edits are acknowledged soon, and are what others read."""
        began = time.perf_counter()
        self._replica += 1
        async with connected(self._relay.url, f"{self._replica:032x}") as client:
            await client.greet()
            await client.push(1, self._author.type("well behaved"))
            assert not (await client.hear(Ack)).refused
        async with y_websocket_at(f"{self._relay.url}/crm/{NOTE}") as editor:
            assert text_of((await synced(editor)).update) == self._author.text()
        assert time.perf_counter() - began < SOON


@asynccontextmanager
async def beside(relay: Relay) -> AsyncGenerator[None]:
    """Somebody well-behaved, before and after."""
    somebody = Beside(relay)
    await somebody.notices_nothing()
    yield
    await somebody.notices_nothing()


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncGenerator[Relay]:
    async with Relay(tmp_path / "relay.db", port=0) as running:
        yield running


async def ended(editor: YWebsocket | Hocuspocus) -> None:
    code, _, _ = await editor.ended()
    assert code in REFUSED


async def denied(editor: Hocuspocus, name: str) -> None:
    """Wait until the document is denied."""
    begins = about(name, Denied("x"))[:-2]
    while not (await editor.hear()).startswith(begins):
        pass


@pytest.mark.parametrize("bad", BAD_UPDATES.values(), ids=BAD_UPDATES)
async def test_updates(relay: Relay, bad: bytes) -> None:
    async with beside(relay):
        async with connected(relay.url, "b" * 32) as replica:
            await replica.greet()
            await replica.push(1, bad, address=BAD)
            (refusal,) = (await replica.hear(Ack)).refused
            assert (refusal.address, refusal.code) == (BAD, "invalid-update")
        async with y_websocket_at(f"{relay.url}/crm/{BAD}") as editor:
            await synced(editor)
            await editor.say(Update(bad))
            await ended(editor)
        async with hocuspocus_at(f"{relay.url}/crm") as provider:
            await opened(provider, str(BAD))
            await provider.say(str(BAD), Update(bad))
            await denied(provider, str(BAD))
        async with y_websocket_at(f"{relay.url}/crm/{BAD}") as editor:
            assert (await synced(editor)).update == b"\0\0"  # nothing of it is stored


@pytest.mark.parametrize("bad", BAD_AWARENESS.values(), ids=BAD_AWARENESS)
async def test_awareness(relay: Relay, bad: tuple[Client, ...]) -> None:
    async with beside(relay), y_websocket_at(f"{relay.url}/crm/{NOTE}") as watcher:
        await synced(watcher)
        async with y_websocket_at(f"{relay.url}/crm/{NOTE}") as editor:
            await synced(editor)
            await editor.say(Awareness(bad))
            await ended(editor)
        async with hocuspocus_at(f"{relay.url}/crm") as provider:
            await opened(provider, str(BAD))
            await provider.say(str(BAD), Awareness(bad))
            await denied(provider, str(BAD))


@pytest.mark.parametrize("bad", BAD_FRAMES.values(), ids=BAD_FRAMES)
async def test_frames(relay: Relay, bad: bytes | str) -> None:
    async with beside(relay):
        async with connected(relay.url, "b" * 32) as replica:
            await replica.greet()
            await replica.say(bad)
            assert await replica.ended() in REFUSED
        async with y_websocket_at(f"{relay.url}/crm/{BAD}") as editor:
            await synced(editor)
            await editor.send(bad)
            await ended(editor)
        async with hocuspocus_at(f"{relay.url}/crm") as provider:
            await opened(provider, str(BAD))
            if isinstance(bad, str):
                await provider.send(bad)
                await ended(provider)
            else:
                await provider.send(text(str(BAD)) + bad)
                await denied(provider, str(BAD))


@pytest.mark.parametrize("bad", BAD_NAMES.values(), ids=BAD_NAMES)
async def test_names(relay: Relay, bad: str) -> None:
    async with beside(relay):
        async with connected(relay.url, "b" * 32) as replica:
            await replica.greet()
            name = text(bad)
            made = Author().type("x")
            await replica.say(b"\x01\x01\x01" + name + b"\0" + text(made))
            assert await replica.ended() in REFUSED
        async with hocuspocus_at(f"{relay.url}/crm") as provider:
            await provider.authenticate(bad)
            if len(bad) > 1024:
                await ended(provider)
            else:
                await denied(provider, bad)


async def test_an_editor_that_says_nothing(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving.FIRST_FRAME_SECONDS == 10
    monkeypatch.setattr(serving, "FIRST_FRAME_SECONDS", 0.1)
    async with beside(relay), y_websocket_at(f"{relay.url}/crm/{BAD}") as editor:
        assert (await editor.ended())[0] == 1008
