"""Alignment: what two sequences have in common, at a bounded cost."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.engine.history.alignment import Alignment, align
from tests.profiles import scaled

TEXTS = st.text("ab \n", max_size=30)


def _longest_common(old: Sequence[str], new: Sequence[str]) -> int:
    row = [0] * (len(new) + 1)
    for one in old:
        above = row
        row = [0]
        for index, other in enumerate(new):
            row.append(above[index] + 1 if one == other else max(above[index + 1], row[-1]))
    return row[-1]


def _checked(old: Sequence[str], new: Sequence[str]) -> Alignment:
    common = align(old, new)
    at = other = 0
    for block in common.blocks:
        assert block.size > 0
        assert block.old >= at
        assert block.new >= other
        at, other = block.old + block.size, block.new + block.size
        assert old[block.old : at] == new[block.new : other]
    assert at <= len(old)
    assert other <= len(new)
    return common


@settings(max_examples=scaled(300), deadline=None)
@given(old=TEXTS, new=TEXTS)
def test_small_texts_align_as_well_as_can_be(old: str, new: str) -> None:
    common = _checked(old, new)
    assert sum(block.size for block in common.blocks) == _longest_common(old, new)
    assert align(list(old), list(new)).blocks == common.blocks


@settings(max_examples=scaled(100), deadline=None)
@given(old=TEXTS, new=TEXTS)
def test_places_rise_and_keep_to_their_neighbours(old: str, new: str) -> None:
    common = align(old, new)
    places = [common.place(index) for index in range(len(old) + 1)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= len(new)
    for index in range(len(old)):
        image = common.image(index)
        if image is not None:
            assert old[index] == new[image]
            assert places[index + 1] == image + 1


@pytest.mark.parametrize(
    ("old", "new", "index", "place"),
    [
        ("", "abc", 0, 3),
        ("abc", "", 2, 0),
        ("the cat sat", "the dog sat", 7, 7),  # inside what was replaced: behind it
        ("the cat sat", "the dog sat", 5, 7),
        ("the cat sat", "the dog sat", 4, 4),
        ("the cat sat", "sat", 4, 0),
        ("abc", "abcd", 3, 3),
    ],
)
def test_places(old: str, new: str, index: int, place: int) -> None:
    assert align(old, new).place(index) == place


def _prose(random: Random, words: int) -> str:
    vocabulary = [
        "".join(random.choices("abcdefghij", k=random.randrange(1, 9))) for _ in "x" * 900
    ]
    return " ".join(random.choices(vocabulary, k=words))


@pytest.mark.long
def test_what_costs_too_much_is_cut_at_lines_and_words() -> None:
    random = Random(1)
    text = _prose(random, 20_000)
    inserted = text[:500] + _prose(random, 500) + text[500:90_000] + "!" + text[90_003:]
    common = _checked(text, inserted)
    assert sum(block.size for block in common.blocks) >= len(text) - 10

    lines = [_prose(random, 8) + "\n" for _ in range(2_000)]
    moved = [*lines[:200], *lines[300:700], "new\n" * 300, *lines[700:]]
    common = _checked("".join(lines), "".join(moved))
    assert sum(b.size for b in common.blocks) == len("".join(lines)) - len("".join(lines[200:300]))

    _checked(text, "".join(random.sample(text, len(text))))  # hopeless, and soon given up
    _checked("a" * 50_000, "b" + "a" * 48_000 + "c")
