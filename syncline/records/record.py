"""Records: classes whose annotations are the fields of CRDT documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, dataclass_transform

from syncline.engine.clock import COUNTER_BITS
from syncline.engine.document.cells import cells_of
from syncline.engine.errors import SchemaError, SynclineError, UsageError
from syncline.engine.fields import Host
from syncline.engine.names import Address, check_collection
from syncline.engine.records.projection import check_projectable
from syncline.engine.records.schema import (
    REGISTERS,
    DeleteVsEdit,
    Schema,
    unknown_field,
    written,
)

from .declarations import declared_fields, field
from .descriptors import KeyAttribute, write_registers
from .lifecycle import delete_record, lacking, new_record, write_new
from .lone_host import LoneHost
from .plain import json_value, plain_value

_DRAFT_CLIENT = 1
_FREE_NAMES = {"update", "delete"}
"""Methods that a class may hide by a field: there were such fields before the methods."""


@dataclass(frozen=True, slots=True)
class ConflictingValue:
    """One of the values written concurrently. ``written_at`` is in UTC, by the writer's clock, and
    ``client_id`` is the number of the writer's store: that replica's ``replica.client_id``."""

    value: Any
    written_at: datetime
    client_id: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that holds several concurrent values: ``values``, two or more, newest first. Writing
    the field resolves it."""

    field: str
    values: tuple[ConflictingValue, ...]


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class Record:
    """Base of all records:

        class Contact(Record, collection="contacts"):
            name: str
            phone: str | None = None
            notes: Text

    ``delete_vs_edit="keep-edit"`` brings a deleted record back when another device edited it at the
    same time; by default the deletion wins. Records are handles: two handles of one key are equal
    and show the same content. A handle comes from a Collection; calling the class makes a draft,
    for ``collection.add``.

    Assigning a field is one change, immediate and local. It raises WrongType or ValueRefused for
    what cannot be stored, UnknownField for a name that is not declared, and RecordNotFound, as
    reading does, when the record was deleted. Declaring a class raises SchemaError for a field that
    cannot be one.

    On the class a field is the column of its SQL table, as in
    ``contacts.where(Contact.name == …)``. To type checkers it stays what its annotation says, and
    ``col(Contact.name)`` is the column.
    """

    __schema__: ClassVar[Schema]
    _host: Host
    _address: Address

    def __init_subclass__(
        cls, *, collection: str = "", delete_vs_edit: DeleteVsEdit = "delete-wins", **rest: Any
    ) -> None:
        super().__init_subclass__(**rest)
        if not collection:
            raise SchemaError(
                f"The record class {cls.__name__} names no collection.",
                hint=f'Write `class {cls.__name__}(Record, collection="…")`.',
            )
        own = {"__schema__", "_host", "_address"}
        reserved = {name for name in vars(Record) if not name.startswith("__")} - own - _FREE_NAMES
        fields = declared_fields(cls, collection, reserved, own)
        specs = {name: attribute.spec for name, attribute in fields.items()}
        cls.__schema__ = Schema(check_collection(collection), specs, delete_vs_edit)
        check_projectable(cls.__schema__)
        for name, attribute in fields.items():
            setattr(cls, name, attribute)

    def __init__(self, **fields: Any) -> None:
        """A draft, in no collection yet: ``contacts.add(Contact(name="Ada"))``.

        It is given what ``create`` is given, can be read and edited, and ``add`` makes it a record.
        Raises SchemaError for a field that is missing, UnknownField, WrongType, ValueRefused.
        """
        schema, name = self.__schema__, type(self).__name__
        missing = lacking(schema, fields)
        if missing is not None:
            raise SchemaError(
                f"{name} records are not made by calling the class without the field {missing!r}.",
                hint=f"Use collection.add({name}({missing}=…)), or collection.create(…); or "
                "declare a default for it.",
            )
        new = new_record(schema, fields, schema.collection)
        host = LoneHost(_DRAFT_CLIENT)
        self._bind(host, Address(schema.collection, ""))
        with host.writing() as document:
            write_new(document, host, schema, new)
        for view, content in new.contents.items():
            getattr(self, view).fill(content)

    def _bind(self, host: Host, address: Address) -> None:
        object.__setattr__(self, "_host", host)
        object.__setattr__(self, "_address", address)

    @classmethod
    def attach(cls, host: Host, address: Address) -> Any:
        """A handle of the record at ``address``."""
        record = object.__new__(cls)
        record._bind(host, address)
        return record

    key = KeyAttribute()
    """What names the record in its collection: a str. On the class, the key's column."""

    def update(self, **fields: Any) -> None:
        """Write several fields in one change, all or none: ``ada.update(phone="1", city=None)``.

        Raises UnknownField, WrongType, ValueRefused, RecordNotFound.
        """
        write_registers(self, fields)

    def delete(self) -> None:
        """Delete the record, as ``collection.delete(record.key)`` does. Raises RecordNotFound."""
        delete_record(self)

    def conflicts(self) -> list[Conflict]:
        """The fields declared ``on_conflict="surface"`` that hold different concurrent values.
        Raises RecordNotFound."""
        cells = cells_of(self._host.document(), REGISTERS)
        found: list[Conflict] = []
        for name, spec in self.__schema__.fields.items():
            siblings = written(cells.siblings(spec.name)) if spec.on_conflict == "surface" else []
            if any(cell.value != siblings[0].value for cell in siblings):
                values = tuple(
                    ConflictingValue(
                        spec.value.restore(cell.value), _time_of(cell.stamp), cell.writer
                    )
                    for cell in siblings
                )
                found.append(Conflict(name, values))
        return found

    def to_dict(self, *, mode: Literal["python", "json"] = "python") -> dict[str, Any]:
        """The fields as plain values, by name: a Text as a str, a Counter as an int, a SetOf or
        ListOf as a list, a MapOf as a dict; a copy, which the caller may change. Raises
        RecordNotFound.

        With ``mode="json"`` in what ``json.dumps`` takes: decimals in digits, dates and times in
        ISO 8601, bytes in base64, durations in seconds, members of an Enum by value.
        """
        convert = json_value if mode == "json" else plain_value
        return {name: convert(getattr(self, name)) for name in self.__schema__.fields}

    if not TYPE_CHECKING:  # type checkers would take any name for a field

        def __setattr__(self, name: str, value: Any) -> None:
            if name not in self.__schema__.fields:
                raise unknown_field(self.__schema__.collection, name, self.__schema__.fields)
            object.__setattr__(self, name, value)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            raise unknown_field(self.__schema__.collection, name, self.__schema__.fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self._address == other._address and self._host.same_place(other._host)

    def __hash__(self) -> int:
        if not self._address.key:
            raise UsageError(
                f"This {type(self).__name__} cannot be in a set or a key of a dict yet.",
                hint="It is compared by its key, which it gets with collection.add(record).",
            )
        return hash(self._address)

    def __repr__(self) -> str:
        try:
            content = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        except SynclineError as error:
            content = error.code
        return f"<{type(self).__name__} {self._address.key or '(not added)'}: {content}>"


def _time_of(stamp: int) -> datetime:
    return datetime.fromtimestamp((stamp >> COUNTER_BITS) / 1000, UTC)
