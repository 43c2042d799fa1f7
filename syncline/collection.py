"""Collections: the records of one class in one replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from syncline.engine.cells import cells_of
from syncline.engine.changes import ChangeFeed, DocumentChange, Kind, Origin
from syncline.engine.document import Document
from syncline.engine.errors import RecordExists, RecordNotFound, WrongType
from syncline.engine.identity import uuid7
from syncline.engine.liveness import write_live
from syncline.engine.names import Address, check_key
from syncline.engine.schema import LIVE, REGISTERS

from .record import Record, RecordHost
from .workspace import Workspace

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """What happened to one record since the reader last looked.

    ``fields`` are the names of the fields that changed; ``origin`` says whether the (last) change
    was made here or came from the relay. ``record`` of a deleted one still has its ``key``.
    """

    kind: Kind
    record: R
    fields: tuple[str, ...]
    origin: Origin


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
        record, host = self._attach(address)
        with self._workspace.transaction(f"create {address}"):
            with self._workspace.writing(address) as document:
                self._write_registers(document, host, fields)
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

    def _write_registers(
        self, document: Document, host: RecordHost, fields: dict[str, Any]
    ) -> None:
        cells = cells_of(document, REGISTERS)
        registers = {
            name: self._schema.fields[name].value.encode(value, f"{self.name}.{name}")
            for name, value in fields.items()
            if self._schema.fields[name].view is None
        }
        write_live(document, True, self._schema.delete_vs_edit, host.tick(cells.stamp(LIVE)))
        for name, encoded in registers.items():
            cells.write(name, encoded, host.tick(cells.stamp(name)))

    def _new_key(self) -> str:
        return uuid7(self._workspace.now, self._workspace.rng)

    def _attach(self, address: Address) -> tuple[R, RecordHost]:
        host = RecordHost(self._workspace, self._schema, address)
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
        host = RecordHost(self._workspace, self._schema, address)
        with self._workspace.writing(address) as document:
            stamp = host.tick(cells_of(document, REGISTERS).stamp(LIVE))
            write_live(document, False, self._schema.delete_vs_edit, stamp)

    def __contains__(self, key: object) -> bool:
        return key in self._workspace.keys(self.name)

    def __len__(self) -> int:
        return len(self._workspace.keys(self.name))

    def __iter__(self) -> Iterator[R]:
        for key in sorted(self._workspace.keys(self.name)):
            record = self.get(key)
            if record is not None:  # deleted by the body of the loop
                yield record

    def changes(self) -> ChangeStream[R]:
        """The changes from now on, local and remote, to be read with ``async for``.

        It ends when the replica closes. Changes of one record that the reader has not taken yet
        come as one. Raises LimitExceeded when 100,000 changed records wait.
        """
        stream = ChangeStream(lambda address: self._attach(address)[0])
        self._workspace.subscribe(self.name, stream)
        return stream


class ChangeStream(Generic[R]):
    """An async iterator of the changes of one collection since it was made."""

    def __init__(self, record_at: Callable[[Address], R]) -> None:
        self._record_at = record_at
        self._feed = ChangeFeed()
        self._arrived = asyncio.Event()
        self._ended = False

    def add(self, change: DocumentChange) -> None:
        """Take part in a change. Called by the workspace."""
        self._feed.add(change)
        self._arrived.set()

    def end(self) -> None:
        """Let the reader take what waits, then stop."""
        self._ended = True
        self._arrived.set()

    def __aiter__(self) -> ChangeStream[R]:
        return self

    async def __anext__(self) -> Change[R]:
        while (change := self._feed.take()) is None:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        record = self._record_at(change.address)
        return Change(change.kind, record, tuple(sorted(change.fields)), change.origin)
