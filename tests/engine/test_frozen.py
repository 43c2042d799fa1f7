"""Lists and dicts that were read: plain in every way but that they refuse to be changed."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.document.frozen import FrozenDict, FrozenList, freeze, thaw
from syncline.engine.document.types import ValueType
from syncline.engine.document.values import encode_value
from syncline.engine.errors import WrongType

WHERE = "contacts.options"

values = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


def mutators(plain: type[Any]) -> set[str]:
    """The methods of ``plain`` that change it: those that a frozen one must not inherit."""
    harmless = {"copy", "count", "index", "get", "items", "keys", "values", "fromkeys"}
    special = {"__setitem__", "__delitem__", "__iadd__", "__imul__", "__ior__"}
    named = {name for name in dir(plain) if not name.startswith("_")} - harmless
    return named | (special & set(dir(plain)))


@pytest.mark.parametrize(("kind", "plain"), [(FrozenList, list), (FrozenDict, dict)])
def test_no_method_that_changes_is_inherited(kind: type[Any], plain: type[Any]) -> None:
    assert mutators(plain) <= vars(kind).keys()


LIST: list[Callable[[Any], Any]] = [
    lambda found: found.append(1),
    lambda found: found.extend([1]),
    lambda found: found.insert(0, 1),
    lambda found: found.remove(1),
    lambda found: found.pop(),
    lambda found: found.clear(),
    lambda found: found.sort(key=str),
    lambda found: found.reverse(),
    lambda found: found.__setitem__(0, 1),
    lambda found: found.__delitem__(0),
]
DICT: list[Callable[[Any], Any]] = [
    lambda found: found.pop("a"),
    lambda found: found.popitem(),
    lambda found: found.clear(),
    lambda found: found.update(b=1),
    lambda found: found.setdefault("b", 1),
    lambda found: found.__setitem__("b", 1),
    lambda found: found.__delitem__("a"),
]


@pytest.mark.parametrize(
    ("value", "change"),
    [*(([1, [2]], each) for each in LIST), *(({"a": 1}, each) for each in DICT)],
)
def test_changing_it_in_place_is_refused_with_what_to_do(
    value: Any, change: Callable[[Any], Any]
) -> None:
    found = freeze(value, WHERE)
    with pytest.raises(WrongType, match=r"in contacts\.options cannot be changed in place") as no:
        change(found)
    assert "Assign a changed copy" in str(no.value.hint)
    assert found == value
    for nested in (freeze([value], WHERE)[0], freeze({"k": value}, WHERE)["k"]):
        with pytest.raises(WrongType):
            change(nested)


@given(value=values)
def test_it_is_equal_and_its_copies_are_plain(value: Any) -> None:
    found = freeze(value, WHERE)
    assert found == value
    assert value == found
    assert repr(found) == repr(value)
    assert isinstance(found, type(value))
    assert json.loads(json.dumps(found)) == value
    assert orjson.loads(orjson.dumps(found)) == value
    assert encode_value(found, where=WHERE) == encode_value(value, where=WHERE)
    pickled = pickle.loads(pickle.dumps(found))  # noqa: S301 - its own
    for again in (copy.deepcopy(found), pickled, thaw(found)):
        assert again == value
        assert_plain(again)
    if type(value) in (list, dict):
        assert type(copy.copy(found)) is type(found.copy()) is type(value)


def assert_plain(value: Any) -> None:
    assert type(value) not in (FrozenList, FrozenDict)
    parts: list[Any] = []
    if isinstance(value, list):
        parts = cast("list[Any]", value)
    elif isinstance(value, dict):
        parts = list(cast("dict[Any, Any]", value).values())
    for part in parts:
        assert_plain(part)


def test_operators_that_assign_make_plain_ones() -> None:
    found, options = freeze(["a"], WHERE), freeze({"a": 1}, WHERE)
    kept, kept_options = found, options
    found += ["b"]
    options |= {"b": 2}
    assert (found, options) == (["a", "b"], {"a": 1, "b": 2})
    assert (kept, kept_options) == (["a"], {"a": 1})
    found *= 2
    assert found == ["a", "b"] * 2
    assert type(found) is list
    assert type(options) is dict


@pytest.mark.parametrize("annotation", [Any, list, list[Any], list[int | list[int]]], ids=str)
def test_what_was_read_can_be_written(annotation: Any) -> None:
    value_type = ValueType(annotation, WHERE, frozen=True)
    found = value_type.restore([1, [2]])
    assert type(found) is FrozenList
    assert value_type.encode(found, WHERE) == b"[1,[2]]"
    assert value_type.encode([*found, 3], WHERE) == b"[1,[2],3]"
