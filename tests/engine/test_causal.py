"""Hold-back: any loss, repetition and order of frames; the cursor never passes what is missing."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.errors import DocumentBroken, MalformedFrame
from syncline.engine.names import Address
from syncline.engine.updates.causal import HoldBack, Ready
from syncline.engine.updates.parse import StateVector, UpdateInfo, encode_state_vector, parse_update
from tests.engine.update_bytes import gc, section, update
from tests.engine.writers import CLIENT_IDS, Writer, merge
from tests.profiles import scaled

A, B = Address("notes", "a"), Address("notes", "b")
Entry = tuple[Address, bytes, UpdateInfo]


def op(clock: int, address: Address = A, client: int = 1, length: int = 1) -> Entry:
    """An entry that brings ``length`` operations from ``clock`` on, and needs those before."""
    data = update(section(client, clock, gc(length)))
    return address, data, parse_update(data)


def held_bytes(hold_back: HoldBack) -> int:
    """How many bytes are held, counted anew; also what the hold-back's own count must be."""
    held = sum(len(one.item.update) for kept in hold_back._held.values() for one in kept)
    assert hold_back._bytes == held
    return held


class Replica:
    """A hold-back and the state vectors of what it let through."""

    def __init__(self, hold_back: HoldBack) -> None:
        self.hold_back = hold_back
        self.states: dict[Address, StateVector] = {}
        self.applied: list[tuple[Address, int]] = []

    def state_of(self, address: Address) -> StateVector:
        return self.states.get(address, {})

    def receive(self, since: int, cursor: int, *entries: Entry) -> list[tuple[Address, int]]:
        return self._apply(self.hold_back.receive(since, cursor, entries, self.state_of))

    def release(self, address: Address) -> list[tuple[Address, int]]:
        return self._apply(self.hold_back.release(address, self.state_of(address)))

    def _apply(self, ready: list[Ready]) -> list[tuple[Address, int]]:
        for one in ready:
            self.states[one.address] = one.info.advance(self.state_of(one.address))
        return [(one.address, one.info.ranges[1][0][0]) for one in ready]


def replica(
    *, cursor: int = 0, max_updates: int = 1000, max_bytes: int = 1 << 20, max_intervals: int = 256
) -> Replica:
    return Replica(
        HoldBack(cursor, max_updates=max_updates, max_bytes=max_bytes, max_intervals=max_intervals)
    )


# By hand


def test_a_history_that_ended_holds_nothing_up() -> None:
    one = replica()
    assert one.receive(0, 2, op(1), op(0, B)) == [(B, 0)]  # what comes before in A is missing
    assert one.hold_back.waiting == [A]
    one.hold_back.abandon(A)
    assert (one.hold_back.cursor, one.hold_back.waiting, one.hold_back.held) == (2, [], 0)
    one.hold_back.abandon(B)  # of which nothing is held
    assert one.receive(2, 3, op(1, B)) == [(B, 1)]


def test_frames_in_order_pass_and_move_the_cursor() -> None:
    one = replica(cursor=4)
    assert one.receive(4, 6, op(0), op(0, B)) == [(A, 0), (B, 0)]
    assert one.hold_back.cursor == 6
    assert one.receive(6, 9) == []
    assert one.hold_back.cursor == 9
    assert not one.hold_back.gap
    assert one.hold_back.waiting == []


def test_what_does_not_depend_on_the_missing_frame_passes() -> None:
    one = replica()
    assert one.receive(1, 2, op(0, B)) == [(B, 0)]
    assert one.hold_back.cursor == 0
    assert one.hold_back.gap
    assert one.hold_back.waiting == []
    assert one.receive(0, 1, op(0)) == [(A, 0)]
    assert one.hold_back.cursor == 2
    assert not one.hold_back.gap


def test_what_depends_on_the_missing_frame_is_held_and_then_passes_in_order() -> None:
    one = replica()
    assert one.receive(2, 3, op(2)) == []
    assert one.receive(1, 2, op(1)) == []
    assert one.hold_back.waiting == [A]
    assert (one.hold_back.held, one.hold_back.gap) == (2, True)
    assert one.receive(0, 1, op(0)) == [(A, 0), (A, 1), (A, 2)]
    assert one.hold_back.cursor == 3
    assert (one.hold_back.held, one.hold_back.gap) == (0, False)


def test_entries_of_one_frame_may_depend_on_each_other_in_any_order() -> None:
    one = replica()
    assert one.receive(0, 3, op(2), op(0, B), op(1), op(0)) == [(A, 0), (A, 1), (A, 2), (B, 0)]
    assert one.hold_back.cursor == 3


def test_a_frame_that_waits_holds_the_cursor_but_is_no_gap() -> None:
    one = replica()
    assert one.receive(0, 2, op(3), op(0, B)) == [(B, 0)]
    assert one.receive(2, 3, op(1, B)) == [(B, 1)]
    assert one.hold_back.cursor == 0
    assert one.hold_back.waiting == [A]
    assert not one.hold_back.gap


def test_what_was_fetched_releases_what_waited() -> None:
    one = replica()
    one.receive(0, 2, op(3))
    one.receive(2, 3, op(4))
    assert one.release(A) == []
    one.states[A] = {1: 3}
    assert one.release(A) == [(A, 3), (A, 4)]
    assert one.hold_back.cursor == 3
    assert one.release(B) == []


def test_a_document_that_moved_on_elsewhere_releases_with_its_next_entry() -> None:
    one = replica()
    one.receive(0, 2, op(3))
    one.states[A] = {1: 3}
    assert one.receive(2, 3, op(9)) == [(A, 3)]
    assert one.hold_back.cursor == 2


def test_old_and_repeated_frames_change_nothing() -> None:
    one = replica()
    one.receive(0, 2, op(0))
    assert one.receive(0, 2, op(0)) == []
    assert one.receive(0, 1, op(0)) == []
    one.receive(3, 5, op(7))
    assert one.receive(3, 5, op(7)) == []
    assert one.hold_back.held == 1
    one.receive(6, 8, op(0, B))
    assert one.receive(6, 8, op(0, B)) == [(B, 0)]  # idempotent, and not worth remembering
    assert (one.hold_back.cursor, one.hold_back.gap) == (2, True)


def test_a_repeated_frame_releases_what_became_covered() -> None:
    one = replica()
    one.receive(0, 2, op(3))
    one.states[A] = {1: 3}
    assert one.receive(0, 2, op(3)) == [(A, 3)]
    assert one.hold_back.cursor == 2


def test_frames_cut_anew_may_overlap() -> None:
    one = replica()
    one.receive(2, 6, op(2))
    one.receive(4, 9, op(0, B))
    one.receive(12, 14)
    assert one.hold_back.cursor == 0
    one.receive(0, 5, op(0, length=4))
    assert one.hold_back.cursor == 9
    assert one.hold_back.gap
    one.receive(8, 13)
    assert (one.hold_back.cursor, one.hold_back.gap) == (14, False)


def test_held_updates_that_the_cursor_passed_are_dropped() -> None:
    one = replica()
    one.receive(0, 4, op(9), op(9, B))
    one.receive(0, 3)
    assert (one.hold_back.cursor, one.hold_back.held) == (3, 2)
    one.receive(3, 4)
    assert (one.hold_back.cursor, one.hold_back.held, held_bytes(one.hold_back)) == (4, 0, 0)
    assert one.hold_back.waiting == []


def test_reset_forgets_everything() -> None:
    one = replica()
    one.receive(3, 5, op(7))
    one.receive(8, 9)
    one.hold_back.reset(2)
    assert (one.hold_back.cursor, one.hold_back.held, one.hold_back.gap) == (2, 0, False)
    assert one.hold_back.waiting == []
    assert one.receive(2, 8, op(0)) == [(A, 0)]
    assert one.hold_back.cursor == 8


def test_waiting_keeps_its_order() -> None:
    one = replica()
    one.receive(3, 4, op(7, B))
    one.receive(4, 5, op(7, A))
    one.receive(5, 6, op(8, B))
    assert one.hold_back.waiting == [B, A]


@pytest.mark.parametrize(("since", "cursor"), [(5, 5), (5, 4)])
def test_a_frame_that_encloses_nothing_is_malformed(since: int, cursor: int) -> None:
    one = replica()
    with pytest.raises(MalformedFrame, match=f"after {since} up to {cursor}"):
        one.receive(since, cursor)


def test_a_document_that_cannot_be_opened_leaves_everything_as_it_was() -> None:
    one = replica()

    def broken(_: Address) -> StateVector:
        raise DocumentBroken("It is broken.", hint="")

    with pytest.raises(DocumentBroken):
        one.hold_back.receive(0, 1, [op(0)], broken)
    assert one.receive(0, 1, op(0)) == [(A, 0)]
    assert one.hold_back.cursor == 1


# Bounds


@pytest.mark.parametrize("bounds", [{"max_updates": 3}, {"max_bytes": 3 * len(op(9)[1])}])
def test_beyond_the_bounds_the_furthest_frame_is_forgotten(bounds: dict[str, int]) -> None:
    one = replica(**bounds)
    for seq in (5, 2, 6, 3):
        one.receive(seq - 1, seq, op(seq - 1))
    assert one.hold_back.held == 3
    assert one.receive(0, 1, op(0)) == [(A, 0), (A, 1), (A, 2)]
    assert one.hold_back.cursor == 3
    assert one.receive(3, 4, op(3)) == [(A, 3), (A, 4)]
    assert one.hold_back.cursor == 5
    assert one.hold_back.gap  # seq 6 was forgotten, and is to be asked for
    assert one.receive(5, 6, op(5)) == [(A, 5)]
    assert not one.hold_back.gap


def test_the_nearest_frame_is_held_whatever_its_size() -> None:
    one = replica(max_bytes=1)
    one.receive(4, 5, op(9))
    one.receive(0, 2, op(3), op(4))
    assert one.hold_back.held == 2
    one.states[A] = {1: 3}
    assert one.release(A) == [(A, 3), (A, 4)]
    assert one.hold_back.cursor == 2


def test_open_frames_and_known_stretches_are_bounded() -> None:
    one = replica(max_intervals=4)
    for seq in range(2, 40, 2):
        one.receive(seq, seq + 1)
    assert one.receive(1, 2) == []
    one.receive(0, 1)
    assert one.hold_back.cursor == 3
    one.receive(3, 4)
    one.receive(5, 6)
    one.receive(7, 8)
    one.receive(9, 10)
    assert one.hold_back.cursor == 10  # 10 to 11 was forgotten
    assert one.hold_back.gap
    two = replica(max_intervals=4)
    for seq in range(2, 40):
        two.receive(seq, seq + 1, op(seq))
    assert two.hold_back.held == 4
    assert two.hold_back.gap


# The relay's log over a bad network


class Change(NamedTuple):
    seq: int
    address: Address
    update: bytes


class Log:
    """A relay's log of two documents, written by three writers who learn from it now and then."""

    def __init__(self, random: Random, edits: int) -> None:
        self._random = random
        self.changes: list[Change] = []
        self.complete = {address: Writer(99) for address in (A, B)}
        writers = [{address: Writer(client) for address in (A, B)} for client in CLIENT_IDS[:3]]
        known = [0, 0, 0]
        for _ in range(edits):
            number = random.randrange(3)
            if random.random() < 0.2:
                for change in self.changes[known[number] :]:
                    writers[number][change.address].apply(change.update)
                known[number] = len(self.changes)
            address = random.choice((A, B))
            writer = writers[number][address]
            writer.made.clear()
            writer.edit(random)
            for made in writer.made:
                self.changes.append(Change(len(self.changes) + 1, address, made.update))
                self.complete[address].apply(made.update)

    @property
    def head(self) -> int:
        return len(self.changes)

    def frame(self, since: int, cursor: int, *, hide: int = 0) -> tuple[int, int, list[Entry]]:
        """All changes in (since, cursor], merged per document, without those of client ``hide``."""
        entries: list[Entry] = []
        for address in (A, B):
            updates = [
                change.update
                for change in self.changes[since:cursor]
                if change.address == address and hide not in parse_update(change.update).ends()
            ]
            if updates:
                data = merge(updates)
                entries.append((address, data, parse_update(data)))
        return since, cursor, entries

    def frames(self, since: int, *, hide: int = 0) -> list[tuple[int, int, list[Entry]]]:
        """The stream from ``since`` on, cut at random."""
        frames: list[tuple[int, int, list[Entry]]] = []
        while since < self.head:
            cursor = min(self.head, since + self._random.randint(1, 4))
            frames.append(self.frame(since, cursor, hide=hide))
            since = cursor
        return frames

    def upto(self, seq: int, address: Address) -> Writer:
        document = Writer(99)
        for change in self.changes[:seq]:
            if change.address == address:
                document.apply(change.update)
        return document


def distorted(
    random: Random, frames: list[tuple[int, int, list[Entry]]], trouble: float
) -> list[tuple[int, int, list[Entry]]]:
    """The frames with losses, repetitions and overtaking, each as likely as ``trouble``."""
    placed: list[tuple[float, int, tuple[int, int, list[Entry]]]] = []
    for number, frame in enumerate(frames):
        if random.random() < trouble:
            continue
        for _ in range(2 if random.random() < trouble else 1):
            late = random.random() * 10 if random.random() < trouble else 0
            placed.append((number + late, len(placed), frame))
    return [frame for _, _, frame in sorted(placed, key=lambda one: one[:2])]


class Device:
    """A replica with real documents behind a hold-back."""

    def __init__(self, log: Log, bounds: dict[str, int]) -> None:
        self._log = log
        self.bounds = bounds
        self._largest = 0  # bytes of a frame
        self.hold_back = HoldBack(0, **bounds)
        self.documents = {address: Writer(98) for address in (A, B)}

    def state_of(self, address: Address) -> StateVector:
        return self.documents[address].state_vector()

    def receive(self, frame: tuple[int, int, list[Entry]]) -> None:
        self._largest = max(self._largest, sum(len(data) for _, data, _ in frame[2]))
        self.apply(self.hold_back.receive(*frame, self.state_of))

    def fetch(self, address: Address) -> None:
        """Get the difference from the relay, as it is now."""
        document = self.documents[address]
        state = encode_state_vector(document.state_vector())
        document.apply(self._log.complete[address].update_since(state))
        self.apply(self.hold_back.release(address, self.state_of(address)))

    def apply(self, ready: list[Ready]) -> None:
        for one in ready:
            before = self.documents[one.address].state_vector()
            self.documents[one.address].apply(one.update)
            after = self.documents[one.address].state_vector()
            assert after == one.info.advance(before), "an update did not integrate completely"
        assert self.hold_back.held <= self.bounds.get("max_updates", 1000)
        assert held_bytes(self.hold_back) <= max(
            self.bounds.get("max_bytes", 1 << 20), self._largest
        )

    def check_cursor(self) -> None:
        """Everything up to the cursor must be in the stored documents: it changes nothing."""
        for address, document in self.documents.items():
            stored = Writer(97)
            stored.apply(document.update_since())
            before = stored.content(), stored.state_vector()
            stored.apply(self._log.upto(self.hold_back.cursor, address).update_since())
            assert (stored.content(), stored.state_vector()) == before

    def check_complete(self) -> None:
        assert self.hold_back.cursor == self._log.head
        assert not self.hold_back.gap
        assert self.hold_back.waiting == []
        for address, document in self.documents.items():
            assert document.content() == self._log.complete[address].content()
            assert document.state_vector() == self._log.complete[address].state_vector()


BOUNDS: list[dict[str, int]] = [{}, {"max_updates": 4, "max_bytes": 300, "max_intervals": 3}]


@given(st.integers(0, 2**32 - 1), st.sampled_from(BOUNDS))
@settings(deadline=None, max_examples=scaled(200))
def test_a_lossy_stream_that_is_resumed_converges(seed: int, bounds: dict[str, int]) -> None:
    random = Random(seed)
    log = Log(random, edits=40)
    device = Device(log, bounds)
    for trouble in (0.3, 0.3, 0.2, 0.1, 0.0):
        if random.random() < 0.3:
            device.hold_back.reset(device.hold_back.cursor)
        for frame in distorted(random, log.frames(device.hold_back.cursor), trouble):
            device.receive(frame)
            if random.random() < 0.1:
                device.check_cursor()
        device.check_cursor()
    device.check_complete()


@given(st.integers(0, 2**32 - 1), st.sampled_from(BOUNDS))
@settings(deadline=None, max_examples=scaled(200))
def test_what_the_stream_never_brings_is_fetched(seed: int, bounds: dict[str, int]) -> None:
    """A replica that lost its own changes is not sent them: only fetching heals it."""
    random = Random(seed)
    log = Log(random, edits=30)
    device = Device(log, bounds)
    hidden = CLIENT_IDS[0]
    for _ in range(10 * log.head):
        if device.hold_back.cursor == log.head:
            break
        for frame in distorted(random, log.frames(device.hold_back.cursor, hide=hidden), 0.1):
            device.receive(frame)
        for address in device.hold_back.waiting:
            device.fetch(address)
    for address in (A, B):
        device.fetch(address)
    device.check_complete()
