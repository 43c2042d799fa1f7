"""Schemas of records: the value that a policy shows, and what is checked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.types import ValueType
from syncline.engine.document.values import encode_value
from syncline.engine.errors import SchemaMismatch, UnknownField
from syncline.engine.fields import Counter, FieldView, ListOf, MapOf, SetOf, Text
from syncline.engine.records.changes import fields_of
from syncline.engine.records.schema import REGISTERS, FieldSpec, OnConflict, Schema, unknown_field
from tests.engine.devices import Device

ANY = ValueType(Any, "test")


def _concurrent(*writes: tuple[int, object]) -> Cells:
    """A field that writers 1, 2, … wrote at these stamps, none having seen another."""
    reader = Document(99)
    for writer, (stamp, value) in enumerate(writes, 1):
        document = Document(writer)
        with document.transaction():
            encoded = encode_value(value, where="field")
            cells_of(document, REGISTERS).write("field", encoded, stamp)
        for update in document.take_captured():
            reader.apply(update)
    return cells_of(reader, REGISTERS)


@pytest.mark.parametrize(
    ("policy", "values", "shown"),
    [
        ("newest", [(10, "a"), (30, "b"), (20, "c")], "b"),
        ("surface", [(10, "a"), (30, "b"), (20, "c")], "b"),
        ("max", [(30, 1), (20, 5), (10, 3)], 5),
        ("min", [(30, 2), (20, 5), (10, 1)], 1),
        ("max", [(10, Decimal("1.5")), (20, 1)], Decimal("1.5")),
        ("max", [(10, "b"), (20, "a")], "b"),
        ("min", [(10, "b"), (20, "a")], "a"),
        # What does not compare is settled by time.
        ("max", [(10, 5), (20, None)], None),
        ("min", [(20, 5), (10, None)], 5),
        ("max", [(10, 9), (30, "x"), (20, 10)], "x"),
        ("max", [(10, {"k": 1}), (20, {"k": 0})], {"k": 0}),
        # At one time, the higher client id.
        ("newest", [(10, "a"), (10, "b"), (10, "c")], "c"),
        ("max", [(10, 7)], 7),
        ("newest", [(10, 7)], 7),
    ],
)
def test_a_policy_chooses_among_concurrent_values(
    policy: OnConflict, values: list[tuple[int, object]], shown: object
) -> None:
    cell = FieldSpec("field", ANY, on_conflict=policy).choose(_concurrent(*values))
    assert cell is not None
    assert cell.value == shown
    assert type(cell.value) is type(shown)


@pytest.mark.parametrize("policy", ["max", "min"])
def test_of_equal_extremes_the_newest_is_shown(policy: OnConflict) -> None:
    # 1 == 1.0 == True: which of them is shown must not depend on the order of arrival.
    cells = _concurrent((10, 1), (30, True), (20, 1.0))
    cell = FieldSpec("field", ANY, on_conflict=policy).choose(cells)
    assert cell is not None
    assert (cell.stamp, cell.writer) == (30, 2)


@pytest.mark.parametrize("policy", ["newest", "surface", "max", "min"])
def test_a_field_that_nobody_wrote_shows_nothing(policy: OnConflict) -> None:
    assert FieldSpec("other", ANY, on_conflict=policy).choose(_concurrent((1, "x"))) is None


SCHEMA = Schema(
    "contacts",
    {
        "name": FieldSpec("name", ANY),
        "notes": FieldSpec("notes", ANY, Text),
        "visits": FieldSpec("visits", ANY, Counter),
    },
)


def test_kinds_are_what_decides_the_layout() -> None:
    assert SCHEMA.kinds == {"name": "register", "notes": "text", "visits": "counter"}
    assert SCHEMA.delete_vs_edit == "delete-wins"
    assert SCHEMA.field("notes") is SCHEMA.fields["notes"]


def test_a_watched_document_tells_of_changes_in_every_field() -> None:
    # A root that nobody has opened is not observed, and a remote change in it would go unseen.
    kinds: list[type[FieldView]] = [Text, Counter, SetOf, ListOf, MapOf]
    views = {view.kind: FieldSpec(view.kind, ANY, view) for view in kinds}
    schema = Schema("all", {"register": FieldSpec("register", ANY), **views})
    device = Device(2**40)
    with device.writing() as document:
        cells_of(document, REGISTERS).write("register", b"1", 1)
    device.text.append("x")
    device.counter += 1
    device.set.add("x")
    device.list.append("x")
    device.map["x"] = 1
    reader = Document(99)
    schema.watch(reader)
    for update in device.written():
        reader.apply(update)
    assert fields_of(reader.touched) == set(schema.fields)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"name": "register"},
        {"name": "register", "notes": "text", "visits": "counter"},
        {"gone": "set", "name": "register"},  # a field that the class no longer has
    ],
)
def test_a_store_written_with_the_same_kinds_fits(stored: dict[str, str]) -> None:
    SCHEMA.check_against(stored)


def test_a_store_written_with_another_kind_does_not() -> None:
    with pytest.raises(SchemaMismatch) as refused:
        SCHEMA.check_against({"name": "register", "notes": "register"})
    assert refused.value.message == (
        "contacts.notes is declared as a text, but this store holds it as a register."
    )
    assert refused.value.hint == (
        "Give the new text another name and copy the old values over; data of one kind is never "
        "read as another."
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nmae", "Did you mean 'name'?"),
        ("note", "Did you mean 'notes'?"),
        ("zzz", "Its fields are name, notes, visits."),
    ],
)
def test_an_unknown_field_names_the_likeliest_one(name: str, hint: str) -> None:
    with pytest.raises(UnknownField) as refused:
        SCHEMA.field(name)
    assert refused.value.message == f"contacts has no field {name!r}."
    assert refused.value.hint == hint
    assert refused.value.__cause__ is None
    assert isinstance(refused.value, AttributeError)


def test_an_unknown_field_of_something_else() -> None:
    error = unknown_field("the row", "phon", ["email", "phone"])
    assert str(error) == "the row has no field 'phon'. Hint: Did you mean 'phone'?"
