"""Queries: the records whose rows meet criteria, once or as they change.

A query selects keys from the collection's SQL table and gives the records of these keys. The table
is written in the transaction that makes a change durable, so a query first has the journal save
what has gathered, and then sees everything that this program did before.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.exc import SQLAlchemyError

from syncline.engine.errors import LimitExceeded, StoreError, SynclineError, UsageError
from syncline.engine.names import Address
from syncline.engine.records.changes import ChangeFeed, DocumentChange, Kind
from syncline.engine.records.columns import column_reader
from syncline.engine.records.projection import KEY
from syncline.engine.records.schema import unknown_field
from syncline.records.columns import columns_of
from syncline.records.plain import json_value
from syncline.records.record import Record
from syncline.stores.tables.projection import ByNumber, is_decimal

from .changes import Change
from .local.document_cache import READ_AHEAD
from .local.hosts import RecordHost
from .local.pace import Pace
from .reading import PAGE, Reading, Row, Selection

if TYPE_CHECKING:
    from .local.workspace import Workspace

logger = logging.getLogger("syncline.replica")

R = TypeVar("R", bound=Record)
T = TypeVar("T")

CHUNK = 256
"""Changed records that a live query looks at in one SELECT."""


@dataclass(frozen=True, slots=True, eq=False)
class Query(Generic[R]):
    """The records of one collection that meet criteria, in an order.

    Immutable: every step gives a new query, and each reading executes it anew. Records of equal
    order, and all without an order, come in the order of their keys.

    Reading raises StoreError if changes made before cannot be stored or the table cannot be read,
    TransactionConflict inside a transaction that has changed something, ReplicaClosed, and
    UsageError for criteria that the database cannot evaluate.
    """

    _workspace: Workspace
    _model: type[R]
    _criteria: tuple[ColumnElement[bool], ...] = ()
    _order: tuple[ColumnElement[Any], ...] = ()
    _limit: int | None = None
    _offset: int = 0

    def where(self, *criteria: ColumnElement[bool] | bool) -> Query[R]:
        """Only records that meet all of ``criteria`` too. Raises UsageError."""
        checked = tuple(self._expression(item, _NO_CRITERION) for item in criteria)
        return replace(self, _criteria=self._criteria + checked)

    def order_by(self, *columns: object) -> Query[R]:
        """In the order of ``columns``, after those given before. Raises UsageError."""
        checked = tuple(self._expression(item, _NO_COLUMN) for item in columns)
        return replace(self, _order=self._order + checked)

    def limit(self, count: int) -> Query[R]:
        """At most ``count`` records. Raises UsageError for a negative one."""
        return replace(self, _limit=_check_count(count))

    def offset(self, count: int) -> Query[R]:
        """Without the first ``count`` records. Raises UsageError for a negative one."""
        return replace(self, _offset=_check_count(count))

    def all(self) -> list[R]:
        """The records, in order."""
        return [self.record(key) for (key,) in self._workspace.select(self._selection(()).keys())]

    def first(self) -> R | None:
        """The first record, or None."""
        limit = 1 if self._limit is None else min(1, self._limit)
        return next(iter(replace(self, _limit=limit).all()), None)

    def count(self) -> int:
        """How many records there are, without loading them."""
        counted = self._selection(()).keys().subquery()
        rows = self._workspace.select(select(func.count()).select_from(counted))
        return cast("int", rows[0][0])

    def exists(self) -> bool:
        """Whether there is any record, without loading one."""
        limit = 1 if self._limit is None else min(1, self._limit)
        return bool(self._workspace.select(replace(self, _limit=limit)._selection(()).keys()))

    __bool__ = exists

    def __iter__(self) -> Iterator[R]:
        """The records that there were when the loop began, in order. Their documents are loaded
        many at once."""
        return self._in_stretches(self.all())

    async def __aiter__(self) -> AsyncIterator[R]:
        """The same for ``async for``: the store's thread finds them, page by page."""
        some: list[R] = []
        async for record in Reading(self._workspace, self._selection(()), self._record_of):
            some.append(record)
            if len(some) == READ_AHEAD:
                for each in self._in_stretches(some):
                    yield each
                some = []
        for each in self._in_stretches(some):
            yield each

    def _in_stretches(self, records: list[R]) -> Iterator[R]:
        for start in range(0, len(records), READ_AHEAD):
            some = records[start : start + READ_AHEAD]
            self._workspace.documents.expect(Address(self.collection, each.key) for each in some)
            yield from some

    def _record_of(self, row: Row) -> R:
        return self.record(row[0])

    def rows(
        self, *, mode: Literal["python", "json"] = "python", page: int = PAGE
    ) -> Reading[dict[str, Any]]:
        """The fields of each record as a dict, as ``record.to_dict(mode=mode)`` gives it, in order.

        They come from the table, ``page`` rows in one SELECT, and no document is loaded: some
        twenty times faster. What a column does not hold exactly is as the column has it: a datetime
        in UTC, None for what does not fit (docs/queries.md). Raises UsageError.
        """
        names = tuple(self._model.__schema__.fields)
        convert = self._converter(names, mode)
        return self._reading(names, lambda row: dict(zip(names, convert(row), strict=True)), page)

    def values(self, *fields: object, page: int = PAGE) -> Reading[Any]:
        """Some fields of each record, in order: plain values of one field, tuples of several, as in
        ``contacts.where(…).values("key", "name")``.

        A field is given by its name, ``"key"`` included, or as ``Contact.name``. What else is said
        of ``rows`` holds. Raises UnknownField, UsageError.
        """
        names = tuple(self._field_name(each) for each in fields)
        if not names:
            raise UsageError(
                "values() was given no field.",
                hint='Name those to be read, as in values("key", "name"); rows() reads all.',
            )
        convert = self._converter(names, "python")
        if len(names) == 1:
            return self._reading(names, lambda row: convert(row)[0], page)
        return self._reading(names, lambda row: tuple(convert(row)), page)

    def _field_name(self, field: object) -> str:
        columns = columns_of(self._model)
        for name, column in columns.items():
            if field is column or (isinstance(field, str) and field == name):
                return name
        if isinstance(field, str):
            raise unknown_field(self.collection, field, columns)
        raise UsageError(
            f"{field!s:.60} is no field of {self.collection}.",
            hint=f"Give the name of a field, or the field of the class {self._model.__name__}.",
        )

    def _converter(self, names: Sequence[str], mode: str) -> Callable[[Row], list[Any]]:
        """Makes values of the fields of a row, which begins with the key."""
        specs = self._model.__schema__.fields
        readers = [None if name == KEY else column_reader(specs[name]) for name in names]
        exact = [(place, read) for place, read in enumerate(readers) if read is not None]

        def convert(row: Row) -> list[Any]:
            values = list(row[1:])
            for place, read in exact:
                values[place] = read(values[place])
            return values

        if mode == "json":
            return lambda row: [json_value(value) for value in convert(row)]
        return convert

    def _reading(self, names: Sequence[str], make: Callable[[Row], T], page: int) -> Reading[T]:
        if type(page) is not int or page < 1:
            raise UsageError(f"{page!r:.60} is no size of a page.", hint="Give an int above 0.")
        columns = columns_of(self._model)
        selection = self._selection(tuple(columns[name] for name in names))
        return Reading(self._workspace, selection, make, page)

    def _selection(self, columns: tuple[ColumnElement[Any], ...]) -> Selection:
        order = tuple(map(_orderable, self._order))
        return Selection(self._key, columns, self._criteria, order, self._limit, self._offset)

    def changes(self) -> QueryChanges[R]:
        """The changes of what this query finds, from now on, to be read with ``async for``.

        ``created`` is a record that now meets the criteria and did not before, ``deleted`` one that
        no longer does, whether it was deleted or edited; ``updated`` one that met them before and
        after. Order, limit and offset play no part. A change comes once it is on the disk. It ends
        when the replica closes.
        """
        return QueryChanges(self._workspace, self)

    def keys(self, among: Iterable[str] | None = None) -> set[str]:
        """The keys that meet the criteria; of ``among`` only, if given."""
        statement = self._matching()
        if among is not None:
            statement = statement.where(self._key.in_(list(among)))
        return {key for (key,) in self._workspace.select(statement)}

    @property
    def _key(self) -> ColumnElement[str]:
        return columns_of(self._model)[KEY]

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return self._model.__schema__.collection

    def record(self, key: str) -> R:
        """The record called ``key``, whether it is there or not."""
        address = Address(self.collection, key)
        record: R = self._model.attach(RecordHost(self._workspace, address), address)
        return record

    def _matching(self) -> Select[str]:
        return select(self._key).where(*self._criteria)

    def _expression(self, item: object, wrong: str) -> ColumnElement[Any]:
        """``item`` if it speaks of this table only. Raises UsageError."""
        name = self._model.__name__
        if not isinstance(item, ColumnElement):
            raise UsageError(
                f"{item!r:.60} {wrong}.",
                hint=f"Use the fields of the class, as in {name}.key == 'a'; `is` and `and` work "
                "at once and make Python values: write col(…).is_(None), and several criteria.",
            )
        expression = cast("ColumnElement[Any]", item)
        try:
            tables = select(self._key).where(expression).get_final_froms()
        except (SQLAlchemyError, TypeError) as error:
            raise UsageError(
                f"{item!s:.60} {wrong}: {error}.",
                hint=f"Use expressions of the fields of {name}.",
            ) from error
        strange = [table for table in tables if table is not getattr(self._key, "table", None)]
        if strange:
            raise UsageError(
                f"{item!s:.60} speaks of {strange[0]!s:.60}, and the query is of "
                f"{self.collection}.",
                hint=f"Use the fields of {name}; another collection can be asked in a subquery, as "
                f"in {name}.key.in_(select(…)).",
            )
        return expression


_NO_CRITERION = "is not a criterion"
_NO_COLUMN = "cannot order a query"


def _orderable(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    return ByNumber(expression) if is_decimal(expression) else expression


def _check_count(count: object) -> int:
    if type(count) is not int or count < 0:
        raise UsageError(
            f"{count!r:.60} is not a number of records.", hint="Give an int of 0 or more."
        )
    return count


class QueryChanges(Generic[R]):
    """An async iterator of the changes of what a query finds, since it was made."""

    def __init__(self, workspace: Workspace, query: Query[R]) -> None:
        self._workspace = workspace
        self._query = query
        self._feed = ChangeFeed()
        self._arrived = asyncio.Event()
        self._taken: dict[str, DocumentChange] = {}
        self._ready: deque[Change[R]] = deque()
        self._ended = False
        self._reason: SynclineError | None = None
        self._pace = Pace(workspace.work_slice)
        self._members = query.keys()
        workspace.records.subscribe(query.collection, self)

    def add(self, change: DocumentChange) -> None:
        """Take part in a change. Called by the workspace."""
        self._feed.add(change)
        self._arrived.set()

    def end(self, reason: SynclineError | None = None) -> None:
        """Let the reader take what waits, then stop, or raise ``reason``: then nothing of what
        waits can be looked up any more."""
        self._reason = self._reason or reason
        self._ended = True
        self._arrived.set()
        if self._reason is not None:
            return
        try:
            while self._take():
                self._judge()
        except (LimitExceeded, StoreError) as error:
            logger.error("a live query of %s ends without its last: %s", self._query, error)
            self._taken.clear()

    def __aiter__(self) -> QueryChanges[R]:
        return self

    async def __anext__(self) -> Change[R]:
        """Raises LimitExceeded when too many changes waited, StoreError when one cannot be
        stored, and what has ended the writing of changes."""
        await self._pace.spend(1)
        while not self._ready:
            if self._reason is not None:
                raise self._reason
            if self._ended:
                raise StopAsyncIteration
            if not self._taken:
                self._workspace.check_waiting()
            self._arrived.clear()
            if not self._take():
                await self._arrived.wait()
            else:
                await self._workspace.journal.flushed()
                if not self._ended:
                    self._judge()
        return self._ready.popleft()

    def _take(self) -> bool:
        """Have as many changes taken as one SELECT looks at; returns whether there are any."""
        if self._taken:
            return True
        try:
            while len(self._taken) < CHUNK and (change := self._feed.take()) is not None:
                self._taken[change.address.key] = change
            return bool(self._taken)
        except LimitExceeded:
            self._members = self._query.keys()
            raise

    def _judge(self) -> None:
        """Find out what the changes taken mean for what the query finds."""
        some = list(self._taken)
        matching = self._query.keys(some)
        for key in some:
            change = self._taken.pop(key)
            kind = _kind(key in self._members, key in matching)
            if kind is not None:
                record = self._query.record(key)
                fields = tuple(sorted(change.fields))
                self._ready.append(Change(kind, record, fields, change.origin))
        self._members.difference_update(some)
        self._members |= matching


def _kind(before: bool, after: bool) -> Kind | None:
    if after:
        return "updated" if before else "created"
    return "deleted" if before else None
