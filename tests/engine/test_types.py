"""Value types: what each annotation admits, how it is spelled in errors, and what comes back."""

from __future__ import annotations

import types
import typing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Any, Literal, Optional, Union
from uuid import UUID

import pytest

from syncline.engine.document.types import ValueType
from syncline.engine.errors import SchemaError, ValueRefused, WrongType

WHERE = "contacts.phone"


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1


class Mood(StrEnum):
    GOOD = "good"


class Right(Flag):
    READ = 1
    WRITE = 2


class Point(Enum):
    ORIGIN = (0, 0)


class Rate(Enum):
    FULL = 1.0


class Nothing(Enum):
    NOTHING = None


def _value_type(annotation: Any) -> ValueType:
    return ValueType(annotation, WHERE)


ADMITTED: list[tuple[Any, list[object]]] = [
    (None, [None]),
    (bool, [True]),
    (int, [5, 2**70]),
    (float, [1.5]),
    (str, ["x"]),
    (bytes, [b"x"]),
    (Decimal, [Decimal("1.10")]),
    (datetime, [datetime(2026, 1, 1, tzinfo=UTC)]),
    (date, [date(2026, 1, 1)]),
    (time, [time(1, 2)]),
    (timedelta, [timedelta(1)]),
    (UUID, [UUID(int=1)]),
    (Any, [None, 5, ["x", {"k": b""}]]),
    (list, [[], [1, "x"]]),
    (dict, [{}, {"k": [1]}]),
    (list[int], [[], [1, 2]]),
    (list[Any], [[1, "x", None]]),
    (typing.List[int], [[1]]),  # noqa: UP006
    (dict[str, int], [{}, {"k": 1}]),
    (dict[str, list[int | None]], [{"k": [1, None]}]),
    (str | None, ["x", None]),
    (Optional[str], ["x", None]),  # noqa: UP045
    (Union[int, str], [1, "1"]),  # noqa: UP007
    (Literal["a", 1, None], ["a", 1, None]),
    (float | int, [5, 5.0]),
    (list[float | int], [[5, 5.0]]),
    (Color, [Color.RED]),
    (Color | None, [Color.BLUE, None]),
    (Color | float, [Color.RED, 1.5, 2.0]),
    (Color | int | Decimal, [Color.BLUE, 5, Decimal(5)]),
    (Rate | int, [Rate.FULL, 1]),
    (list[Color], [[Color.RED, Color.BLUE]]),
    (dict[str, list[Color | None]], [{"k": [Color.RED, None]}]),
    (list[Color] | str, [[Color.RED], "red"]),
    (list[Color | int] | dict[str, Color], [[Color.RED, 5], {"k": Color.RED}]),
    (Size, [Size.SMALL]),
    (Mood, [Mood.GOOD]),
    (Right, [Right.READ, Right.READ | Right.WRITE]),
    (Right | str, [Right.READ | Right.WRITE, "r"]),
]


@pytest.mark.parametrize(("annotation", "values"), ADMITTED)
def test_what_an_annotation_admits_comes_back(annotation: Any, values: list[object]) -> None:
    value_type = _value_type(annotation)
    for value in values:
        found = value_type.decode(value_type.encode(value, WHERE).decode())
        assert found == value
        assert repr(found) == repr(value)


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (str, 5, "takes str, not int (5)."),
        (str, None, "takes str, not NoneType (None)."),
        (str, Mood.GOOD, "takes str, not Mood (<Mood.GOOD: 'good'>)."),
        (int, True, "takes int, not bool (True)."),
        (int, 1.0, "takes int, not float (1.0)."),
        (int, Size.SMALL, "takes int, not Size (<Size.SMALL: 1>)."),
        (float, True, "takes float, not bool (True)."),
        (float, Decimal(1), "takes float, not Decimal (Decimal('1'))."),
        # As a float it would be another number, or none.
        (float, 2**53 + 1, "takes float, not int (9007199254740993)."),
        (float, 10**400, f"takes float, not int (1{'0' * 36}...)."),
        (date, datetime(2026, 1, 1, tzinfo=UTC), "takes date, not datetime (datetime.datetime("),
        (datetime, date(2026, 1, 1), "takes datetime, not date (datetime.date(2026, 1, 1))."),
        (bytes, bytearray(b"x"), "takes bytes, not bytearray (bytearray(b'x'))."),
        (None, 0, "takes None, not int (0)."),
        (str | None, 5, "takes str | None, not int (5)."),
        (Optional[int], "x", "takes int | None, not str ('x')."),  # noqa: UP045
        (Literal["a", 1], "b", "takes Literal['a', 1], not str ('b')."),
        (Literal[1], True, "takes Literal[1], not bool (True)."),
        (Color, "red", "takes Color, not str ('red')."),
        (Color | None, "red", "takes Color | None, not str ('red')."),
        (list, (1,), "takes list, not tuple ((1,))."),
        (list[int], [1, "x"], "takes list[int], not list ([1, 'x'])."),
        (list[int], {"k": 1}, "takes list[int], not dict ({'k': 1})."),
        (dict[str, int], {"k": "x"}, "takes dict[str, int], not dict ({'k': 'x'})."),
        (dict[str, int], [1], "takes dict[str, int], not list ([1])."),
        (list[Color], ["red"], "takes list["),
        (str, ["x" * 50], f"takes str, not list (['{'x' * 35}...)."),
    ],
)
def test_what_it_does_not_admit_is_refused_by_name(
    annotation: Any, value: object, said: str
) -> None:
    value_type = _value_type(annotation)
    with pytest.raises(WrongType) as refused:
        value_type.encode(value, "contacts.phone[0]")
    assert refused.value.message.startswith(f"contacts.phone[0] {said}")
    assert refused.value.hint == (
        f"Assign a value of type {value_type}, or change the annotation of the field."
    )


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (Any, object(), "cannot store a value of type object."),
        (list, [Color.RED], "cannot store a value of type Color."),
        (dict[str, int], {5: 1}, "cannot store a dict with the key 5."),
        (float, float("nan"), "cannot store the float nan."),
        (Point, Point.ORIGIN, "cannot store a value of type tuple."),
    ],
)
def test_of_the_type_and_still_not_storable(annotation: Any, value: object, said: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        _value_type(annotation).encode(value, WHERE)
    assert refused.value.message == f"contacts.phone {said}"


def test_an_int_is_welcome_as_a_float_if_it_is_exact() -> None:
    value_type = _value_type(float | None)
    for value in (5, 2**53, -(2**53)):
        found = value_type.decode(value_type.encode(value, WHERE).decode())
        assert found == value
        assert type(found) is float


@pytest.mark.parametrize(
    ("annotation", "spelled"),
    [
        (object, "object"),
        (complex, "complex"),
        (tuple[int, ...], "tuple[int, ...]"),
        (set[int], "set[int]"),
        (list[set[int]], "set[int]"),
        (dict[int, str], "dict[int, str]"),
        (dict[str, complex], "complex"),
        (str | complex, "complex"),
        (typing.List, "List"),  # noqa: UP006
        (typing.Dict, "Dict"),  # noqa: UP006
        (typing.Annotated[int, "even"], "Annotated[int, 'even']"),
        (Literal[Color.RED], "Literal[<Color.RED: 'red'>]"),
        ("str", "str"),
    ],
)
def test_an_annotation_that_no_stored_value_has_is_refused(annotation: Any, spelled: str) -> None:
    with pytest.raises(SchemaError) as refused:
        _value_type(annotation)
    assert refused.value.message == (
        f"contacts.phone is annotated {spelled}, which cannot be stored."
    )
    assert refused.value.hint == (
        "Use Text, Counter, SetOf, ListOf or MapOf, or a value type: bool, int, float, str, bytes, "
        "Decimal, datetime, date, time, timedelta, UUID, an Enum, list, dict with str keys, "
        "Literal, Any, and unions of these with None."
    )


@pytest.mark.parametrize(
    ("annotation", "said", "leave_out"),
    [
        (Color | str, "Color | str, and Color.RED, stored as 'red'", "str"),
        (str | None | Color, "str | None | Color, and Color.RED, stored as 'red'", "str"),
        (Size | int, "Size | int, and Size.SMALL, stored as 1", "int"),
        (Size | Right, "Size | Right, and Size.SMALL, stored as 1", "Right"),
        (Nothing | None, "Nothing | None, and Nothing.NOTHING, stored as None", "None"),
        (Color | Literal["blue"], "Color | Literal['blue'], and Color.BLUE", "Literal['blue']"),
        (list[Color | str], "Color | str, and Color.RED", "str"),
    ],
)
def test_an_enum_beside_a_type_that_has_its_values_is_refused(
    annotation: Any, said: str, leave_out: str
) -> None:
    with pytest.raises(SchemaError) as refused:
        _value_type(annotation)
    assert refused.value.message.startswith(f"contacts.phone is annotated {said}")
    assert refused.value.message.endswith(", could be read as either.")
    assert refused.value.hint == f"Leave {leave_out} out, or give the members other values."


@pytest.mark.parametrize(
    ("annotation", "stored", "read"),
    [
        (Color, '"green"', "green"),
        (Color | None, '"green"', "green"),
        (list[Color], '["red","green"]', [Color.RED, "green"]),
        (dict[str, Color], '{"a":"red","b":["red"]}', {"a": Color.RED, "b": ["red"]}),
        (list[Color], '"red"', "red"),
        (Rate, "1", 1),  # not 1.0
        (Right, "8", 8),
        (Right, '"x"', "x"),
        (str, "5", 5),
    ],
)
def test_what_another_version_of_the_class_wrote_comes_back_as_it_is(
    annotation: Any, stored: str, read: object
) -> None:
    found = _value_type(annotation).decode(stored)
    assert found == read
    assert repr(found) == repr(read)


@pytest.mark.parametrize("annotation", [Any, list, list[list[int]]], ids=str)
def test_a_container_that_was_read_may_be_changed(annotation: Any) -> None:
    # Readers keep parsed values: changing what was handed out must not change the record's.
    kept = [[1]]
    found = _value_type(annotation).restore(kept)
    found[0].append(2)
    found.append([3])
    assert kept == [[1]]
    entries = {"k": {"l": 1}}
    _value_type(dict).restore(entries)["k"]["l"] = 2
    assert entries == {"k": {"l": 1}}


def test_none_and_its_type_are_one_annotation() -> None:
    assert str(_value_type(None)) == str(_value_type(types.NoneType)) == "None"


def test_stored_bytes_of_no_value_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="unknown value tag"):
        _value_type(Any).decode('{"$new":1}')
