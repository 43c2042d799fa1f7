"""Awareness belongs to its connection and principal, and ends with the right to read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncline import Relay
from syncline.access.token_file import TokenFile
from syncline.engine.yjs.hocuspocus import encode as about
from syncline.engine.yjs.messages import (
    Authenticated,
    Awareness,
    Client,
    QueryAwareness,
    Stateless,
)
from syncline.relay.editors.pace import (
    MAX_AWARENESS,
    MAX_QUERIES,
    MAX_WAITING_BYTES,
    AwarenessInbox,
)
from syncline.relay.editors.stateless import StatelessMessage
from tests.access.tokens import ADMIN, READER, TABLES, Clock, token_file
from tests.relay.clients import connected
from tests.relay.editors import EMPTY, YWebsocket, hocuspocus_at, opened, synced, y_websocket_at

NAME = "pages/a"
ADA = 7


@asynccontextmanager
async def relay_at(
    folder: Path, now: Clock, *, awareness_user: bool = False
) -> AsyncGenerator[Relay]:
    async def on_stateless(message: StatelessMessage) -> None:
        message.broadcast(message.payload)

    async with Relay(
        folder / "relay.db",
        port=0,
        authenticator=TokenFile(token_file(folder), now=now),
        on_stateless=on_stateless,
        awareness_user=awareness_user,
    ) as relay:
        yield relay


def moved(clock: int, state: str = '{"cursor":1}', client: int = ADA) -> Awareness:
    return Awareness((Client(client, clock, state),))


async def told_of(editor: YWebsocket, client: int = ADA) -> Client:
    """The next that the editor hears of a client."""
    while True:
        message = await editor.told()
        if isinstance(message, Awareness):
            for each in message.clients:
                if each.id == client:
                    return each


@asynccontextmanager
async def at(relay: Relay, token: str) -> AsyncGenerator[YWebsocket]:
    async with y_websocket_at(f"{relay.url}/crm/{NAME}?token={token}") as editor:
        await synced(editor)
        yield editor


async def test_a_guest_does_not_take_over_who_is_present(tmp_path: Path) -> None:
    async with (
        relay_at(tmp_path, Clock()) as relay,
        at(relay, ADMIN) as ada,
        at(relay, ADMIN) as watcher,
        y_websocket_at(f"{relay.url}/crm/{NAME}?token={READER}") as guest,
    ):
        await ada.say(moved(1))
        assert await told_of(watcher) == Client(ADA, 1, '{"cursor":1}')
        await guest.say(EMPTY)
        await guest.say(moved(9, '{"cursor":"forged"}'))  # its introduction
        await guest.say(moved(1, client=8))
        assert await told_of(watcher, 8) == Client(8, 1, '{"cursor":1}')  # its own is heard
        await ada.say(moved(2, '{"cursor":2}'))
        assert await told_of(watcher) == Client(ADA, 2, '{"cursor":2}')
        guest.break_off()
        assert await told_of(watcher, 8) == Client(8, 1, None)
        await ada.say(moved(3, '{"cursor":3}'))
        assert await told_of(watcher) == Client(ADA, 3, '{"cursor":3}')


async def test_a_token_taken_back_ends_awareness_and_stateless_messages(tmp_path: Path) -> None:
    now = Clock()
    async with (
        relay_at(tmp_path, now) as relay,
        at(relay, ADMIN) as ada,
        at(relay, READER) as y_websocket,
        hocuspocus_at(f"{relay.url}/crm") as provider,
        hocuspocus_at(f"{relay.url}/crm") as speaker,
    ):
        await opened(speaker, NAME, ADMIN)
        await provider.authenticate(NAME, READER)
        await provider.say(NAME, EMPTY)
        assert await provider.hear() == about(NAME, Authenticated(read_only=True))
        token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
        now.now += 1
        await ada.say(moved(1, '{"cursor":"secret"}'))
        await speaker.say(NAME, Stateless("secret"))
        code, _, frames = await y_websocket.ended()
        assert code == 4403
        assert not any(b"secret" in frame for frame in frames)
        while b"may not read" not in (frame := await provider.hear()):
            assert b"secret" not in frame


@pytest.mark.slow
async def test_idle_connections_are_closed_when_their_token_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.relay.core.CHECK_SECONDS", 0.05)
    now = Clock()
    async with (
        relay_at(tmp_path, now) as relay,
        at(relay, READER) as editor,
        hocuspocus_at(f"{relay.url}/crm") as provider,
        connected(relay.url) as replica,
    ):
        await provider.authenticate(NAME, READER)
        await replica.greet(token=READER)
        token_file(tmp_path, {ADMIN: TABLES[ADMIN]})
        now.now += 1
        assert (await editor.ended())[0] == 4403
        while b"may not read" not in await provider.hear():
            pass
        assert await replica.ended() == 1008


@pytest.mark.parametrize("most", [2, MAX_AWARENESS])
async def test_awareness_in_bulk_is_told_now_and_then_and_the_latest_for_sure(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.relay.editors.pace.MAX_AWARENESS", most)
    flood = most + 200
    async with (
        relay_at(tmp_path, Clock()) as relay,
        at(relay, ADMIN) as ada,
        at(relay, ADMIN) as watcher,
    ):
        for clock in range(1, flood + 1):
            await ada.say(moved(clock))
        told = 0
        while (await told_of(watcher)).clock < flood:
            told += 1
        assert told <= most + 100


@pytest.mark.parametrize("most", [2, MAX_WAITING_BYTES])
async def test_what_waits_for_its_turn_is_bounded(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.relay.editors.pace.MAX_WAITING_BYTES", most)
    monkeypatch.setattr("syncline.relay.editors.pace.AWARENESS_PER_SECOND", 1e-9)
    taken: list[tuple[Client, ...]] = []
    inbox = AwarenessInbox(taken.append)
    for clock in range(MAX_AWARENESS + 1):
        inbox.put((Client(ADA, clock, "{}"),))
    assert len(taken) == MAX_AWARENESS + (most == 2)
    inbox.put((Client(8, 1, "x" * most), Client(9, 1, "{}")))
    assert taken[-1][-2:] == (Client(8, 1, "x" * most), Client(9, 1, "{}"))
    inbox.close()


@pytest.mark.parametrize("most", [2, MAX_QUERIES])
async def test_who_asks_without_end_is_answered_now_and_then(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.relay.editors.channel.MAX_QUERIES", most)
    async with (
        relay_at(tmp_path, Clock()) as relay,
        at(relay, ADMIN) as ada,
        at(relay, ADMIN) as asking,
    ):
        await ada.say(moved(1))
        assert (await told_of(asking)).clock == 1
        for _ in range(10 * most):
            await asking.say(QueryAwareness())
        await ada.say(moved(2))
        answers = 0
        while (await told_of(asking)).clock == 1:
            answers += 1
        assert answers <= most + 1
        await told_of(asking)  # the answer to the rest, a second later


async def test_the_relay_says_whose_awareness_it_is(tmp_path: Path) -> None:
    async with (
        relay_at(tmp_path, Clock(), awareness_user=True) as relay,
        at(relay, READER) as guest,
        at(relay, ADMIN) as watcher,
    ):
        for clock, said, meant in (
            (1, '{"user":{"name":"admin","color":"#f00"}}', {"name": "reader", "color": "#f00"}),
            (2, '{"user":"admin","cursor":[1]}', {"name": "reader"}),
            (3, "{}", {"name": "reader"}),
            (4, '{"user":{"name":"reader"},"user":{"name":"admin"}}', {"name": "reader"}),
        ):
            await guest.say(moved(clock, said))
            told = await told_of(watcher)
            assert told.state is not None
            assert json.loads(told.state)["user"] == meant
        await guest.say(moved(5, "[1]"))
        assert (await told_of(watcher)).state == "[1]"
        await guest.say(moved(6, '{"user":NaN}'))
        assert (await guest.ended())[0] == 4400
        assert (await told_of(watcher)).state is None


async def test_without_the_option_awareness_stays_as_it_is(tmp_path: Path) -> None:
    async with (
        relay_at(tmp_path, Clock()) as relay,
        at(relay, READER) as guest,
        at(relay, ADMIN) as watcher,
    ):
        await guest.say(moved(1, '{"user": "me"}'))
        async with asyncio.timeout(60):
            assert (await told_of(watcher)).state == '{"user": "me"}'
