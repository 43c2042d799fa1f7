"""The simulated network: each fault happens, and the same seed makes the same ones happen."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import pytest

from syncline.engine.errors import InvalidUrl, RelayUnreachable
from syncline.testing.network import Faults, MemoryNetwork, MemoryTransport
from syncline.transports import Request
from tests.transports.simulated import (
    RELAY,
    URL,
    Arrival,
    Listener,
    closed,
    connect,
    frames,
    in_network,
    received,
)
from tests.transports.virtual_clock import run_virtually

SENT = [str(number) for number in range(200)]


def exchange(seed: int, faults: Faults) -> tuple[list[Arrival], list[Arrival]]:
    """What arrives at both ends when each sends SENT, one frame every 10 ms."""

    async def send(transport: MemoryTransport) -> None:
        for frame in SENT:
            await transport.send(frame)
            await asyncio.sleep(0.01)

    async def main() -> tuple[list[Arrival], list[Arrival]]:
        async with MemoryNetwork(random.Random(seed), capacity=1000) as network:
            ours, theirs = await connect(network, Listener(network))
            network.faults = faults
            at_ours, at_theirs, *_ = await asyncio.gather(
                received(ours), received(theirs), send(ours), send(theirs)
            )
            await ours.close()
            return at_ours, at_theirs

    return run_virtually(main())


# Faults by chance


def test_without_faults_everything_arrives_at_once_and_in_order() -> None:
    for arrivals in exchange(1, Faults()):
        assert frames(arrivals) == SENT
        assert [time for time, _ in arrivals] == pytest.approx([n / 100 for n in range(200)])


def test_dropped_frames_do_not_arrive_and_the_others_keep_their_order() -> None:
    for arrivals in exchange(1, Faults(drop=0.25)):
        assert 120 < len(arrivals) < 180
        assert frames(arrivals) == sorted(frames(arrivals), key=int)


def test_duplicated_frames_arrive_twice() -> None:
    for arrivals in exchange(1, Faults(duplicate=0.25)):
        assert 220 < len(arrivals) < 280
        assert list(dict.fromkeys(frames(arrivals))) == SENT


def test_delayed_frames_arrive_within_the_bounds_and_in_order() -> None:
    for arrivals in exchange(1, Faults(min_delay=0.1, max_delay=0.5)):
        assert frames(arrivals) == SENT
        delays = [time - number / 100 for number, (time, _) in enumerate(arrivals)]
        assert 0.1 <= min(delays) < max(delays) <= 0.5
        assert max(delays) - min(delays) > 0.1  # each waits for those before it


def test_reordered_frames_overtake_each_other() -> None:
    for arrivals in exchange(1, Faults(max_delay=0.1, reorder=True)):
        assert frames(arrivals) != SENT
        assert sorted(frames(arrivals), key=int) == SENT


def test_all_faults_are_the_same_for_the_same_seed() -> None:
    faults = Faults(drop=0.1, duplicate=0.1, min_delay=0.01, max_delay=0.2, reorder=True)
    runs = [exchange(seed, faults) for seed in (7, 7, 8)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_frames_of_the_same_delay_keep_their_order() -> None:
    # All timers fall on the same instants, where the loop's heap keeps no order.
    @in_network
    async def test(network: MemoryNetwork, listener: Listener) -> None:
        ours, theirs = await connect(network, listener)
        network.faults = Faults(min_delay=1.0, max_delay=1.0)
        for number in range(12):
            await ours.send(str(number))
        assert frames(await received(theirs)) == [str(number) for number in range(12)]

    test()


@in_network
async def test_an_end_that_is_delayed_comes_behind_all_frames(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    network.faults = Faults(min_delay=0.1, max_delay=5.0, reorder=True)
    sent = {str(number) for number in range(12)}
    for frame in sorted(sent):
        await ours.send(frame)
    await ours.close(4001)
    assert {await theirs.receive() for _ in sent} == sent
    assert (await closed(theirs)).close_code == 4001


@pytest.mark.parametrize(
    "values",
    [
        {"drop": 1.1},
        {"duplicate": -0.1},
        {"min_delay": -1.0},
        {"min_delay": 2.0, "max_delay": 1.0},
        {"reorder": True},
        {"min_delay": 1.0, "max_delay": 1.0, "reorder": True},
    ],
)
def test_faults_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Faults\("):
        Faults(**values)


# Connecting


@in_network
async def test_the_handler_gets_the_path_and_both_ends_a_name(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener, "phone")
    assert [request.path for request in listener.requests] == ["/crm"]
    assert (ours.peer, theirs.peer) == (RELAY, "phone")
    other = await network.connector("laptop")(URL)
    assert (await listener.accepted.get()).peer == "laptop"
    await other.close()


@in_network
async def test_a_connection_may_ask_for_what_no_replica_asks_for(
    network: MemoryNetwork, listener: Listener
) -> None:
    request = Request("/crm/pages/welcome")
    await network.connect(URL, request=request)
    await listener.accepted.get()
    assert listener.requests == [request]


@in_network
async def test_a_reliable_connection_bears_no_fault_but_delay(
    network: MemoryNetwork, listener: Listener
) -> None:
    network.faults = Faults(drop=0.5, duplicate=0.5, max_delay=0.1, reorder=True)
    ours = await network.connect(URL, reliable=True)
    theirs = await listener.accepted.get()
    for frame in SENT:
        await ours.send(frame)
        assert await theirs.receive() == frame
    for frame in SENT[:10]:
        await theirs.send(frame)
    assert frames(await received(ours, seconds=1.0)) == SENT[:10]


@in_network
async def test_nobody_listens(network: MemoryNetwork, listener: Listener) -> None:
    with pytest.raises(RelayUnreachable, match=r"^Nothing answers at ws://other:1\.") as caught:
        await network.connect("ws://other:1/crm")
    assert caught.value.retry_after is not None
    with pytest.raises(InvalidUrl):
        await network.connect(RELAY)
    with pytest.raises(ValueError, match="is taken"):
        Listener(network)
    ours, theirs = await connect(network, listener)
    network.stop_listening(RELAY)
    with pytest.raises(RelayUnreachable):
        await network.connect(URL)
    await ours.send("stays open")
    assert await theirs.receive() == "stays open"


def test_a_handlers_end_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(transport: MemoryTransport, _request: Request) -> None:
        if await transport.receive() == "fail":
            raise LookupError("the handler's own")

    @in_network
    async def test(network: MemoryNetwork, _: Listener) -> None:
        network.listen("ws://handler", handler)
        for request, code in (("end", 1000), ("fail", 1011)):
            transport = await network.connect("ws://handler/crm")
            await transport.send(request)
            assert (await closed(transport)).close_code == code

    with caplog.at_level(logging.ERROR, "syncline.transports"):
        test()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the handler's own" in caplog.text


def test_leaving_closes_the_connections_and_ends_the_handlers() -> None:
    ended: list[str] = []

    async def polite(transport: MemoryTransport, _request: Request) -> None:
        try:
            await transport.receive()
        finally:
            ended.append("polite")

    async def stubborn(_transport: MemoryTransport, _request: Request) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("stubborn")

    async def main() -> MemoryTransport:
        async with MemoryNetwork(random.Random(1)) as network:
            network.listen("ws://polite", polite)
            network.listen("ws://stubborn", stubborn)
            await network.connect("ws://stubborn/crm")
            transport = await network.connect("ws://polite/crm")
            await asyncio.sleep(1)
        assert ended == ["polite", "stubborn"]
        assert len(asyncio.all_tasks()) == 1
        assert asyncio.get_running_loop().time() < 20
        return transport

    assert run_virtually(main()).closed
