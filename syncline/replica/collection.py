"""Collections: the records of one class in one replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from syncline.engine.errors import RecordExists, RecordNotFound, UsageError, WrongType
from syncline.engine.identity import uuid7
from syncline.engine.names import Address, check_key
from syncline.engine.records.emptying import is_purged
from syncline.engine.records.liveness import deleted_at
from syncline.records.descriptors import address_of
from syncline.records.lifecycle import (
    NewRecord,
    delete_record,
    from_draft,
    lacking,
    new_record,
    purge_record,
    write_new,
)
from syncline.records.record import Record

from .changes import ChangeStream
from .local.document_cache import READ_AHEAD
from .local.hosts import DocumentHost, RecordHost
from .local.pace import Pace
from .local.workspace import Workspace
from .query import Query
from .reading import PAGE, Reading

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
        """Make a record. ``key`` names it; without one it gets a UUIDv7. Fields that are not given
        get their defaults, which are written like the others. Where a record of this key was
        deleted the new one begins empty.

        Two devices that create the same key make one record, whose fields merge. Raises
        RecordExists if this replica has it already, UnknownField, WrongType, ValueRefused,
        InvalidName.
        """
        address = self._free_address(key)
        missing = lacking(self._schema, fields)
        if missing is not None:
            raise WrongType(
                f"{self.name} records need the field {missing!r}.",
                hint=f"Give it: create({missing}=…), or declare a default for it.",
            )
        new = new_record(self._schema, fields, str(address))
        record, host = self._attach(address)
        self._write(record, host, address, new, drawn=key is None)
        return record

    def add(self, record: R, *, key: str | None = None) -> R:
        """Make a draft, ``Contact(name="Ada")``, a record of this collection; returns it.

        ``key`` names it; without one it gets a UUIDv7. Type checkers know the fields of a draft, as
        they do not know those of ``create``. Raises WrongType, RecordExists, InvalidName, and
        UsageError for a record that is in a collection already.
        """
        if not isinstance(record, self._model):
            raise WrongType(
                f"{self.name} takes {self._model.__name__} records, not "
                f"{type(record).__qualname__}.",
                hint=f"Add {self._model.__name__}(…).",
            )
        if address_of(record).key:
            raise UsageError(
                f"The record {str(address_of(record))!r} is in a collection already.",
                hint="Records are edited where they are. For a copy, "
                f"create(**record.to_dict()), or add another {self._model.__name__}(…).",
            )
        address = self._free_address(key)
        attached, host = self._attach(address)
        self._write(attached, host, address, from_draft(record), drawn=key is None)
        record._bind(host, address)  # pyright: ignore[reportPrivateUsage]
        return record

    def _free_address(self, key: str | None) -> Address:
        address = Address(self.name, check_key(key) if key is not None else self._new_key())
        if address.key in self:
            raise RecordExists(
                f"There is a record {str(address)!r} already.",
                hint="Get it with collection.get(key) and change its fields.",
            )
        return address

    def _write(
        self, record: R, host: RecordHost, address: Address, new: NewRecord, *, drawn: bool
    ) -> None:
        if drawn:
            self._workspace.documents.begin(address, 0)  # nobody has it: the store is not asked
        with self._workspace.transaction(f"create {address}"):
            with self._workspace.writing(address) as document:
                write_new(document, host, self._schema, new)
            for name, content in new.contents.items():
                getattr(record, name).fill(content)

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
            raise self._missing(key)
        return record

    def delete(self, key: str) -> None:
        """Delete the record called ``key``. Raises RecordNotFound."""
        delete_record(self[key])

    def purge(self, key: str) -> None:
        """Take what the record called ``key`` holds away for good, also where it was deleted
        before; deletes it, if it exists.

        What remains says only that the record was deleted. This replica's log is compacted soon
        after the relay has acknowledged it; a relay's by ``syncline compact``, or when it has
        grown. An edit made elsewhere at the same time stays. Raises RecordNotFound if there never
        was such a record.
        """
        address = Address(self.name, check_key(key))
        if key not in self and key not in self._deleted():
            raise self._missing(key)
        self._purge(address)

    async def purge_deleted(self, older_than: timedelta) -> int:
        """Purge the records that were deleted longer ago than ``older_than``; returns how many
        there were. Costs a reading of every record that was ever deleted; the event loop goes on
        after each. Raises what ``purge`` raises, StoreError."""
        latest = self._workspace.clock.now() - older_than // timedelta(milliseconds=1)
        purged = 0
        for key in sorted(self._deleted()):
            address = Address(self.name, key)
            document = self._workspace.documents.get(address)
            if key not in self and not is_purged(document) and deleted_at(document) <= latest:
                self._purge(address)
                purged += 1
            await asyncio.sleep(0)
        return purged

    def _purge(self, address: Address) -> None:
        with self._workspace.writing(address) as document:
            purge_record(document, DocumentHost(self._workspace, address), self._schema)

    def _deleted(self) -> set[str]:
        """The keys of records that were there once."""
        return self._workspace.keys(self.name) - self._workspace.records.keys(self.name)

    def _missing(self, key: str) -> RecordNotFound:
        return RecordNotFound(
            f"There is no record {self.name}/{key}.",
            hint="collection.get(key) returns None instead of raising.",
        )

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._workspace.records.keys(self.name)

    def __len__(self) -> int:
        return len(self._workspace.records.keys(self.name))

    def __iter__(self) -> Iterator[R]:
        keys = sorted(self._workspace.records.keys(self.name))
        for start in range(0, len(keys), READ_AHEAD):
            some = keys[start : start + READ_AHEAD]
            self._workspace.documents.expect(Address(self.name, key) for key in some)
            for key in some:
                record = self.get(key)
                if record is not None:  # deleted by the body of the loop
                    yield record

    async def __aiter__(self) -> AsyncIterator[R]:
        """The same for ``async for``, which lets the event loop turn between stretches."""
        for place, record in enumerate(self):
            yield record
            if place % READ_AHEAD == READ_AHEAD - 1:
                await asyncio.sleep(0)

    def where(self, *criteria: ColumnElement[bool] | bool) -> Query[R]:
        """The records that meet all of ``criteria``: expressions of the class's fields, such as
        ``Contact.name == "Ada"`` or ``col(Contact.phone).is_not(None)``. Raises UsageError."""
        return Query(self._workspace, self._model).where(*criteria)

    def order_by(self, *columns: object) -> Query[R]:
        """All records, in the order of ``columns``, such as ``Contact.name`` or
        ``col(Contact.born).desc()``. Raises UsageError."""
        return Query(self._workspace, self._model).order_by(*columns)

    def rows(
        self, *, mode: Literal["python", "json"] = "python", page: int = PAGE
    ) -> Reading[dict[str, Any]]:
        """The fields of every record as a dict, from the table: see ``Query.rows``."""
        return Query(self._workspace, self._model).rows(mode=mode, page=page)

    def values(self, *fields: object, page: int = PAGE) -> Reading[Any]:
        """Some fields of every record, from the table: see ``Query.values``."""
        return Query(self._workspace, self._model).values(*fields, page=page)

    def changes(self) -> ChangeStream[R]:
        """The changes from now on, local and remote, to be read with ``async for``.

        It ends when the replica closes. Changes of one record that the reader has not taken yet
        come as one. Raises LimitExceeded when 100,000 changed records wait.
        """
        workspace = self._workspace
        stream = ChangeStream(
            lambda address: self._attach(address)[0],
            workspace.check_waiting,
            Pace(workspace.work_slice),
        )
        self._workspace.records.subscribe(self.name, stream)
        return stream
