"""Columns read back: what a table holds of a field, as a value of the field's type.

The reverse of ``to_column``, as far as a column is exact. A datetime stays the instant in UTC; what
the column could not hold is None; in a union, what JSON spells alike stays as JSON has it.
"""

from __future__ import annotations

import base64
import types
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin
from uuid import UUID

from syncline.engine.document.foreign import foreign_member
from syncline.engine.document.frozen import thaw
from syncline.engine.fields import ListOf, MapOf, SetOf

from .projection import column_kind, to_column
from .schema import FieldSpec

Convert: TypeAlias = Callable[[Any], Any]

# By type: what JSON has in its place, and how that is read.
_SPELLED: dict[Any, tuple[type, Convert]] = {
    Decimal: (str, Decimal),
    UUID: (str, UUID),
    datetime: (str, datetime.fromisoformat),
    date: (str, date.fromisoformat),
    time: (str, time.fromisoformat),
    bytes: (str, lambda text: base64.b64decode(text, validate=True)),
    timedelta: (float, lambda seconds: timedelta(seconds=seconds)),
}
_JSON_TYPES = (str, int, float, bool, list, dict)


def column_reader(spec: FieldSpec) -> Convert | None:
    """What makes a field's value of that of its column, which has the Python type of its kind (json
    is parsed); None where they are the same."""
    if spec.view in (SetOf, ListOf):
        return _items(_from_json(spec.value.annotation))
    if spec.view is MapOf:
        return _entries(_from_json(spec.value.annotation))
    if spec.view is not None:
        return None
    annotation = spec.value.annotation
    if column_kind(annotation) == "json":
        return _from_json(annotation)
    if not _has_members(annotation):
        return None
    restore = spec.value.restore
    return lambda value: None if value is None else thaw(restore(value))


def _has_members(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(map(_has_members, get_args(annotation)))
    return get_origin(annotation) is Literal or _is_enum(annotation)


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _from_json(annotation: Any) -> Convert | None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _one_of(arguments)
    if origin is list:
        return _items(_from_json(arguments[0]))
    if origin is dict:
        return _entries(_from_json(arguments[1]))
    if origin is Literal or _is_enum(annotation):
        return _member(annotation)
    if annotation in _SPELLED:
        return _spelled(*_SPELLED[annotation])
    return None


def _spelled(json_type: type, read: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not json_type:
            return value  # written when the field had another type
        try:
            return read(value)
        except (ValueError, ArithmeticError):
            return value

    return convert


def _items(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None

    def of_list(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [convert(item) for item in cast("list[Any]", value)]

    return of_list


def _entries(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None

    def of_dict(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: convert(item) for key, item in cast("dict[str, Any]", value).items()}

    return of_dict


def _member(annotation: Any) -> Convert:
    """The member for what JSON has of it; of one that only another version knows, that."""
    members: dict[tuple[type, str], Any] = {}
    for member in annotation if _is_enum(annotation) else get_args(annotation):
        spelled = to_column("json", member)
        members[type(spelled), repr(spelled)] = member

    def convert(value: Any) -> Any:
        kind = cast("type[Any]", type(value))
        known = members.get((kind, repr(value)), members)
        if known is not members:
            return known
        return value if kind in (list, dict, type(None)) else foreign_member(value, annotation)

    return convert


def _one_of(arguments: tuple[Any, ...]) -> Convert | None:
    """Of a union: the type that alone is spelled as the value is, if there is one."""
    by_json: dict[type, list[Convert | None]] = {}
    for argument in arguments:
        for json_type in _spellings(argument):
            by_json.setdefault(json_type, []).append(_from_json(argument))
    alone = {
        json_type: found[0]
        for json_type, found in by_json.items()
        if len(found) == 1 and found[0] is not None
    }
    if not alone:
        return None

    def convert(value: Any) -> Any:
        kind = cast("type[Any]", type(value))
        read = alone.get(kind)
        return value if read is None else read(value)

    return convert


def _spellings(annotation: Any) -> set[type]:
    """The types that values of ``annotation`` have in JSON."""
    origin = get_origin(annotation)
    if annotation is Any:
        return set(_JSON_TYPES)
    if origin in (Union, types.UnionType):
        return {each for argument in get_args(annotation) for each in _spellings(argument)}
    if origin is Literal or _is_enum(annotation):
        members: Any = annotation if _is_enum(annotation) else get_args(annotation)
        return {type(to_column("json", member)) for member in members}
    if annotation in _SPELLED:
        return {_SPELLED[annotation][0]}
    return {origin or annotation}
