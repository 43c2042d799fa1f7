"""Looking for damage: that everything in an SQL store agrees with everything else."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    distinct,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)

from syncline.engine.errors import DocumentBroken, InvalidUpdate, MalformedFrame, StoreDamaged
from syncline.engine.names import Address
from syncline.engine.updates.parse import (
    StateVector,
    UpdateLimits,
    covers,
    decode_state_vector,
    parse_update,
)
from syncline.stores.base import DocumentInfo
from syncline.stores.tables import schema

from . import read as sql_read
from .compiled import Compiled

_T = TypeVar("_T")
_ANY_SIZE = UpdateLimits(max_bytes=2**40)

_workspaces = schema.workspaces.c
_documents = schema.documents.c
_updates = schema.updates.c

_logs = (
    select(
        _workspaces.name,
        _workspaces.head,
        func.min(_updates.seq),
        func.max(_updates.seq),
        func.count(_updates.seq),
        func.count(distinct(_updates.seq)),
    )
    .outerjoin_from(schema.workspaces, schema.updates, _updates.workspace_id == _workspaces.id)
    .group_by(_workspaces.id, _workspaces.name, _workspaces.head)
    .order_by(_workspaces.name)
)
_lost_updates = (
    select(func.count(), func.min(_updates.seq))
    .outerjoin_from(schema.updates, schema.documents, _documents.id == _updates.document_id)
    .where(or_(_documents.id.is_(None), _documents.workspace_id != _updates.workspace_id))
)
_lost_documents = (
    select(func.count(), func.min(_documents.key))
    .outerjoin_from(schema.documents, schema.workspaces, _workspaces.id == _documents.workspace_id)
    .where(_workspaces.id.is_(None))
)
# The row of the document, as entry number -1, and its log, of one moment.
_document = Compiled(
    union_all(
        select(
            literal_column("-1", BigInteger).label("seq"),
            _documents.state_vector.label("data"),
            _documents.last_seq.label("last_seq"),
            _documents.updates.label("updates"),
            _documents.size.label("size"),
        ).where(*sql_read.this_document),
        select(_updates.seq, _updates.data, null(), null(), null())
        .join(schema.documents, _documents.id == _updates.document_id)
        .where(*sql_read.this_document),
    ).order_by("seq"),
    *("workspace", "collection", "key") * 2,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a store: in a document, a workspace, or (``workspace == ""``) in all."""

    workspace: str
    address: Address | None
    message: str


class Read(Protocol):
    """Makes a query, and raises Syncline's errors."""

    def __call__(self, query: Callable[[Connection], _T], /) -> _T: ...


class Verification:
    """One walk through a store, with one document in memory at a time.

    Others may write meanwhile: what is compared is of one moment. ``structure`` asks the database
    about its own, and ``state_of`` opens the document that a log makes.
    """

    def __init__(
        self,
        read: Read,
        structure: Callable[[Connection], list[str]],
        state_of: Callable[[Sequence[bytes]], StateVector],
    ) -> None:
        self._read = read
        self._state_of = state_of
        self._structure = structure
        self._found: list[Problem] = []

    def run(self) -> list[Problem]:
        """Everything found wrong. Raises StoreFailed when the store cannot be read now."""
        with self._noticing():
            for message in self._read(self._structure):
                self._found.append(Problem("", None, message))
        for statement, noun in ((_lost_updates, "updates"), (_lost_documents, "documents")):
            with self._noticing():
                self._check_lost(statement, noun)
        logs: list[Any] = []
        with self._noticing():
            logs = self._read(_all_logs)
        for name, head, first, last, count, numbers in logs:
            if count and (first < 1 or last > head):
                message = f"The log goes from seq {first} to {last}, and the head is {head}."
                self._found.append(Problem(name, None, message))
            if count != numbers:
                message = f"The {count} rows of the log have {numbers} different seqs."
                self._found.append(Problem(name, None, message))
            with self._noticing(name):
                self._check_documents(name)
        return self._found

    @contextmanager
    def _noticing(self, workspace: str = "", address: Address | None = None) -> Generator[None]:
        try:
            yield
        except (StoreDamaged, InvalidUpdate, MalformedFrame, DocumentBroken) as error:
            self._found.append(Problem(workspace, address, error.message))

    def _check_lost(self, statement: Select[int, Any], noun: str) -> None:
        count, first = self._read(lambda connection: connection.execute(statement).one())
        if count:
            message = f"{count} {noun} belong to nothing, the first is {first}."
            self._found.append(Problem("", None, message))

    def _check_documents(self, workspace: str) -> None:
        after = Address("", "")
        while True:
            page = self._read(partial(_page, workspace=workspace, after=after))
            for info in page:
                with self._noticing(workspace, info.address):
                    for message in self._document_problems(workspace, info.address):
                        self._found.append(Problem(workspace, info.address, message))
            if len(page) < sql_read.DOCUMENTS_PAGE:
                return
            after = page[-1].address

    def _document_problems(self, workspace: str, address: Address) -> Iterator[str]:
        values = (workspace, *address) * 2
        rows = self._read(lambda connection: list(_document.query(connection, values).all()))
        _, state_vector, last_seq, count, size = rows.pop(0)
        log = [(row[0], sql_read.as_bytes(row[1])) for row in rows]
        counted = (len(log), sum(len(data) for _, data in log), log[-1][0] if log else 0)
        if counted != (count, size, last_seq):
            yield (
                f"It has {counted[0]} updates of {counted[1]} bytes up to seq {counted[2]}, and "
                f"{count} of {size} up to {last_seq} are noted."
            )
        expected = decode_state_vector(sql_read.as_bytes(state_vector))
        # Parsed before anything native sees it, as bytes from the network are.
        state: StateVector = {}
        for seq, data in log:
            info = parse_update(data, _ANY_SIZE)
            if not covers(state, info.needs):
                yield f"Its update of seq {seq} needs changes that the log does not have before it."
                return
            state = info.advance(state)
        rebuilt = self._state_of([data for _, data in log])
        if rebuilt != expected:
            yield f"Its log makes the state {rebuilt}, and {expected} is noted."


def _page(connection: Connection, *, workspace: str, after: Address) -> list[DocumentInfo]:
    return sql_read.documents_after(connection, workspace, None, after)


def _all_logs(connection: Connection) -> list[Any]:
    return list(connection.execute(_logs).all())
