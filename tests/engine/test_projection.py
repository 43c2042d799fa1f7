"""What the table of a collection shows: kinds of columns, values, rows."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import UUID

import pytest

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.document.types import ValueType
from syncline.engine.document.values import encode_value
from syncline.engine.errors import SchemaError
from syncline.engine.fields import Counter, ListOf, SetOf, Text
from syncline.engine.records.projection import (
    ColumnKind,
    ProjectedTable,
    Rows,
    check_projectable,
    column_kind,
    projected,
    to_column,
)
from syncline.engine.records.schema import REGISTERS, FieldSpec, Schema


class Stage(Enum):
    LEAD = "lead"
    WON = "won"


class Level(IntEnum):
    LOW = 1


class Mixed(Enum):
    ONE = 1
    TWO = "two"


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (str, "text"),
        (int, "integer"),
        (float, "float"),
        (bool, "boolean"),
        (Decimal, "decimal"),
        (datetime, "datetime"),
        (date, "date"),
        (bytes, "bytes"),
        (UUID, "uuid"),
        (str | None, "text"),
        (Stage, "text"),
        (Stage | None, "text"),
        (Level, "integer"),
        (Mixed, "json"),
        (Literal["a", "b"], "text"),
        (Literal["a", 1], "json"),
        (int | str, "json"),
        (int | float, "json"),
        (list[int], "json"),
        (dict[str, str] | None, "json"),
        (time, "json"),
        (timedelta, "json"),
        (Any, "json"),
        (None, "json"),
    ],
)
def test_kinds_of_columns(annotation: Any, kind: str) -> None:
    assert column_kind(annotation) == kind


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("text", "é", "é"),
        ("text", Stage.LEAD, "lead"),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", Level.LOW, 1),
        ("float", 3, 3.0),
        ("boolean", False, False),
        ("decimal", 3, Decimal(3)),
        ("decimal", Decimal("9" * 35 + "." + "9" * 30), Decimal("9" * 35 + "." + "9" * 30)),
        ("decimal", Decimal("0E-30"), Decimal("0E-30")),
        (
            "datetime",
            datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))),
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
        ("datetime", datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001
        ("json", {"b": Decimal("1.50"), "a": [b"x", UUID(int=1)]}, None),
        ("json", {1, 2}, [1, 2]),
        ("json", timedelta(seconds=1.5), 1.5),
        ("json", [date(2026, 1, 1), time(1), Stage.WON], ["2026-01-01", "01:00:00", "won"]),
    ],
)
def test_values_in_columns(kind: ColumnKind, value: Any, shown: Any) -> None:
    if isinstance(value, dict):
        shown = {"a": ["eA==", "00000000-0000-0000-0000-000000000001"], "b": "1.50"}
        assert list(to_column(kind, value)) == ["a", "b"]
    assert to_column(kind, value) == shown
    assert to_column(kind, to_column(kind, value)) == shown
    assert to_column(kind, None) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 1),
        ("text", "a\0"),
        ("text", "é" * (9 << 20)),
        ("integer", 2**63),
        ("integer", -(2**63) - 1),
        ("integer", True),
        ("integer", 1.0),
        ("float", 2**53 + 1),
        ("float", "1"),
        ("boolean", 1),
        ("decimal", Decimal("1E+35")),
        ("decimal", Decimal("1E-31")),
        ("decimal", Decimal("NaN")),
        ("decimal", 1.5),
        ("datetime", date(2026, 1, 1)),
        ("datetime", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))),
        ("date", datetime(2026, 1, 1, tzinfo=UTC)),
        ("bytes", "x"),
        ("uuid", "x"),
        ("json", ["a\0"]),
        ("json", {"a\0": 1}),
        ("json", object()),
    ],
)
def test_what_a_column_does_not_hold(kind: ColumnKind, value: Any) -> None:
    with pytest.raises((ValueError, OverflowError)):
        to_column(kind, value)


def spec(name: str, annotation: Any = str, **more: Any) -> FieldSpec:
    return FieldSpec(name, ValueType(annotation, name), **more)


COUNT = itertools.count()
SCHEMA = Schema(
    "things",
    {
        "title": spec("name"),
        "stage": spec("stage", Stage, default=lambda: Stage.LEAD),
        "best": spec("best", int, on_conflict="max", default=lambda: 2**70),
        "serial": spec("serial", list[int], default=lambda: [next(COUNT)]),
        "notes": spec("notes", Any, view=Text),
        "visits": spec("visits", Any, view=Counter),
        "tags": spec("tags", str, view=SetOf),
        "items": spec("items", int, view=ListOf),
    },
)


def test_a_table_describes_itself() -> None:
    table = projected(SCHEMA, by_workspace=True)
    again = ProjectedTable.from_signature("things", table.signature())
    assert again == table
    assert table.signature() == projected(SCHEMA, by_workspace=True).signature()
    assert table.signature() != projected(SCHEMA).signature()
    assert ProjectedTable.from_signature("things", "[0,false,[]]") is None
    # A factory that makes something else each time has no value for a row.
    assert [column.default for column in table.columns if column.name == "serial"] == [None]


def test_a_row(caplog: pytest.LogCaptureFixture) -> None:
    document = Document(1)
    empty: dict[str, Any] = {
        "title": None,
        "stage": "lead",
        "best": None,
        "serial": None,
        "notes": "",
        "visits": 0,
        "tags": [],
        "items": [],
    }
    rows = Rows(projected(SCHEMA))
    assert rows.row(document) == empty
    with document.transaction():
        cells = cells_of(document, REGISTERS)
        for name, value in (("name", "x"), ("title", "other"), ("stage", "won"), ("best", 7)):
            cells.write(name, encode_value(value, where=""), 1)
        for element in ("b", "a"):
            cells_of(document, "set:tags").write(f'"{element}"', b"null", 2)
        document.text("text:notes").insert(0, "hello")
    assert rows.row(document) == {
        **empty,
        "title": "x",
        "stage": "won",
        "best": 7,
        "notes": "hello",
        "tags": ["a", "b"],
    }
    assert not caplog.records
    with document.transaction():
        cells_of(document, REGISTERS).write("name", encode_value(5, where=""), 3)
    for _ in range(2):
        assert rows.row(document)["title"] is None
    (told,) = [record.message for record in caplog.records]
    assert told.startswith("a value of things.title stands as NULL in its table")
    assert told.endswith("int where a text is expected")
    document.close()


def test_schemas_without_a_table() -> None:
    for collection, names in (
        ("syncline_x", ["a"]),
        ("sqlite_x", ["a"]),
        ("x", ["a", "A"]),
        ("x", ["Key"]),
        ("x", ["workspace"]),
        ("x", ["a" * 64]),
    ):
        with pytest.raises(SchemaError):
            check_projectable(Schema(collection, {name: spec(name) for name in names}))
    check_projectable(SCHEMA)
