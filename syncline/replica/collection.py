"""Collections: the records of one class in one replica."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document
from syncline.engine.errors import RecordExists, RecordNotFound, WrongType
from syncline.engine.identity import uuid7
from syncline.engine.names import Address, check_key
from syncline.engine.records.liveness import write_live
from syncline.engine.records.schema import LIVE, REGISTERS
from syncline.records.record import Record

from .changes import ChangeStream
from .local.hosts import RecordHost
from .local.workspace import Workspace
from .query import Query

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

R = TypeVar("R", bound=Record)


class Collection(Generic[R]):
    """The records of one class. Iterates in the order of the keys, which is that of creation for
    keys that were not given."""

    def __init__(self, workspace: Workspace, model: type[R]) -> None:
        self._workspace = workspace
        self._model = model
        self._schema = model.__schema__
        self.name = self._schema.collection

    def create(self, *, key: str | None = None, **fields: Any) -> R:
        """Make a record. ``key`` names it; without one it gets a UUIDv7.

        Two devices that create the same key make one record, whose fields merge. Raises
        RecordExists if this replica has it already, UnknownField, WrongType, ValueRefused,
        InvalidName.
        """
        address = Address(self.name, check_key(key) if key is not None else self._new_key())
        if address.key in self:
            raise RecordExists(
                f"There is a record {str(address)!r} already.",
                hint="Get it with collection.get(key) and change its fields.",
            )
        self._check_fields(fields)
        registers = self._encode_registers(address, fields)
        record, host = self._attach(address)
        with self._workspace.transaction(f"create {address}"):
            with self._workspace.writing(address) as document:
                self._write_registers(document, host, registers)
            for name, value in fields.items():
                if self._schema.fields[name].view is not None:
                    getattr(record, name).fill(value)
        return record

    def _check_fields(self, fields: dict[str, Any]) -> None:
        for name in fields:
            self._schema.field(name)
        for name, spec in self._schema.fields.items():
            if spec.view is None and spec.default is None and name not in fields:
                raise WrongType(
                    f"{self.name} records need the field {name!r}.",
                    hint=f"Give it: create({name}=…), or declare a default for it.",
                )

    def _encode_registers(self, address: Address, fields: dict[str, Any]) -> dict[str, bytes]:
        """The encoded registers by stored name."""
        specs = self._schema.fields
        defaults = {name: spec.default() for name, spec in specs.items() if spec.default}
        others = defaults | fields
        return {
            specs[name].name: specs[name].encode(
                value, others, f"{self.name}.{name}", f"{address}.{name}"
            )
            for name, value in fields.items()
            if specs[name].view is None
        }

    def _write_registers(
        self, document: Document, host: RecordHost, registers: dict[str, bytes]
    ) -> None:
        cells = cells_of(document, REGISTERS)
        write_live(document, True, self._schema.delete_vs_edit, host.tick(cells.stamp(LIVE)))
        for name, encoded in registers.items():
            cells.write(name, encoded, host.tick(cells.stamp(name)))

    def _new_key(self) -> str:
        return uuid7(self._workspace.now, self._workspace.rng)

    def _attach(self, address: Address) -> tuple[R, RecordHost]:
        host = RecordHost(self._workspace, address)
        return self._model.attach(host, address), host

    def get(self, key: str) -> R | None:
        """The record called ``key``, or None."""
        return self._attach(Address(self.name, key))[0] if key in self else None

    def __getitem__(self, key: str) -> R:
        record = self.get(key)
        if record is None:
            raise RecordNotFound(
                f"There is no record {self.name}/{key}.",
                hint="collection.get(key) returns None instead of raising.",
            )
        return record

    def delete(self, key: str) -> None:
        """Delete the record called ``key``. Raises RecordNotFound."""
        address = self[key]._address  # pyright: ignore[reportPrivateUsage]
        host = RecordHost(self._workspace, address)
        with self._workspace.writing(address) as document:
            stamp = host.tick(cells_of(document, REGISTERS).stamp(LIVE))
            write_live(document, False, self._schema.delete_vs_edit, stamp)

    def __contains__(self, key: object) -> bool:
        return key in self._workspace.records.keys(self.name)

    def __len__(self) -> int:
        return len(self._workspace.records.keys(self.name))

    def __iter__(self) -> Iterator[R]:
        for key in sorted(self._workspace.records.keys(self.name)):
            record = self.get(key)
            if record is not None:  # deleted by the body of the loop
                yield record

    def where(self, *criteria: ColumnElement[bool] | bool) -> Query[R]:
        """The records that meet all of ``criteria``: expressions of the class's fields, such as
        ``Contact.name == "Ada"`` or ``col(Contact.phone).is_not(None)``. Raises UsageError."""
        return Query(self._workspace, self._model).where(*criteria)

    def order_by(self, *columns: object) -> Query[R]:
        """All records, in the order of ``columns``, such as ``Contact.name`` or
        ``col(Contact.born).desc()``. Raises UsageError."""
        return Query(self._workspace, self._model).order_by(*columns)

    def changes(self) -> ChangeStream[R]:
        """The changes from now on, local and remote, to be read with ``async for``.

        It ends when the replica closes. Changes of one record that the reader has not taken yet
        come as one. Raises LimitExceeded when 100,000 changed records wait.
        """
        stream = ChangeStream(lambda address: self._attach(address)[0])
        self._workspace.records.subscribe(self.name, stream)
        return stream
