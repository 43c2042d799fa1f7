"""The two sessions against each other, over lines that lose frames and lines that do not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.lossy import World
from tests.profiles import scaled

seeds = st.integers(0, 2**64 - 1)


@settings(max_examples=scaled(300), deadline=None)
@given(seeds)
def test_every_batch_arrives_once_and_in_order_whatever_is_lost(seed: int) -> None:
    world = World(seed, loses=True)
    world.run(300)
    # Once nothing is lost any more, one ping finds all that was.
    assert world.settle() == 1
    world.check()


@settings(max_examples=scaled(300), deadline=None)
@given(seeds)
def test_where_nothing_is_lost_nothing_is_sent_twice(seed: int) -> None:
    world = World(seed, loses=False)
    world.run(300)
    world.settle()
    world.check()
    assert world.alarms == []


@pytest.mark.slow
def test_the_lossy_line_loses() -> None:
    """The proof that the first test tests something."""
    worlds = [World(seed, loses=True) for seed in range(50)]
    for world in worlds:
        world.run(300)
        world.settle()
    kinds = {type(alarm).__name__ for world in worlds for alarm in world.alarms}
    assert kinds == {"Rewind", "Missed"}
    assert sum(world.duplicates for world in worlds) > 100
    assert sum(world.written for world in worlds) > 500
