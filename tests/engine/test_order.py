"""Positions: between any two there is a third, whoever makes it, and garbage is none."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from syncline.engine.fields.order import DIGITS, MAX_LENGTH, is_position, position_between
from tests.profiles import scaled

LARGEST_CLIENT = 2**53 - 1
WRITERS = st.sampled_from([0, 1, 2**40, 2**40 + 1, LARGEST_CLIENT])
SMALLEST = "A" + "0" * 26
LARGEST = "z" + "z" * 26


def _integer_digits(head: str) -> int:
    """How many digits follow the first character of an integer part."""
    return ord(head) - ord("a") + 1 if head >= "a" else ord("Z") - ord(head) + 1


@st.composite
def positions(draw: st.DrawFn) -> str:
    """Well-formed positions, near the edges and far from any that we would make."""
    digits = st.text(draw(st.sampled_from([DIGITS, "0z", "0", "z", "01Vz"])))
    head = draw(st.sampled_from("aAzZbByY") | st.sampled_from(DIGITS[10:]))
    count = _integer_digits(head)
    integer = head + draw(digits).ljust(count, draw(st.sampled_from("0zV")))[:count]
    position = integer + draw(digits).rstrip("0")
    assume(position != SMALLEST)
    return position


@given(position=positions())
def test_the_generator_makes_positions(position: str) -> None:
    assert is_position(position)


@settings(max_examples=scaled(500))
@given(pair=st.tuples(positions(), positions()), writer=WRITERS, tail=st.text(DIGITS, max_size=5))
def test_there_is_always_a_place_between_two(pair: tuple[str, str], writer: int, tail: str) -> None:
    lower, upper = sorted(pair)
    # The neighbour that leaves the least room: the lower one, and digits after it.
    for above in (upper, f"{lower}{tail}V"):
        if lower < above:
            between = position_between(lower, above, writer)
            assert lower < between < above
            assert is_position(between)


@given(position=positions(), writer=WRITERS)
def test_there_is_always_a_place_at_an_end(position: str, writer: int) -> None:
    before = position_between(None, position, writer)
    after = position_between(position, None, writer)
    assert before < position < after
    assert is_position(before)
    assert is_position(after)


@settings(max_examples=scaled(200))
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["first", "last", "same", "any"]), st.integers(0, 1000), WRITERS),
        max_size=60,
    )
)
def test_any_insertions_by_several_writers_stay_in_their_order(
    steps: list[tuple[str, int, int]],
) -> None:
    made: list[str] = []
    cursor = 0
    for where, number, writer in steps:
        if where != "same":
            places = {"first": 0, "last": len(made), "any": number % (len(made) + 1)}
            cursor = places[where]
        lower = made[cursor - 1] if cursor else None
        upper = made[cursor] if cursor < len(made) else None
        made.insert(cursor, position_between(lower, upper, writer))
        cursor += number % 2  # before or after what was just inserted
    assert made == sorted(set(made))
    assert all(map(is_position, made))


@given(
    pair=st.tuples(positions(), positions()),
    writers=st.lists(st.integers(0, LARGEST_CLIENT), min_size=2, max_size=4, unique=True),
)
def test_two_writers_never_make_the_same_position(
    pair: tuple[str, str], writers: list[int]
) -> None:
    lower, upper = sorted(pair)
    assume(lower < upper)
    for below, above in ((None, None), (lower, None), (None, upper), (lower, upper)):
        made = {position_between(below, above, writer) for writer in writers}
        assert len(made) == len(writers)


def test_first_positions_are_fixed() -> None:
    # Vectors of the record layout.
    first = position_between(None, None, 1)
    assert first == "a0000000001V"
    assert position_between(None, None, LARGEST_CLIENT) == "a0fFgnDxSe7V"
    assert position_between(first, None, 2) == "a1000000002V"
    assert position_between(None, first, 2) == "Zz000000002V"
    assert position_between(first, "a1000000002V", 3) == "a0V000000003V"
    assert position_between("az", None, 1) == "b00000000001V"
    assert position_between(None, "Z0", 1) == "Yzz000000001V"
    assert position_between(LARGEST, None, 1) == f"{LARGEST}V000000001V"
    assert position_between(None, f"{SMALLEST}1", 1) == f"{SMALLEST}0V000000001V"


def test_positions_at_an_end_stay_short() -> None:
    first = last = position_between(None, None, 1)
    for _ in range(10_000):
        first, last = position_between(None, first, 1), position_between(last, None, 1)
    assert len(first) <= 14
    assert len(last) <= 14


@pytest.mark.slow
@pytest.mark.parametrize("after", [True, False])
def test_thousands_of_insertions_at_one_place_are_well(*, after: bool) -> None:
    # Digits that cannot grow gather in such a position: they were once stepped over by recursion.
    lower = position_between(None, None, 1)
    upper = position_between(lower, None, 1)
    for _ in range(8_000):
        between = position_between(lower, upper, 1)
        assert lower < between < upper
        lower, upper = (between, upper) if after else (lower, between)
    assert is_position(lower)
    assert is_position(upper)


def test_a_stranger_s_position_may_be_of_the_longest() -> None:
    longest = "a0" + "z" * (MAX_LENGTH - 2)
    assert is_position(longest)
    between = position_between(longest, "a1", 1)
    assert longest < between < "a1"
    assert not is_position(between)  # ListOf refuses to insert there


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        b"a0",
        ["a0"],
        "",
        "a",
        "0",
        "00",
        "b0",  # two digits must follow b
        "Y0",
        "A0",
        SMALLEST,  # there is nothing before it
        "a00",  # equal to a0 as a number
        "a0V0",
        "a0-",
        "a0 ",
        "a0\n",
        "aé",
        "a٣",
        "{0",
        "@0",
        "a0" + "V" * (MAX_LENGTH - 1),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_no_position(text: object) -> None:
    assert not is_position(text)


@pytest.mark.parametrize(
    "text", ["a0", "Z0", "b00", "a0V", SMALLEST + "1", LARGEST, "a0" + "V" * (MAX_LENGTH - 2)]
)
def test_what_is_a_position(text: str) -> None:
    assert is_position(text)
