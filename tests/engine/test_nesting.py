"""How deep shared types lie inside each other, over the updates of a document."""

from __future__ import annotations

from random import Random

import pytest

from syncline.engine.document.document import merge_updates
from syncline.engine.updates.nesting import Nesting
from syncline.engine.updates.parse import parse_update
from tests.engine.update_bytes import after, gc, inside, item, section, skip, typed, update, values
from tests.profiles import scaled

NO_LIMIT = 1 << 30
MAP = b"\x01"
NUMBER = b"\x7d\x01"


def depth(*updates: bytes) -> int:
    nesting = Nesting()
    for each in updates:
        parse_update(each)
        assert nesting.add(each, NO_LIMIT)
    return nesting.depth


def chain(client: int, clock: int, length: int, place: bytes | None = None) -> bytes:
    """Types inside each other, the first one in ``place``."""
    first = item(7, MAP) if place is None else item(7, MAP, place)
    rest = (item(7, MAP, inside(client, clock + n)) for n in range(length - 1))
    return update(section(client, clock, first, *rest))


def test_content_that_is_no_type_has_no_depth() -> None:
    assert depth(update(section(1, 0, typed("hi"), gc(2), values(NUMBER)))) == 0


def test_types_beside_each_other_are_as_deep_as_one() -> None:
    beside = (after(1, clock, 7, MAP) for clock in range(5))
    assert depth(update(section(1, 0, item(7, MAP), *beside))) == 1


def test_depth_adds_up_over_updates_and_writers() -> None:
    first, second = chain(1, 0, 3), chain(2, 0, 4, inside(1, 2))
    assert depth(first) == 3
    assert depth(first, second) == 7
    assert depth(second) == 4 + 1  # of what was not added it is taken to lie in a root
    assert depth(first, update(section(2, 0, after(1, 2, 7, MAP)))) == 3


def test_an_update_may_bring_what_it_builds_on_behind_it() -> None:
    low = section(1, 0, item(7, MAP), item(7, MAP, inside(2, 0)))
    high = section(2, 0, item(7, MAP, inside(1, 0)), item(7, MAP, inside(1, 1)))
    assert depth(update(low, high)) == 4
    assert depth(update(high, low)) == 4


def test_gaps_are_known_from_elsewhere() -> None:
    known = update(section(1, 0, item(7, MAP), gc(1), item(7, MAP)))
    gapped = update(section(1, 0, item(7, MAP), skip(2), item(7, MAP, inside(1, 1))))
    assert depth(gapped) == 2
    assert depth(known, gapped) == 2


def test_of_what_is_refused_nothing_is_kept() -> None:
    nesting = Nesting()
    assert nesting.add(chain(1, 0, 2), 2)
    runs = nesting.runs
    assert not nesting.add(chain(2, 0, 2, inside(1, 0)), 2)
    assert not nesting.add(chain(1, 2, 2, inside(1, 0)), 2)
    assert (nesting.depth, nesting.runs) == (2, runs)
    assert nesting.add(update(section(2, 0, item(7, MAP), after(1, 1, 7, MAP))), 2)
    assert nesting.depth == 2


def test_runs_are_kept_and_not_operations() -> None:
    nesting = Nesting()
    nesting.add(update(section(1, 0, typed("x" * 1000))), NO_LIMIT)
    for clock in range(1000, 2000):
        nesting.add(update(section(1, clock, after(1, clock - 1, 4, b"\x01x"))), NO_LIMIT)
    assert nesting.runs == 1


@pytest.mark.parametrize("seed", range(scaled(60)))
def test_depth_is_that_of_a_simple_count_however_the_updates_are_merged(seed: int) -> None:
    rng = Random(seed)
    depths: dict[tuple[int, int], int] = {}
    clocks = {1: 0, 2: 0, 3: 0}
    updates: list[bytes] = []
    for _ in range(60):
        client = rng.choice(list(clocks))
        clock = clocks[client]
        where = rng.choice(list(depths)) if depths and rng.random() < 0.8 else None
        is_type = rng.random() < 0.6
        content = MAP if is_type else b"\x01x"
        kind = 7 if is_type else 4
        if where is None:
            struct, lies = item(kind, content), 0
        elif depths[where] < 0 or rng.random() < 0.3:  # negative: not a type
            struct, lies = after(*where, kind, content), abs(depths[where]) - 1
        else:
            struct, lies = item(kind, content, inside(*where)), depths[where]
        depths[client, clock] = lies + 1 if is_type else -lies - 1
        clocks[client] += 1
        updates.append(update(section(client, clock, struct)))
    expected = max([0, *depths.values()])
    assert depth(*updates) == expected
    assert depth(merge_updates(updates)) == expected
    cut = rng.randrange(60)
    assert depth(merge_updates(updates[:cut]), merge_updates(updates[cut:])) == expected
