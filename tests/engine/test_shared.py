"""Plain Yjs types of a document without a schema: natural in Python, and what an editor expects."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.errors import OutOfRange, SchemaError, ValueRefused, WrongType
from syncline.engine.shared import SharedArray, SharedMap, SharedText
from syncline.engine.updates.parse import parse_update
from tests.engine.devices import Device, exchange

EXACT = 2**53 - 1


class Page:
    """A document without a schema on one device."""

    def __init__(self, client_id: int = 2**40) -> None:
        self.device = Device(client_id)
        self.map = SharedMap.of_root(self.device, "pages/home", "shapes")
        self.array = SharedArray.of_root(self.device, "pages/home", "order")
        self.text = SharedText.of_root(self.device, "pages/home", "title")


@pytest.fixture
def page() -> Page:
    return Page()


def _lists(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _dicts(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"k": value}
    return value


def _spelled(value: object) -> str:
    return json.dumps(value, sort_keys=True)  # Yjs keeps no order of the keys inside a value


VALUES: list[object] = [
    None,
    True,
    False,
    0,
    -1,
    EXACT,
    -EXACT,
    0.5,
    1e300,
    "",
    "naïve 😀",
    [],
    {},
    [1, [None, {"k": [2.5]}]],
    {"k": {"l": 1}, "": [True]},
    _lists(32),
    _dicts(32),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value!r:.30} {len(repr(value))}")
def test_a_value_comes_back_here_and_elsewhere(page: Page, value: object) -> None:
    page.map["k"] = value
    page.array.append(value)
    other = Page(2**40 + 1)
    updates = page.device.written()
    for update in updates:
        parse_update(update)  # no deeper than the parser lets pass
    other.device.receive(updates)
    for each in (page, other):
        for found in (each.map["k"], each.array[0]):
            assert found == value
            assert _spelled(found) == _spelled(value)  # 1, not 1.0


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (5.0, "5"),
        (-0.0, "0"),
        (2.0**53, "9007199254740992.0"),
        ([1.0, {"k": 2.0}], "[1, {'k': 2}]"),
    ],
    ids=str,
)
def test_whole_numbers_read_as_ints(page: Page, stored: object, read: str) -> None:
    # JavaScript does not tell them from floats; beyond 2^53-1 it is not exact.
    page.map["k"] = stored
    assert repr(page.map["k"]) == read


REFUSED: list[tuple[object, str]] = [
    (2**53, "cannot store 9007199254740992 of type int."),
    (-(2**53), "cannot store -9007199254740992 of type int."),
    (2**64, "cannot store 18446744073709551616 of type int."),
    (float("nan"), "cannot store nan of type float."),
    (float("-inf"), "cannot store -inf of type float."),
    (Decimal("1.5"), "cannot store Decimal('1.5') of type Decimal."),
    (b"x", "cannot store b'x' of type bytes."),
    ((1,), "cannot store (1,) of type tuple."),
    ([1, [{2}]], "cannot store {2} of type set."),
    ({"k": [1j]}, "cannot store 1j of type complex."),
    (pycrdt.Map(), "of type Map."),
]


@pytest.mark.parametrize(("value", "said"), REFUSED)
def test_what_yjs_would_not_keep_is_refused_before_anything_is_written(
    page: Page, value: object, said: str
) -> None:
    with pytest.raises(ValueRefused) as refused:
        page.map["k"] = value
    assert refused.value.message.startswith("pages/home:shapes['k'] cannot store ")
    assert refused.value.message.endswith(said)
    assert refused.value.hint == (
        "A document without a schema holds what JSON holds: None, bool, str, finite numbers up to "
        "2^53-1, lists and dicts nested at most 32 deep; and shared types that are in no document "
        "yet, such as SharedMap({…}). Records hold more types."
    )
    with pytest.raises(ValueRefused) as refused:
        page.array.append(value)
    assert refused.value.message.startswith("an item of pages/home:order cannot store ")
    assert page.device.written() == []
    assert not page.device.document().broken


def test_a_long_value_is_shortened_in_its_refusal(page: Page) -> None:
    with pytest.raises(ValueRefused) as refused:
        page.map["k"] = b"x" * 1_000
    assert refused.value.message == (
        f"pages/home:shapes['k'] cannot store b'{'x' * 58} of type bytes."
    )


def test_nesting_is_bounded(page: Page) -> None:
    circular: list[Any] = []
    circular.append(circular)
    for value in (_lists(33), _dicts(33), circular):
        with pytest.raises(
            ValueRefused, match=r"shapes\['k'\] cannot store .* of type (dict|list)"
        ):
            page.map["k"] = value


REFUSED_TEXTS: list[tuple[Callable[[Page], object], str]] = [
    (
        lambda page: page.map.__setitem__(cast("Any", 5), 1),
        "A key of pages/home:shapes takes str, not int.",
    ),
    (
        lambda page: page.map.__setitem__("k", {"a": {5: 1}}),
        "A key of pages/home:shapes['k'] takes str, not int.",
    ),
    (
        lambda page: page.map.__setitem__("\ud800", 1),
        "A key of pages/home:shapes cannot store a lone surrogate.",
    ),
    (
        lambda page: page.map.__setitem__("k", ["\udfff"]),
        "pages/home:shapes['k'] cannot store a lone surrogate.",
    ),
    (
        lambda page: page.array.append({"a\ud800": 1}),
        "A key of an item of pages/home:order cannot store a lone surrogate.",
    ),
    (
        lambda page: page.map.__setitem__("k", "x" * (2**20 + 1)),
        "pages/home:shapes['k'] cannot take 1,048,577 characters in one insert.",
    ),
    (
        lambda page: page.text.append("\ud800"),
        "pages/home:title cannot store a lone surrogate.",
    ),
    (lambda page: page.text.append(cast("Any", None)), "pages/home:title takes str, not NoneType."),
]


@pytest.mark.parametrize(("write", "sentence"), REFUSED_TEXTS)
def test_texts_and_keys_are_checked(
    page: Page, write: Callable[[Page], object], sentence: str
) -> None:
    with pytest.raises((ValueRefused, WrongType)) as refused:
        write(page)
    assert refused.value.message == sentence
    assert refused.value.hint
    assert page.device.written() == []


def test_a_map_behaves_like_a_dict(page: Page) -> None:
    shapes = page.map
    model = {"b": 1, "a": [2], "c": None}
    for key, value in model.items():
        shapes[key] = value
    assert shapes.to_plain() == model
    assert len(shapes) == 3
    assert "a" in shapes
    assert "z" not in shapes
    assert shapes.get("a") == [2]
    assert shapes.get("c", 5) is None
    assert shapes.get("z") is None
    assert shapes.get("z", 5) == 5
    keys = [str(number) for number in range(10, 30)]
    for key in reversed(keys):
        shapes[key] = None
    assert list(shapes) == [*keys, "a", "b", "c"]  # Yjs has no order of its own
    for key in ("a", *keys):
        del shapes[key]
    assert repr(shapes) == "<SharedMap pages/home:shapes: {'b': 1, 'c': None}>"
    for use in (lambda: shapes["a"], lambda: shapes.__delitem__("a")):
        with pytest.raises(KeyError) as missing:
            use()
        assert missing.value.args == ("a",)


def test_an_array_behaves_like_a_list(page: Page) -> None:
    order, model = page.array, list[Any]()
    for index, value in [(0, "a"), (5, "b"), (-1, "c"), (-9, "d"), (2, [1]), (1, None)]:
        order.insert(index, value)
        model.insert(index, value)
    order.append(7)
    model.append(7)
    assert order.to_plain() == list(order) == model
    assert len(order) == len(model)
    assert order[0] == model[0]
    assert order[-2] == model[-2]
    assert order.pop() == model.pop()
    assert order.pop(1) == model.pop(1)
    del order[-1]
    del model[-1]
    del order[0]
    del model[0]
    assert list(order) == model
    assert repr(order) == f"<SharedArray pages/home:order: {model!r}>"


@pytest.mark.parametrize("index", [2, -3])
def test_an_index_outside_is_refused(page: Page, index: int) -> None:
    order = page.array
    order.append("a")
    order.append("b")
    for use in (
        lambda: order[index],
        lambda: order.pop(index),
        lambda: order.__delitem__(index),
    ):
        with pytest.raises(OutOfRange) as refused:
            use()
        assert refused.value.message == (
            f"pages/home:order has 2 items, so there is none at {index}."
        )
        assert (
            refused.value.hint == "Use an index from 0 to len - 1, or a negative one from the end."
        )
        assert isinstance(refused.value, IndexError)
    assert order.to_plain() == ["a", "b"]


def test_nothing_can_be_popped_from_an_empty_array(page: Page) -> None:
    with pytest.raises(OutOfRange, match="has 0 items, so there is none at -1"):
        page.array.pop()


def test_a_text_stands_under_its_own_name(page: Page) -> None:
    title = page.text
    title.append("Héllo")
    title.insert(5, "!")
    title.delete(0, 1)
    assert str(title) == "éllo!"
    assert repr(title) == "<SharedText pages/home:title: 'éllo!'>"
    assert page.device.document().to_dict() == {"title": "éllo!"}
    with pytest.raises(
        OutOfRange, match="pages/home:title has 5 characters, so nothing can be ins"
    ):
        title.insert(6, "x")


def test_a_root_has_one_type(page: Page) -> None:
    page.map["k"] = 1
    with pytest.raises(SchemaError) as refused:
        len(SharedArray.of_root(page.device, "pages/home", "shapes"))
    assert refused.value.message == (
        "The root 'shapes' of pages/home is a Y.Map, and cannot be used as a Y.Array."
    )


def test_concurrent_writes_resolve_as_in_yjs() -> None:
    low, high = Page(2**40), Page(2**40 + 1)
    high.map["k"] = "high"
    low.device.now += 1_000
    low.map["k"] = "low"  # later, and yet
    low.array.append("low")
    high.array.append("high")
    exchange(low.device, high.device)
    assert low.map["k"] == high.map["k"] == "high"
    assert list(low.array) == list(high.array) == ["low", "high"]


def test_what_an_editor_nests_reads_as_live_objects(page: Page) -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=9)
    shapes: pycrdt.Map[Any] = doc.get("shapes", type=pycrdt.Map)
    shapes["box"] = pycrdt.Map({"at": pycrdt.Array([1, 2.5])})
    order: pycrdt.Array[Any] = doc.get("order", type=pycrdt.Array)
    order.append(pycrdt.Map({"id": "box"}))
    page.device.receive([doc.get_update()])
    assert page.map.to_plain() == {"box": {"at": [1, 2.5]}}
    assert page.array.to_plain() == [{"id": "box"}]
    at, first = page.map["box"]["at"], page.array[0]
    before = doc.get_state()
    shapes["box"]["at"].append(3)
    order[0]["id"] = "circle"
    page.device.receive([doc.get_update(before)])
    assert repr(page.map["box"]) == ("<SharedMap pages/home:shapes['box']: {'at': [1, 2.5, 3]}>")
    assert at == [1, 2.5, 3]
    assert first == page.array[0] == {"id": "circle"}


STEPS = st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 2), st.integers()), max_size=20)


@given(steps=STEPS)
def test_any_use_of_an_array_is_that_of_a_list(steps: list[tuple[int, int, int]]) -> None:
    order, model = Page().array, list[int]()
    for index, what, number in steps:
        value = number % 10
        if what < 2:
            order.insert(index, value)
            model.insert(index, value)
        elif -len(model) <= index < len(model):
            assert order.pop(index) == model.pop(index)
        else:
            with pytest.raises(OutOfRange):
                order.pop(index)
    assert list(order) == model
