"""What every field view stands on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

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


class FieldView(ABC):
    """One field of one record. Reads see the current content, writes are immediate and local. Both
    raise RecordNotFound when the record was deleted."""

    kind: ClassVar[str]
    """The name of the layout, as in ``kind:field``, which names the root."""

    def __init__(self, host: Host, owner: str, name: str, item: ValueType) -> None:
        self._host = host
        self._where = f"{owner}.{name}"
        self._item = item
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
