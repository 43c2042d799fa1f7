"""The hybrid clock: stamps rise whatever the wall clock does, and a peer pulls them only so far."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.clock import COUNTER_BITS, MAX_DRIFT_MS, MAX_STAMP, HybridClock

NOW = 1_000_000


class Wall:
    """A wall clock that a test sets."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def test_a_stamp_is_the_time_above_a_counter() -> None:
    wall = Wall()
    clock = HybridClock(wall)
    assert clock.tick() == NOW << COUNTER_BITS
    assert clock.tick() == (NOW << COUNTER_BITS) + 1
    wall.now += 1
    assert clock.tick() == (NOW + 1) << COUNTER_BITS
    assert clock.last == (NOW + 1) << COUNTER_BITS


def test_a_full_counter_carries_into_the_milliseconds() -> None:
    clock = HybridClock(Wall())
    stamps = [clock.tick() for _ in range((1 << COUNTER_BITS) + 1)]
    assert stamps[-2] == (NOW << COUNTER_BITS) + 2047
    assert stamps[-1] == (NOW + 1) << COUNTER_BITS


def test_stamps_rise_when_the_wall_clock_is_set_back_or_the_process_restarts() -> None:
    wall = Wall()
    before = HybridClock(wall)
    last = before.tick()
    wall.now -= 10_000
    assert before.tick() == last + 1
    assert HybridClock(wall, before.last).tick() == last + 2


def test_stamps_fit_in_53_bits_until_2109() -> None:
    last_ms = MAX_STAMP >> COUNTER_BITS
    assert MAX_STAMP == 2**53 - 1
    assert datetime.fromtimestamp(last_ms / 1000, UTC).year == 2109
    assert HybridClock(Wall(last_ms)).tick() <= MAX_STAMP


def test_following_raises_the_next_stamp_and_an_older_one_changes_nothing() -> None:
    clock = HybridClock(Wall())
    seen = ((NOW + 60_000) << COUNTER_BITS) + 7
    clock.follow(seen)
    assert clock.last == seen
    clock.follow(seen - 1)
    assert clock.tick() == seen + 1
    assert clock.skew_ms == 0


def test_a_stamp_is_followed_up_to_five_minutes_ahead() -> None:
    latest = (NOW + MAX_DRIFT_MS) << COUNTER_BITS
    clock = HybridClock(Wall())
    clock.follow(latest)
    assert (clock.last, clock.skew_ms) == (latest, 0)
    clock.follow(latest + (3 << COUNTER_BITS))
    assert (clock.last, clock.skew_ms) == (latest, 3)
    clock.follow(MAX_STAMP)
    clock.follow(latest + (2 << COUNTER_BITS))
    assert clock.last == latest
    # The furthest is kept, not the last.
    assert clock.skew_ms == (MAX_STAMP - latest) >> COUNTER_BITS


def test_clamping_never_lowers_a_clock_that_is_ahead_itself() -> None:
    ahead = (NOW + 10 * MAX_DRIFT_MS) << COUNTER_BITS
    clock = HybridClock(Wall(), last=ahead)
    clock.follow(ahead + 5)
    assert clock.last == ahead


def test_what_a_wrong_clock_has_issued_binds_no_longer_than_it_must() -> None:
    wall = Wall(NOW + 2 * MAX_DRIFT_MS)
    tolerated = HybridClock(wall)
    last = tolerated.tick()
    wall.now = NOW
    assert tolerated.tick() == last + 1  # five minutes of following, five of being set back
    wall.now = NOW + 2 * MAX_DRIFT_MS + 1
    wrong = HybridClock(wall)
    wrong.tick()
    wall.now = NOW
    assert wrong.tick() == NOW << COUNTER_BITS
    assert HybridClock(wall, last=MAX_STAMP).tick() == NOW << COUNTER_BITS


def test_beyond_five_minutes_the_reference_is_the_time() -> None:
    wall = Wall()
    clock = HybridClock(wall)
    for reference in (NOW + MAX_DRIFT_MS, NOW - MAX_DRIFT_MS):
        clock.compare(reference)
        assert (clock.offset_ms, clock.now()) == (0, NOW)
    clock.compare(NOW - MAX_DRIFT_MS - 1)
    assert (clock.offset_ms, clock.now()) == (MAX_DRIFT_MS + 1, NOW - MAX_DRIFT_MS - 1)
    wall.now += 7
    assert clock.tick() == (NOW - MAX_DRIFT_MS + 6) << COUNTER_BITS
    clock.compare(NOW + 7 + 10 * MAX_DRIFT_MS)
    assert clock.offset_ms == -10 * MAX_DRIFT_MS
    assert clock.tick() == (NOW + 7 + 10 * MAX_DRIFT_MS) << COUNTER_BITS


@pytest.mark.parametrize("year", [1, 1970, 2110, 9999])
def test_no_wall_clock_makes_a_stamp_that_cannot_be_read(year: int) -> None:
    clock = HybridClock(Wall((year - 1970) * 365 * 86_400_000))
    assert all(0 <= clock.tick() <= MAX_STAMP for _ in range(3))


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("tick"), st.just(0)),
            st.tuples(st.just("follow"), st.integers(0, MAX_STAMP)),
            st.tuples(st.just("set"), st.integers(0, 2 * NOW)),
        ),
        max_size=50,
    )
)
def test_stamps_rise_but_where_they_were_too_far_ahead(steps: list[tuple[str, int]]) -> None:
    wall = Wall()
    clock = HybridClock(wall)
    for what, value in steps:
        if what == "tick":
            before, furthest = clock.last, clock.latest + (MAX_DRIFT_MS << COUNTER_BITS)
            issued = clock.tick()
            assert issued > before or before > furthest
            assert issued <= furthest + 1
        elif what == "follow":
            clock.follow(value)
        else:
            wall.now = value
