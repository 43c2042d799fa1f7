"""Where the operations of a document lie: how deep, and where no client puts them."""

from __future__ import annotations

from random import Random

import pytest
from pycrdt import Doc, Map

from syncline.engine.document.document import merge_updates
from syncline.engine.errors import InvalidUpdate
from syncline.engine.updates.layout import Layout
from syncline.engine.updates.parse import parse_update
from tests.engine.update_bytes import (
    ROOT,
    after,
    gc,
    inside,
    item,
    section,
    skip,
    text,
    typed,
    uint,
    update,
    values,
)
from tests.profiles import scaled

NO_LIMIT = 1 << 30
MAP = b"\x01"
NUMBER = b"\x7d\x01"


def depth(*updates: bytes) -> int:
    layout = Layout()
    for each in updates:
        layout.check(each, parse_update(each).deletes, NO_LIMIT)
    return layout.depth


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
    layout = Layout()
    layout.check(chain(1, 0, 2), {}, 2)
    runs = layout.runs
    for deep in (chain(2, 0, 2, inside(1, 0)), chain(1, 2, 2, inside(1, 0))):
        with pytest.raises(InvalidUpdate, match="nests shared types deeper than 2 levels"):
            layout.check(deep, {}, 2)
    assert (layout.depth, layout.runs) == (2, runs)
    layout.check(update(section(2, 0, item(7, MAP), after(1, 1, 7, MAP))), {}, 2)
    assert layout.depth == 2


def test_runs_are_kept_and_not_operations() -> None:
    layout = Layout()
    layout.add(update(section(1, 0, typed("x" * 1000))))
    runs = layout.runs
    for clock in range(1000, 2000):
        layout.add(update(section(1, clock, after(1, clock - 1, 4, b"\x01x"))))
    assert layout.runs == runs


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


KEY = text("k")
ONE, TWO = b"\x7d\x01", b"\x7d\x02"
CHAIN = (
    # Each alone, and after what it builds on: a value under a key, text in "t" and in "u", a map.
    item(0x28, b"\x01" + ONE, ROOT + KEY),
    typed("abc"),
    item(4, text("xyz"), b"\x01" + text("u")),
    item(7, MAP),
)
KEYED, IN_T, IN_U, A_MAP = (1, 0), (1, 2), (1, 5), (1, 7)


def between(left: tuple[int, int], right: tuple[int, int], kind: int, content: bytes) -> bytes:
    return bytes([kind | 0xC0]) + b"".join(map(uint, (*left, *right))) + content


NEVER_MADE = {
    "in a character": (item(4, text("x"), inside(*IN_T)), "in what is no shared type"),
    "in a value": (item(4, text("x"), inside(*KEYED)), "in what is no shared type"),
    "between two roots": (between(IN_T, IN_U, 4, text("x")), "lie in different places"),
    "between a root and a key": (between(KEYED, IN_T, 4, text("x")), "lie in different places"),
    "two values after a key's": (
        after(*KEYED, 8, b"\x02" + ONE + TWO),
        "one item has several values of one key",
    ),
    "text after a key's": (after(*KEYED, 4, text("ab")), "several values of one key"),
    "formatting after a key's": (
        after(*KEYED, 6, text("b") + text("true")),
        "the value of a key is formatting",
    ),
    "before a key's": (
        bytes([0x48]) + b"".join(map(uint, KEYED)) + b"\x01" + TWO,
        "has a neighbour on its right",
    ),
}


@pytest.mark.parametrize("apart", [True, False], ids=["in an update of its own", "together"])
@pytest.mark.parametrize("name", NEVER_MADE)
def test_what_no_client_makes_is_refused(name: str, apart: bool) -> None:
    struct, sentence = NEVER_MADE[name]
    layout = Layout()
    known, bad = section(1, 0, *CHAIN), section(2, 0, struct)
    if apart:
        layout.add(update(known))
    last = update(bad) if apart else update(bad, known)

    def take() -> None:
        info = parse_update(last)
        assert info.placed
        layout.check(last, info.deletes, NO_LIMIT)

    with pytest.raises(InvalidUpdate, match=sentence):
        take()


def test_neighbours_and_parents_that_clients_choose_are_taken() -> None:
    layout = Layout()
    layout.add(update(section(1, 0, *CHAIN)))
    for clock, struct in enumerate(
        [
            between((1, 1), IN_T, 4, text("x")),
            item(4, text("y"), inside(*A_MAP)),
            after(*KEYED, 8, b"\x01" + TWO),
            after(2, 2, 8, b"\x01" + TWO),  # and so under that key too
            item(0x28, b"\x01" + ONE, inside(*A_MAP) + KEY),
        ]
    ):
        layout.check(update(section(2, clock, struct)), {}, NO_LIMIT)
    with pytest.raises(InvalidUpdate, match="several values"):
        layout.check(update(section(2, 5, after(2, 3, 4, text("ab")))), {}, NO_LIMIT)


def test_a_type_that_was_deleted_may_still_be_a_parent() -> None:
    """Whoever has not heard of the deletion writes into it."""
    for gone in (item(1, uint(3)), gc(3)):
        layout = Layout()
        layout.add(update(section(1, 0, gone)))
        layout.check(update(section(2, 0, item(4, text("x"), inside(1, 1)))), {}, NO_LIMIT)
        layout.check(update(section(2, 1, after(2, 0, 4, text("yz")))), {}, NO_LIMIT)


@pytest.mark.parametrize("collects", [True, False])
def test_the_former_values_of_a_key_are_one_item(collects: bool) -> None:
    """Yjs joins them, collected or not; the item is deleted in the same update."""
    doc = Doc[Map[float]](client_id=5, skip_gc=not collects)
    values = doc.get("m", type=Map[float])
    with doc.transaction():
        for number in range(5):
            values["k"] = number
    whole = doc.get_update()
    layout = Layout()
    info = parse_update(whole)
    layout.check(whole, info.deletes, NO_LIMIT)
    if not collects:
        assert info.structs == 2
        # Told apart from the killer only by its deletions.
        joined, _ = whole[:-5], whole[-5:]
        with pytest.raises(InvalidUpdate, match="several values"):
            parse_update(joined + b"\0")
