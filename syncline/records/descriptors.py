"""Descriptors: how an attribute of a record reads and writes its document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload

from syncline.engine.document.cells import cells_of
from syncline.engine.errors import UsageError, WrongType
from syncline.engine.fields import FieldView, Host
from syncline.engine.names import Address
from syncline.engine.records.projection import KEY
from syncline.engine.records.schema import REGISTERS, FieldSpec, Schema

from .columns import column_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement


class KeyAttribute:
    """The descriptor behind ``key``: a str of a record, a column of its class."""

    @overload
    def __get__(self, record: None, owner: type[Any]) -> ColumnElement[str]: ...
    @overload
    def __get__(self, record: object, owner: type[Any]) -> str: ...
    def __get__(self, record: object, owner: type[Any]) -> ColumnElement[str] | str:
        if record is None:
            return column_of(owner, KEY)
        key = address_of(record).key
        if not key:
            raise UsageError(
                f"This {owner.__name__} has no key yet.",
                hint="It gets one with collection.add(record), or collection.add(record, key=…).",
            )
        return key


class OtherFields(Mapping[str, Any]):
    """The fields of a record as a mapping that reads them when asked, ``given`` ones aside."""

    def __init__(self, record: Any, given: Mapping[str, Any]) -> None:
        self._record = record
        self._given = given
        self._fields = schema_of(record).fields

    def __getitem__(self, name: str) -> Any:
        if name not in self._fields:
            raise KeyError(name)
        return self._given[name] if name in self._given else getattr(self._record, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class FieldAttribute:
    """The descriptor behind one declared field. ``declared`` is what stood there in the class: a
    class that inherits the field reads it again."""

    def __init__(self, name: str, spec: FieldSpec, declared: Any) -> None:
        self.name = name
        self.spec = spec
        self.declared = declared
        unwritten = spec.unwritten
        self._unwritten = None if unwritten is None else spec.value.decode(unwritten.decode())

    def __get__(self, record: Any, owner: type[Any]) -> Any:
        if record is None:
            return column_of(owner, self.name)
        if self.spec.view is not None:
            return self._view(record)
        cell = self.spec.choose(cells_of(host_of(record).document(), REGISTERS))
        return self._unwritten if cell is None else self.spec.value.restore(cell.value)

    def __set__(self, record: Any, value: Any) -> None:
        if self.spec.view is not None and self._view(record).same_as(value):
            return  # `record.visits += 1` has counted and now assigns the view that it got
        write_registers(record, {self.name: value})

    def _view(self, record: Any) -> FieldView:
        if self.spec.view is None:
            raise AssertionError("a register has no view")
        collection = schema_of(record).collection
        return self.spec.view(host_of(record), collection, self.spec.name, self.spec.value)


def write_registers(record: Any, values: Mapping[str, Any]) -> None:
    """Write the registers called so by attribute, in one change; nothing if one is refused.

    Raises UnknownField, WrongType, ValueRefused, RecordNotFound.
    """
    schema, others, encoded = schema_of(record), OtherFields(record, values), dict[str, bytes]()
    for name, value in values.items():
        spec = schema.field(name)
        if spec.view is not None:
            raise WrongType(
                f"{schema.collection}.{name} is a {spec.view.__name__}, which is edited, not "
                "assigned.",
                hint="Use its methods, for example append, add, insert or +=.",
            )
        where = f"{schema.collection}.{name}"
        encoded[spec.name] = spec.encode(value, others, where, f"{_spoken(record)}.{name}")
    if not encoded:
        return
    host = host_of(record)
    with host.writing() as document:
        cells = cells_of(document, REGISTERS)
        for name, value in encoded.items():
            cells.write(name, value, host.tick(cells.stamp(name)))


def _spoken(record: Any) -> str:
    address = address_of(record)
    return str(address) if address.key else address.collection


def schema_of(record: Any) -> Schema:
    schema: Schema = record.__schema__
    return schema


def host_of(record: Any) -> Host:
    host: Host = object.__getattribute__(record, "_host")
    return host


def address_of(record: Any) -> Address:
    address: Address = object.__getattribute__(record, "_address")
    return address
