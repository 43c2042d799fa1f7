"""Members of enums and Literals that only another version knows: an older one gives them back."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import Any, Literal

import pytest

from syncline.engine.document.types import ValueType
from syncline.engine.document.values import encode_value
from syncline.engine.errors import ValueRefused, WrongType

WHERE = "contacts.stage"


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Mood(StrEnum):
    GOOD = "good"


class Rate(Enum):
    FULL = 1.0


class Mark(Enum):
    ONE = b"1"


class Other(Enum):
    GREY = "grey"


CASES: list[tuple[Any, str]] = [
    (Color, '"green"'),
    (Color | None, '"green"'),
    (Color | int, '"green"'),
    (Size, "5"),
    (Mood, '"bad"'),
    (Rate, "2.5"),
    (Mark, '{"$bytes":"Mg=="}'),
    (Literal["a", "b"], '"c"'),
    (Literal["a", 1] | None, "2"),
    (list[Color], '["red","green"]'),
    (dict[str, list[Color | None]], '{"k":["green",null]}'),
    (list[Literal["a"]], '["a","z"]'),
]


@pytest.mark.parametrize(("annotation", "stored"), CASES, ids=str)
def test_it_is_written_back_as_it_was(annotation: Any, stored: str) -> None:
    for frozen in (False, True):
        value_type = ValueType(annotation, WHERE, frozen=frozen)
        assert value_type.encode(value_type.decode(stored), WHERE).decode() == stored


def test_an_edit_of_what_holds_it_keeps_it() -> None:
    colors = ValueType(list[Color], WHERE, frozen=True)
    found = colors.decode('["green"]')
    assert colors.encode([*found, Color.RED], WHERE) == b'["green","red"]'


def test_it_is_what_is_stored_and_no_member() -> None:
    found: Any = ValueType(Color, WHERE).decode('"green"')
    assert (isinstance(found, str), isinstance(found, Color)) == (True, False)
    assert (found, found.value, found.name) == ("green", "green", "green")
    assert type(found.value) is str


def test_a_slip_of_the_pen_is_refused_as_ever() -> None:
    color = ValueType(Color, WHERE)
    found = color.decode('"green"')
    for wrong in ("green", "red", ValueType(Other, WHERE).decode('"green"')):
        with pytest.raises(WrongType, match=r"contacts\.stage takes Color, not"):
            color.encode(wrong, WHERE)
    with pytest.raises(WrongType):
        ValueType(str, WHERE).encode(found, WHERE)
    with pytest.raises(WrongType):
        ValueType(Literal["a"], WHERE).encode("c", WHERE)
    assert encode_value(found, where=WHERE) == b'"green"'  # where anything may stand
    with pytest.raises(ValueRefused):
        encode_value(Color.RED, where=WHERE)
