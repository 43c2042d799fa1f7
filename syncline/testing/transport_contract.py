"""What every transport must do: subclass ``TransportContract`` in a test module and pytest runs it:

    class TestMyTransport(TransportContract):
        @asynccontextmanager
        async def connected(self) -> AsyncGenerator[tuple[Transport, Transport], None]:
            ...
            yield client, server

``pytest.register_assert_rewrite("syncline.testing.transport_contract")`` in a ``conftest.py`` makes
failures show their values. No pytest plugin is needed: each test runs an event loop of its own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import pytest

from syncline.engine.errors import TransportClosed
from syncline.transports.base import Frame, Transport

GUARD_SECONDS = 30.0
"""When a test counts as hanging. No test waits this long when all is well."""
MIB = 1 << 20
FLOOD = 128
"""Frames of 1 MiB that a sender tries to get rid of: more than any chain of buffers should take."""

Pair: TypeAlias = tuple[Transport, Transport]
Scenario: TypeAlias = Callable[[Any, Transport, Transport], Coroutine[Any, Any, None]]


def scenario(test: Scenario) -> Callable[[TransportContract, bool], None]:
    """A test with two connected transports; runs with each of them as the first."""

    async def run(contract: TransportContract, swapped: bool) -> None:
        async with asyncio.timeout(GUARD_SECONDS), contract.connected() as pair:
            left, right = reversed(pair) if swapped else pair
            await test(contract, left, right)

    @pytest.mark.parametrize("swapped", [False, True], ids=["left-to-right", "right-to-left"])
    def test_function(self: TransportContract, swapped: bool) -> None:
        asyncio.run(run(self, swapped))

    # Not functools.wraps: pytest would take the transports for fixtures.
    test_function.__name__ = test.__name__
    test_function.__doc__ = test.__doc__
    return test_function


async def settled(progress: Callable[[], object]) -> None:
    """Wait until ``progress()`` stays the same over many turns of the event loop."""
    last, turns = progress(), 0
    while turns < 200:
        await asyncio.sleep(0)
        if progress() == last:
            turns += 1
        else:
            last, turns = progress(), 0


class Flood:
    """A task that sends frames of 1 MiB as long as it can."""

    def __init__(self, transport: Transport) -> None:
        self.sent = 0
        self._transport = transport
        self.task = asyncio.create_task(self._run())

    @staticmethod
    def frame(number: int) -> bytes:
        return bytes([number]) * MIB

    async def _run(self) -> None:
        for number in range(FLOOD):
            await self._transport.send(self.frame(number))
            self.sent += 1

    async def blocked(self) -> int:
        """Wait until sending waits; returns how many frames were taken till then."""
        await settled(lambda: self.sent)
        assert not self.task.done(), f"{FLOOD} MiB were taken although nobody received"
        return self.sent


async def received_until_closed(transport: Transport) -> tuple[list[Frame], TransportClosed]:
    """Everything that still comes, and what ends it."""
    frames: list[Frame] = []
    while True:
        try:
            frames.append(await transport.receive())
        except TransportClosed as closed:
            return frames, closed


class TransportContract(ABC):
    """The contract of syncline.transports.Transport, as tests."""

    @abstractmethod
    def connected(self) -> AbstractAsyncContextManager[Pair]:
        """Two transports that are connected with each other. ``close`` takes a second at most."""

    # Frames

    @scenario
    async def test_frames_arrive_as_they_were_sent(self, left: Transport, right: Transport) -> None:
        frames: list[Frame] = ["text", b"binary", "", b"", "\x00 ä € 🎈", bytes(range(256))]
        for frame in frames:
            await left.send(frame)
            received = await right.receive()
            assert received == frame
            assert type(received) is type(frame)

    @scenario
    async def test_frames_keep_their_order(self, left: Transport, right: Transport) -> None:
        frames: list[Frame] = [str(n) if n % 2 else bytes([n % 256]) * (n % 50) for n in range(999)]

        async def send() -> None:
            for frame in frames:
                await left.send(frame)

        sending = asyncio.create_task(send())
        assert [await right.receive() for _ in frames] == frames
        await sending

    @scenario
    async def test_large_frames_arrive_whole(self, left: Transport, right: Transport) -> None:
        frames: list[Frame] = [bytes(range(256)) * (8 * MIB // 256), "äöü€" * MIB]
        for frame in frames:
            sending = asyncio.create_task(left.send(frame))
            assert await right.receive() == frame
            await sending

    @scenario
    async def test_both_ends_send_at_once(self, left: Transport, right: Transport) -> None:
        frames = [bytes([number]) * MIB for number in range(16)]

        async def send(transport: Transport) -> None:
            for frame in frames:
                await transport.send(frame)

        async def receive(transport: Transport) -> None:
            assert [await transport.receive() for _ in frames] == frames

        async with asyncio.TaskGroup() as tasks:
            for transport in (left, right):
                tasks.create_task(send(transport))
                tasks.create_task(receive(transport))

    @scenario
    async def test_concurrent_senders_do_not_interleave(
        self, left: Transport, right: Transport
    ) -> None:
        senders, each = 8, 16

        async def send(sender: int) -> None:
            for number in range(each):
                body = bytes([sender]) * (1 + 37_000 * ((sender + number) % 5))
                await left.send(bytes([number]) + body)

        async with asyncio.TaskGroup() as tasks:
            for sender in range(senders):
                tasks.create_task(send(sender))
            numbers: dict[int, list[int]] = {sender: [] for sender in range(senders)}
            for _ in range(senders * each):
                frame = await right.receive()
                assert isinstance(frame, bytes)
                number, sender = frame[0], frame[1]
                size = 1 + 37_000 * ((sender + number) % 5)
                assert frame == bytes([number]) + bytes([sender]) * size
                numbers[sender].append(number)
        assert numbers == {sender: list(range(each)) for sender in range(senders)}

    @scenario
    async def test_the_peer_has_a_name(self, left: Transport, right: Transport) -> None:
        assert left.peer
        assert right.peer

    # Back-pressure

    @scenario
    async def test_sending_waits_for_the_reader(self, left: Transport, right: Transport) -> None:
        flood = Flood(left)
        taken = await flood.blocked()
        received = 0
        while flood.sent == taken:
            assert received <= taken, "the reader took everything, and sending goes on waiting"
            assert await right.receive() == flood.frame(received)
            received += 1
        for number in range(received, FLOOD):
            assert await right.receive() == flood.frame(number)
        await flood.task

    @scenario
    async def test_a_slow_reader_does_not_keep_the_sender_from_receiving(
        self, left: Transport, right: Transport
    ) -> None:
        flood = Flood(left)
        await flood.blocked()
        await right.send("the other way")
        assert await left.receive() == "the other way"
        flood.task.cancel()

    # Cancellation

    @scenario
    async def test_a_cancelled_receive_loses_nothing(
        self, left: Transport, right: Transport
    ) -> None:
        sent = [str(number) for number in range(60)]
        received: list[Frame] = []
        for turns, frame in enumerate(sent):
            receiving = asyncio.create_task(right.receive())
            sending = asyncio.create_task(left.send(frame))
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            receiving.cancel()
            await asyncio.wait([receiving])
            if not receiving.cancelled():
                received.append(receiving.result())
            await sending
        while len(received) < len(sent):
            received.append(await right.receive())
        assert received == sent

    @scenario
    async def test_a_cancelled_send_sends_the_frame_whole_or_not_at_all(
        self, left: Transport, right: Transport
    ) -> None:
        flood = Flood(left)
        taken = await flood.blocked()
        flood.task.cancel()
        await asyncio.wait([flood.task])
        for _ in range(8):  # nor do cancelled sends pile up
            cancelled = asyncio.create_task(left.send(bytes(MIB)))
            await settled(cancelled.done)
            cancelled.cancel()
        sending = asyncio.create_task(left.send("after"))
        frames = [await right.receive()]
        while frames[-1] != "after":
            frames.append(await right.receive())
        await sending
        whole = [flood.frame(number) for number in range(taken + 1)]
        whole.append(bytes(MIB))
        assert frames[:-1] in (whole, whole[:-1], whole[:-2])

    # The end

    @pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
    def test_the_peer_learns_the_close_code_and_reason(self, code: int) -> None:
        @scenario
        async def test(_: TransportContract, left: Transport, right: Transport) -> None:
            await left.close(code, "enough is enough")
            frames, closed = await received_until_closed(right)
            assert frames == []
            assert closed.close_code == code
            assert "enough is enough" in closed.message
            assert closed.retry_after is not None

        test(self, False)
        test(self, True)

    @scenario
    async def test_what_was_sent_before_the_close_is_received(
        self, left: Transport, right: Transport
    ) -> None:
        frames: list[Frame] = [*map(str, range(10)), bytes(MIB)]

        async def send_and_close() -> None:
            for frame in frames:
                await left.send(frame)
            await left.close(1001, "that was all")

        sending = asyncio.create_task(send_and_close())
        received, closed = await received_until_closed(right)
        assert received == frames
        assert closed.close_code == 1001
        await sending

    @scenario
    async def test_a_closed_transport_neither_sends_nor_receives(
        self, left: Transport, right: Transport
    ) -> None:
        await right.send("never received")
        await left.close(4001, "done")
        for _ in range(2):
            with pytest.raises(TransportClosed) as sending:
                await left.send("too late")
            with pytest.raises(TransportClosed) as receiving:
                await left.receive()
            assert sending.value.close_code == receiving.value.close_code == 4001

    @scenario
    async def test_after_the_peer_closed_nothing_can_be_sent(
        self, left: Transport, right: Transport
    ) -> None:
        await left.close(4001, "done")
        for _ in range(2):
            _, closed = await received_until_closed(right)
            assert closed.close_code == 4001
            with pytest.raises(TransportClosed) as sending:
                await right.send("too late")
            assert sending.value.close_code == 4001
        await right.close()
        _, closed = await received_until_closed(right)
        assert closed.close_code == 4001

    @scenario
    async def test_closing_twice_changes_nothing(self, left: Transport, right: Transport) -> None:
        await left.close(4001, "first")
        await left.close(4002, "second")
        _, closed = await received_until_closed(right)
        assert closed.close_code == 4001
        with pytest.raises(TransportClosed) as receiving:
            await left.receive()
        assert receiving.value.close_code == 4001

    @scenario
    async def test_both_ends_close_at_once(self, left: Transport, right: Transport) -> None:
        await asyncio.gather(left.close(4001), right.close(4001))
        for transport in (left, right):
            frames, closed = await received_until_closed(transport)
            assert frames == []
            assert closed.close_code == 4001

    @scenario
    async def test_closing_wakes_who_waits_to_receive(
        self, left: Transport, right: Transport
    ) -> None:
        waiting = [asyncio.create_task(end.receive()) for end in (left, right, left)]
        await settled(lambda: None)
        await left.close(4001)
        for task in waiting:
            with pytest.raises(TransportClosed) as receiving:
                await task
            assert receiving.value.close_code == 4001

    @scenario
    async def test_closing_wakes_who_waits_to_send(self, left: Transport, right: Transport) -> None:
        flood = Flood(left)
        taken = await flood.blocked()
        another = asyncio.create_task(left.send("another"))
        await settled(lambda: None)
        await left.close(4001)  # in bounded time, although the peer takes nothing
        for task in (flood.task, another):
            with pytest.raises(TransportClosed) as sending:
                await task
            assert sending.value.close_code == 4001
        assert flood.sent == taken
        await received_until_closed(right)

    @scenario
    async def test_the_peers_close_wakes_who_waits_to_send(
        self, left: Transport, right: Transport
    ) -> None:
        flood = Flood(left)
        await flood.blocked()
        await right.close(4001)
        with pytest.raises(TransportClosed):
            await flood.task

    @scenario
    async def test_a_close_that_is_cancelled_closes_all_the_same(
        self, left: Transport, right: Transport
    ) -> None:
        flood = Flood(left)
        await flood.blocked()
        closing = asyncio.create_task(left.close(4001))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        with pytest.raises(TransportClosed):
            await flood.task
        await received_until_closed(right)

    @scenario
    async def test_a_long_reason_is_cut(self, left: Transport, right: Transport) -> None:
        await left.close(1008, "ä" * 200)
        _, closed = await received_until_closed(right)
        assert closed.close_code == 1008
        assert "ä" * 61 in closed.message
        assert "ä" * 62 not in closed.message

    @scenario
    async def test_codes_that_must_not_be_sent_are_refused(
        self, left: Transport, right: Transport
    ) -> None:
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
            with pytest.raises(ValueError, match=f"^{code} cannot be sent"):
                await left.close(code)
        await left.send("still open")
        assert await right.receive() == "still open"
