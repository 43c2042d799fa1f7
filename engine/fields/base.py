"""What every field view stands on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, cast

from syncline.engine.errors import OutOfRange, UsageError, WrongType

if TYPE_CHECKING:
    from syncline.engine.document.document import Document
    from syncline.engine.document.types import ValueType


class Host(Protocol):
    """The document behind a view, wherever it is at the moment.

    A view may outlive the document in memory: it asks for it at every use.
    """

    def document(self) -> Document:
        """The document, loaded. Raises RecordNotFound when the record was deleted."""
        ...

    def writing(self) -> AbstractContextManager[Document]:
        """The document, for a change that becomes one update of this replica."""
        ...

    def tick(self, seen: int = 0) -> int:
        """A new stamp of the replica's hybrid clock, later than the stamp ``seen``."""
        ...

    def same_place(self, other: Host) -> bool:
        """Whether ``other`` looks for its documents where this one does."""
        return self is other


class _NoRecord(Host):
    """The host of a view that only declares a field."""

    def document(self) -> NoReturn:
        raise UsageError(
            "This view belongs to no record.",
            hint="In a class, as in `notes: Text = Text()`, it declares a field; read it from a "
            "record: record.notes.",
        )

    def writing(self) -> NoReturn:
        self.document()

    def tick(self, seen: int = 0) -> NoReturn:
        self.document()


class FieldView(ABC):
    """One field of one record. Reads see the current content, writes are immediate and local. Both
    raise RecordNotFound when the record was deleted.

    One made without arguments declares a field, as in ``notes: Text = Text()``: so type checkers
    know that a new record need not be given it.
    """

    kind: ClassVar[str]
    """The name of the layout, as in ``kind:field``, which names the root."""

    def __init__(
        self,
        host: Host = _NoRecord(),  # noqa: B008 - it holds nothing
        owner: str = "a field",
        name: str = "",
        item: ValueType | None = None,
    ) -> None:
        self._host = host
        self._where = f"{owner}.{name}"
        self._item: ValueType = cast("ValueType", item)
        self._root = f"{self.kind}:{name}"

    @abstractmethod
    def to_plain(self) -> Any:
        """The content as plain values."""

    @abstractmethod
    def fill(self, value: Any) -> None:
        """Put the initial content of a new record in."""

    def same_as(self, other: object) -> bool:
        """Whether ``other`` is a view of this very field (``record.field += 1`` assigns it)."""
        return (
            isinstance(other, FieldView) and other._host is self._host and other._root == self._root
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._where}: {self.to_plain()!r}>"


def check_str_key(where: str, key: object) -> str:
    """Return ``key`` if it is a str, as the keys of maps are, else raise WrongType."""
    if not isinstance(key, str):
        raise WrongType(
            f"A key of {where} must be str, not {type(key).__qualname__}.",
            hint="Convert the key with str() first.",
        )
    return key


def check_index(where: str, index: object) -> int:
    """Return ``index`` if it is an int, else raise WrongType."""
    if not isinstance(index, int):
        raise WrongType(
            f"{where} is indexed by int, not {type(index).__qualname__}.",
            hint="Use an index from 0 to len - 1, or a negative one from the end.",
        )
    return index


def index_in(where: str, length: int, index: object) -> int:
    """``index`` counted from the start, among ``length`` items of ``where``. Raises WrongType,
    OutOfRange."""
    index = check_index(where, index)
    if not -length <= index < length:
        raise OutOfRange(
            f"{where} has {length} items, so there is none at {index}.",
            hint="Use an index from 0 to len - 1, or a negative one from the end.",
        )
    return index % length
