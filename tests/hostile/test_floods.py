"""What one principal or one address may take of a relay, with somebody well-behaved beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from benchmarks.floods import FLOODS, flooded, typing
from benchmarks.floods import relay as relay_process
from syncline import Relay
from syncline.access.access import ANONYMOUS, Principal
from syncline.access.token_file import TokenFile
from syncline.engine.errors import LimitExceeded, TransportClosed, UsageError
from syncline.engine.protocol.messages import Ack, Ping, Pong
from syncline.relay import quotas
from syncline.relay.quotas import QuotaLimits, Quotas, Visit
from tests.access.tokens import ADMIN, READER, TABLES, token_file
from tests.relay.clients import Author, Client, connected
from tests.relay.editors import EMPTY, y_websocket_at

LIMITS = QuotaLimits()
PATIENCE = 60.0


@asynccontextmanager
async def relay_at(
    folder: Path, limits: QuotaLimits = LIMITS, *, tokens: bool = False
) -> AsyncGenerator[Relay]:
    async with Relay(
        folder / "relay.db",
        port=0,
        quotas=limits,
        authenticator=TokenFile(token_file(folder)) if tokens else None,
    ) as relay:
        yield relay


class Typist:
    """Somebody well-behaved: each edit has to be acknowledged, soon."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._author = Author()
        self._batch = 0

    async def types(self, times: int = 20) -> float:
        """The longest wait for an acknowledgement."""
        longest = 0.0
        for _ in range(times):
            self._batch += 1
            began = time.perf_counter()
            await self._client.push(self._batch, self._author.type("x"))
            assert not (await self._client.hear(Ack)).refused
            longest = max(longest, time.perf_counter() - began)
        return longest


@asynccontextmanager
async def typist(relay: Relay, token: str | None = None) -> AsyncGenerator[Typist]:
    async with connected(relay.url, "f" * 32) as client:
        await client.greet(token=token)
        yield Typist(client)


SOON = 1.0
"""Before there were turns, the waits in these floods were of 2 to 25 seconds. What they are now,
`benchmarks/floods.py` says."""


@pytest.mark.long
@pytest.mark.parametrize("flood", FLOODS)
async def test_nobody_else_waits_for_a_flood(tmp_path: Path, flood: str) -> None:
    async with (
        relay_process(tmp_path) as url,
        flooded(flood, url),
        asyncio.timeout(PATIENCE),
    ):
        assert median(await typing(url, 1.0)) < SOON


# Connections


async def test_the_oldest_connection_without_a_hello_goes_when_there_are_too_many(
    tmp_path: Path,
) -> None:
    async with (
        relay_at(tmp_path, QuotaLimits(max_silent_of_address=2)) as relay,
        typist(relay) as ada,
        connected(relay.url, "1" * 32) as first,
        y_websocket_at(f"{relay.url}/crm/pages/note") as second,
        connected(relay.url, "3" * 32) as third,
    ):
        assert await first.ended() == 1013
        async with connected(relay.url, "4" * 32) as fourth:
            assert (await second.ended())[0] == 1013
            await third.greet()
            await fourth.greet()
            await ada.types(1)


def come(all_: Quotas, count: int, *, addresses: int = 1) -> tuple[list[Visit], list[int]]:
    """Connections that come one after the other, and those that were told to go."""
    dismissed: list[int] = []
    visits = [
        all_.arrive(f"10.0.0.{number % addresses}", partial(dismissed.append, number))
        for number in range(count)
    ]
    return visits, dismissed


@pytest.mark.parametrize("limits", [QuotaLimits(max_silent_of_address=2), LIMITS])
def test_silent_connections_of_one_address(limits: QuotaLimits) -> None:
    all_ = Quotas(limits)
    visits, dismissed = come(all_, limits.max_silent_of_address + 2)
    assert dismissed == [0, 1]
    assert not all_.idle
    for visit in visits:
        visit.leave()
    assert all_.idle


@pytest.mark.parametrize("limits", [QuotaLimits(max_silent=2), LIMITS])
def test_silent_connections_of_all(limits: QuotaLimits) -> None:
    _, dismissed = come(Quotas(limits), limits.max_silent + 2, addresses=50)
    assert dismissed == [0, 1]


@pytest.mark.parametrize("limits", [QuotaLimits(max_connections=2), LIMITS])
@pytest.mark.parametrize("principal", [ANONYMOUS, Principal("ada")])
def test_connections_of_one_principal(limits: QuotaLimits, principal: Principal) -> None:
    all_ = Quotas(limits)

    def admitted_one() -> Visit:
        visit = all_.arrive("10.0.0.1", lambda: None)
        visit.admit(principal)
        return visit

    admitted = [admitted_one() for _ in range(limits.max_connections)]
    refused = all_.arrive("10.0.0.1", lambda: None)
    with pytest.raises(LimitExceeded, match="connections, which is the most"):
        refused.admit(principal)
    refused.leave()
    all_.arrive("10.0.0.2", lambda: None).admit(Principal("bob"))
    admitted[0].leave()
    admitted_one()


async def test_a_principal_with_too_many_connections_is_told_to_come_back(tmp_path: Path) -> None:
    async with (
        relay_at(tmp_path, QuotaLimits(max_connections=2), tokens=True) as relay,
        typist(relay, ADMIN) as ada,
        connected(relay.url, "1" * 32) as first,
        connected(relay.url, "2" * 32) as second,
        connected(relay.url, "3" * 32) as reader,
        y_websocket_at(f"{relay.url}/crm/pages/note?token={ADMIN}") as editor,
    ):
        await first.greet(token=ADMIN)
        with pytest.raises(TransportClosed):
            await second.greet(token=ADMIN)
        await editor.say(EMPTY)
        assert (await editor.ended())[0] == 1013
        await reader.greet(token=READER)
        await ada.types(1)


async def test_a_token_may_have_fewer_connections(tmp_path: Path) -> None:
    tables = {ADMIN: TABLES[ADMIN], READER: TABLES[READER] + "connections = 1\n"}
    async with (
        Relay(
            tmp_path / "relay.db", port=0, authenticator=TokenFile(token_file(tmp_path, tables))
        ) as relay,
        typist(relay, ADMIN) as ada,
        connected(relay.url, "1" * 32) as first,
        connected(relay.url, "2" * 32) as second,
    ):
        await first.greet(token=READER)
        with pytest.raises(TransportClosed):
            await second.greet(token=READER)
        await ada.types(1)


@pytest.mark.parametrize("connections", ["0", "-1", "true", '"2"', "1.5"])
def test_what_is_no_number_of_connections(tmp_path: Path, connections: str) -> None:
    tables = {READER: f"{TABLES[READER]}connections = {connections}\n"}
    with pytest.raises(UsageError, match="connections: write a number from 1 on"):
        TokenFile(token_file(tmp_path, tables))


# Frames and bytes


async def test_frames_in_bulk_wait(tmp_path: Path) -> None:
    limits = QuotaLimits(frames_per_second=20, frames_at_once=2)
    async with (
        relay_at(tmp_path, limits, tokens=True) as relay,
        typist(relay, READER) as reader,
        connected(relay.url, "1" * 32) as client,
    ):
        await client.greet(token=ADMIN)
        began = time.perf_counter()
        for number in range(1, 11):
            await client.say(Ping(number))
        while (await client.hear(Pong)).id < 10:
            pass
        assert time.perf_counter() - began >= 8 / 20
        assert reader is not None


@pytest.mark.parametrize("limits", [QuotaLimits(frames_at_once=2), LIMITS])
def test_frames_at_once_and_each_second(limits: QuotaLimits) -> None:
    account = quotas.Account(limits)
    for _ in range(limits.frames_at_once):
        assert account.pay(1, 0.0) == 0
    assert account.pay(1, 0.0) == pytest.approx(1 / limits.frames_per_second)
    for _ in range(min(limits.frames_per_second, limits.frames_at_once) - 1):
        assert account.pay(1, 1.0) == 0


@pytest.mark.parametrize("limits", [QuotaLimits(bytes_at_once=2), LIMITS])
def test_bytes_at_once_and_each_second(limits: QuotaLimits) -> None:
    account = quotas.Account(limits)
    assert account.pay(limits.bytes_at_once, 0.0) == 0
    assert account.pay(limits.bytes_per_second, 0.0) == pytest.approx(1)


async def test_the_longest_wait() -> None:
    visit = Quotas(QuotaLimits(bytes_per_second=1, bytes_at_once=1)).arrive("", lambda: None)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("syncline.relay.quotas.asyncio.sleep", sleep)
        await visit.pay(1_000)
    assert waits == [quotas.MAX_WAIT_SECONDS]


# Wrong tokens


@pytest.mark.parametrize("most", [2, quotas.WRONG_TOKENS_AT_ONCE])
async def test_answers_to_wrong_tokens_wait(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "WRONG_TOKENS_AT_ONCE", most)
    all_ = Quotas(LIMITS)
    for _ in range(most):
        assert all_.wait_of_wrong_token("10.0.0.1") == 0
    assert all_.wait_of_wrong_token("10.0.0.1") == pytest.approx(1, abs=0.5)
    assert all_.wait_of_wrong_token("10.0.0.2") == 0
    for _ in range(100):
        assert all_.wait_of_wrong_token("10.0.0.1") <= quotas.MAX_WAIT_SECONDS


@pytest.mark.parametrize("most", [2, quotas.MAX_ADDRESSES])
async def test_addresses_that_are_remembered(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MAX_ADDRESSES", most)
    monkeypatch.setattr(quotas, "WRONG_TOKENS_AT_ONCE", 1)
    monkeypatch.setattr(quotas, "WRONG_TOKENS_PER_SECOND", 1e-6)
    all_ = Quotas(LIMITS)
    for number in range(most):
        all_.wait_of_wrong_token(str(number))
    assert all_.wait_of_wrong_token("0") > 0
    all_.wait_of_wrong_token("another")
    assert all_.wait_of_wrong_token("1") == 0


async def test_a_right_token_does_not_wait_behind_wrong_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "WRONG_TOKENS_AT_ONCE", 0)
    monkeypatch.setattr(quotas, "WRONG_TOKENS_PER_SECOND", 1e-6)
    async with (
        relay_at(tmp_path, tokens=True) as relay,
        connected(relay.url, "1" * 32) as wrong,
        connected(relay.url, "2" * 32) as right,
    ):
        guessing = asyncio.create_task(wrong.greet(token="wrong"))
        await right.greet(token=ADMIN)
        assert not guessing.done()
        guessing.cancel()
        await asyncio.gather(guessing, return_exceptions=True)


async def test_a_wrong_token_is_told_so(tmp_path: Path) -> None:
    async with relay_at(tmp_path, tokens=True) as relay, connected(relay.url) as client:
        with pytest.raises(TransportClosed):
            await client.greet(token="wrong")
