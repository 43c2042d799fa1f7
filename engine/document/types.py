"""Value types: what a declared annotation admits, and how its values are written and read."""

from __future__ import annotations

import types
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Union, cast, get_args, get_origin
from uuid import UUID

import orjson

from syncline.engine.errors import SchemaError, WrongType

from .foreign import ForeignMember, foreign_member
from .frozen import FrozenDict, FrozenList, freeze
from .values import encode_value, same_value, unpack

_SCALARS: tuple[type, ...] = (
    bool,
    int,
    float,
    str,
    bytes,
    Decimal,
    datetime,
    date,
    time,
    timedelta,
    UUID,
)
_NOTHING = object()
_EXACT_IN_FLOAT = 1 << 53


class ValueType:
    """The values of one annotation, such as ``str | None``, ``list[int]`` or an Enum.

    Raises SchemaError for an annotation that no stored value can have. ``owner`` names the field in
    errors. With ``frozen``, lists and dicts that are read refuse to be changed in place.
    """

    def __init__(self, annotation: Any, owner: str, *, frozen: bool = False) -> None:
        self.annotation = annotation
        self._owner = owner
        self._frozen = frozen
        self._has_members = False
        self._check_annotation(annotation, owner)

    def __str__(self) -> str:
        return _spell(self.annotation)

    def encode(self, value: object, where: str) -> bytes:
        """The encoded value. Raises WrongType if it is not of this type, ValueRefused if it is but
        cannot be stored."""
        admitted = _admit(value, self.annotation)
        if admitted is _NOTHING:
            raise WrongType(
                f"{where} takes {self}, not {type(value).__qualname__} ({_shorten(value)}).",
                hint=f"Assign a value of type {self}, or change the annotation of the field.",
            )
        return encode_value(admitted, where=where)

    def decode(self, encoded: str) -> Any:
        """The value that ``encode`` wrote. Raises ValueError."""
        return self.restore(unpack(orjson.loads(encoded)))

    def restore(self, value: Any) -> Any:
        """The value in its declared form: enum members for the stored values of some, and lists and
        dicts of its own, which the caller may change unless they are frozen."""
        if isinstance(value, list | dict):
            restored = _restore(value, self.annotation)
            return freeze(restored, self._owner) if self._frozen else restored
        return _restore(value, self.annotation) if self._has_members else value

    def _check_annotation(self, annotation: Any, owner: str) -> None:
        if annotation is Any or annotation is None or annotation is types.NoneType:
            return
        if annotation in _SCALARS or annotation in (list, dict):
            return
        if _is_enum(annotation):
            self._has_members = True
            return
        origin, arguments = get_origin(annotation), get_args(annotation)
        if _is_union(annotation) or (origin is list and arguments):
            for argument in arguments:
                self._check_annotation(argument, owner)
            if _is_union(annotation):
                _check_told_apart(annotation, owner)
            return
        if origin is dict and arguments and arguments[0] is str:
            self._check_annotation(arguments[1], owner)
            return
        if origin is Literal and not any(isinstance(argument, Enum) for argument in arguments):
            self._has_members = True
            return
        raise SchemaError(
            f"{owner} is annotated {_spell(annotation)}, which cannot be stored.",
            hint="Use Text, Counter, SetOf, ListOf or MapOf, or a value type: bool, int, float, "
            "str, bytes, Decimal, datetime, date, time, timedelta, UUID, an Enum, list, dict with "
            "str keys, Literal, Any, and unions of these with None.",
        )


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _check_told_apart(union: Any, owner: str) -> None:
    """Raise SchemaError if the stored value of an enum's member may also be one of another type."""
    for enum in filter(_is_enum, get_args(union)):
        for other in get_args(union):
            for member in enum if other is not enum else ():
                if _fits(member.value, other):
                    raise SchemaError(
                        f"{owner} is annotated {_spell(union)}, and {_spell(enum)}.{member.name}, "
                        f"stored as {member.value!r}, could be read as either.",
                        hint=f"Leave {_spell(other)} out, or give the members other values.",
                    )


def _admit(value: object, annotation: Any) -> Any:
    """``value`` in the form that is stored, or _NOTHING if the annotation does not admit it."""
    if annotation is Any:
        return value
    if annotation is None or annotation is types.NoneType:
        return None if value is None else _NOTHING
    if annotation is float and type(value) is int:
        # As everywhere in Python's typing, an int is welcome as a float; if it is exact as one.
        return float(value) if abs(value) <= _EXACT_IN_FLOAT else _NOTHING
    if _is_enum(annotation):
        if isinstance(value, annotation):
            return cast("Enum", value).value
        return _admit_foreign(value, annotation)
    origin = get_origin(annotation)
    if origin is None:
        return _admit_plain(value, annotation)
    return _admit_generic(value, origin, get_args(annotation))


def _admit_plain(value: object, annotation: Any) -> Any:
    kind = type(value)
    if kind is annotation:
        return value
    same = (kind is FrozenList and annotation is list) or (
        kind is FrozenDict and annotation is dict
    )
    return value if same else _NOTHING


def _admit_foreign(value: object, declared: Any) -> Any:
    """What is stored for a member that only another version knows, if it was read as one."""
    if isinstance(value, ForeignMember) and value.declared == declared:
        return value.value
    return _NOTHING


def _admit_generic(value: object, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if origin in (Union, types.UnionType):
        # float last: it also takes the int that another argument takes as it is.
        exact_first = sorted(arguments, key=lambda argument: argument is float)
        admitted = (_admit(value, argument) for argument in exact_first)
        return next((item for item in admitted if item is not _NOTHING), _NOTHING)
    if origin is Literal:
        same = (item for item in arguments if same_value(item, value))
        return next(same, _admit_foreign(value, Literal[arguments]))
    if origin is list and type(value) in (list, FrozenList):
        items = [_admit(item, arguments[0]) for item in cast("list[Any]", value)]
        return _NOTHING if any(item is _NOTHING for item in items) else items
    if origin is dict and type(value) in (dict, FrozenDict):
        entries = cast("dict[Any, Any]", value)
        packed = {key: _admit(item, arguments[1]) for key, item in entries.items()}
        return _NOTHING if any(item is _NOTHING for item in packed.values()) else packed
    return _NOTHING


def _restore(value: Any, annotation: Any) -> Any:
    """The reverse of ``_admit``; what the annotation does not admit stays as it is."""
    if _is_union(annotation):
        annotation = _meant(value, get_args(annotation))
    origin, arguments = get_origin(annotation), get_args(annotation)
    if (_is_enum(annotation) or origin is Literal) and not isinstance(value, list | dict):
        if not _fits(value, annotation):
            return foreign_member(value, annotation)
        return annotation(value) if origin is None else value
    if isinstance(value, list):
        item_type = arguments[0] if origin is list else Any
        return [_restore(item, item_type) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        item_type = arguments[1] if origin is dict else Any
        entries = cast("dict[str, Any]", value).items()
        return {key: _restore(item, item_type) for key, item in entries}
    return value


def _meant(value: Any, arguments: tuple[Any, ...]) -> Any:
    """Which of the types of a union ``value`` was stored for: one that it fits, else the one whose
    members other versions may know more of."""
    fitting = next((item for item in arguments if _fits(value, item)), None)
    if fitting is not None:
        return fitting
    return next((item for item in arguments if _is_enum(item) or get_origin(item) is Literal), Any)


def _fits(stored: Any, annotation: Any) -> bool:
    """Whether ``stored`` may be what is stored for a value of this annotation."""
    if _is_union(annotation):
        return any(_fits(stored, argument) for argument in get_args(annotation))
    if _is_enum(annotation):
        try:
            value = annotation(stored).value
        except ValueError:
            return False
        return same_value(value, stored)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list and type(stored) is list:
        return all(_fits(item, arguments[0]) for item in cast("list[Any]", stored))
    if origin is dict and type(stored) is dict:
        return all(_fits(item, arguments[1]) for item in cast("dict[str, Any]", stored).values())
    if annotation is float:
        return type(stored) is float
    return _admit(stored, annotation) is not _NOTHING


def _spell(annotation: Any) -> str:
    if annotation is types.NoneType:
        return "None"
    if get_origin(annotation) in (Union, types.UnionType):
        return " | ".join(_spell(argument) for argument in get_args(annotation))
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
