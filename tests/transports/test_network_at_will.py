"""What a test does to the simulated network by hand: partitions, crashes, holding frames back."""

from __future__ import annotations

import asyncio

import pytest

from syncline.engine.errors import RelayUnreachable, TransportClosed
from syncline.testing.network import Faults, MemoryNetwork, memory_pair
from tests.transports.simulated import (
    RELAY,
    URL,
    Listener,
    closed,
    connect,
    frames,
    in_network,
    received,
)

# Partitions


@in_network
async def test_a_partition_drops_frames_both_ways_until_it_is_healed(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    network.partition()
    for _ in range(100):  # more than fits: nothing is kept
        await ours.send("lost")
        await theirs.send("lost")
    network.heal()
    await ours.send("forth")
    await theirs.send("back")
    assert frames(await received(ours)) == ["back"]
    assert frames(await received(theirs)) == ["forth"]


@pytest.mark.parametrize("name", ["phone", RELAY])
def test_a_partition_cuts_off_only_who_is_named(name: str) -> None:
    @in_network
    async def test(network: MemoryNetwork, listener: Listener) -> None:
        other_listener = Listener(network, "ws://other")
        phone, to_phone = await connect(network, listener, "phone")
        laptop = await network.connect("ws://other/crm", client="laptop")
        to_laptop = await other_listener.accepted.get()
        network.partition(name)
        await phone.send("lost")
        await to_phone.send("lost")
        await laptop.send("arrives")
        assert frames(await received(to_phone)) == frames(await received(phone)) == []
        assert frames(await received(to_laptop)) == ["arrives"]

    test()


@in_network
async def test_a_partition_loses_what_is_on_its_way(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    network.faults = Faults(min_delay=1.0, max_delay=1.0)
    await ours.send("on its way")
    await asyncio.sleep(0.5)
    network.partition()
    await asyncio.sleep(1.0)
    network.heal()
    await ours.send("after")
    assert frames(await received(theirs)) == ["after"]


@in_network
async def test_nobody_connects_through_a_partition(
    network: MemoryNetwork, listener: Listener
) -> None:
    network.partition("phone")
    with pytest.raises(RelayUnreachable):
        await network.connect(URL, client="phone")
    assert listener.accepted.empty()
    await connect(network, listener, "laptop")
    network.heal()
    await connect(network, listener, "phone")


@in_network
async def test_an_end_that_got_lost_shows_when_the_partition_is_healed(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    network.partition()
    await ours.close()
    assert frames(await received(theirs)) == []
    await theirs.send("into the void")  # half-open: nothing tells
    network.heal()
    assert (await closed(theirs)).close_code == 1006


# Crashes


@in_network
async def test_dropped_connections_end_with_1006_at_both_ends(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    await theirs.send("arrived")
    network.faults = Faults(min_delay=1.0, max_delay=1.0)
    await theirs.send("on its way")
    await ours.send("on its way")
    network.drop_connections()
    assert await ours.receive() == "arrived"
    for end in (ours, theirs):
        error = await closed(end)
        assert error.close_code == 1006
        assert "broke off (1006)" in error.message
        with pytest.raises(TransportClosed):
            await end.send("too late")
    await asyncio.sleep(2)
    for end in (ours, theirs):
        await closed(end)


@in_network
async def test_a_drop_wakes_who_waits(network: MemoryNetwork, listener: Listener) -> None:
    ours, theirs = await connect(network, listener)
    receiving = asyncio.create_task(closed(ours))

    async def fill() -> None:
        while True:
            await ours.send("more")

    sending = asyncio.create_task(fill())
    await asyncio.sleep(1)
    network.drop_connections()
    assert (await receiving).close_code == 1006
    with pytest.raises(TransportClosed):
        await sending
    assert len(frames([(0.0, await theirs.receive()) for _ in range(16)])) == 16


@in_network
async def test_only_the_named_connections_drop(network: MemoryNetwork, listener: Listener) -> None:
    phone, _ = await connect(network, listener, "phone")
    laptop, to_laptop = await connect(network, listener, "laptop")
    network.drop_connections("phone")
    assert (await closed(phone)).close_code == 1006
    await to_laptop.send("still here")
    assert await laptop.receive() == "still here"
    network.drop_connections(RELAY)
    assert (await closed(laptop)).close_code == 1006


# Holding back


@in_network
async def test_held_frames_come_when_they_are_released(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    await theirs.send("before")
    ours.hold()
    for number in range(6):
        await theirs.send(str(number))
    await ours.send("the other way is free")
    assert await theirs.receive() == "the other way is free"
    assert frames(await received(ours)) == ["before"]
    assert ours.held == ("0", "1", "2", "3", "4", "5")
    ours.release(1)
    assert frames(await received(ours)) == ["0"]
    ours.release(2)
    assert frames(await received(ours)) == ["1", "2"]
    ours.release()
    await theirs.send("6")
    assert frames(await received(ours)) == ["3", "4", "5", "6"]
    assert not ours.held


@in_network
async def test_a_release_counts_for_frames_still_to_come(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    ours.hold()
    await theirs.send("0")
    ours.release(3)
    for number in range(1, 6):
        await theirs.send(str(number))
    assert frames(await received(ours)) == ["0", "1", "2"]
    assert ours.held == ("3", "4", "5")


@in_network
async def test_held_frames_fill_the_senders_room(
    network: MemoryNetwork, listener: Listener
) -> None:
    ours, theirs = await connect(network, listener)
    ours.hold()
    for number in range(network.capacity):
        await theirs.send(str(number))
    sending = asyncio.create_task(theirs.send("one too many"))
    await asyncio.sleep(1)
    assert not sending.done()
    ours.release(1)
    assert await ours.receive() == "0"
    await sending


@in_network
async def test_an_end_comes_behind_what_is_held(network: MemoryNetwork, listener: Listener) -> None:
    ours, theirs = await connect(network, listener)
    ours.hold()
    await theirs.send("0")
    await theirs.close(4001)
    assert frames(await received(ours)) == []
    ours.release(1)
    assert await ours.receive() == "0"
    await asyncio.sleep(1)
    assert not ours.closed
    ours.release()
    assert (await closed(ours)).close_code == 4001


# Room


@in_network
async def test_frames_on_their_way_take_up_room(network: MemoryNetwork, listener: Listener) -> None:
    ours, theirs = await connect(network, listener)
    network.faults = Faults(min_delay=1.0, max_delay=1.0)
    begin = asyncio.get_running_loop().time()
    for number in range(network.capacity):
        await ours.send(str(number))
    assert asyncio.get_running_loop().time() == begin
    reading = asyncio.create_task(received(theirs))
    await ours.send("one too many")
    assert asyncio.get_running_loop().time() == pytest.approx(begin + 1.0)
    assert len(await reading) == network.capacity + 1


def test_a_transport_has_room_for_a_frame() -> None:
    with pytest.raises(ValueError, match="at least 1 frame, not 0"):
        memory_pair(0)
