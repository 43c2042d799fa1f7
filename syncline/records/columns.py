"""Columns: what a field of a record class is in a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

from syncline.engine.errors import UsageError
from syncline.engine.records.projection import projected

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

T = TypeVar("T")

_columns: WeakKeyDictionary[type, Mapping[str, ColumnElement[Any]]] = WeakKeyDictionary()


def columns_of(model: type[Any]) -> Mapping[str, ColumnElement[Any]]:
    """The columns of the table of the record class ``model`` by field, and ``key``; always the same
    objects."""
    columns = _columns.get(model)
    if columns is None:
        from syncline.stores.tables.criteria import guarded
        from syncline.stores.tables.projection import sql_table

        table = sql_table(projected(model.__schema__))
        made = {name: guarded(column) for name, column in table.c.items()}
        columns = _columns.setdefault(model, made)  # another thread may have been faster
    return columns


def column_of(model: type[Any], name: str) -> ColumnElement[Any]:
    """One of them. Raises AttributeError for a class without a table, such as Record itself."""
    if "__schema__" not in model.__dict__:
        raise AttributeError(f"{model.__name__} has no columns")
    return columns_of(model)[name]


def col(field: T) -> ColumnElement[T]:
    """The column of a field, for type checkers: ``col(Contact.phone).is_not(None)``.

    Raises UsageError for anything but a field taken from a record class.
    """
    from sqlalchemy import ColumnElement

    value: Any = field
    if not isinstance(value, ColumnElement):
        raise UsageError(
            f"{value!r:.60} is not a field of a record class.",
            hint="Write col(Contact.name), with the class and not with a record.",
        )
    return cast("ColumnElement[T]", value)
