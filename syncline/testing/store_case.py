"""What the parts of the store contract share: the store under test, and short writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.engine.names import Address
from syncline.stores.base import DocumentWrite, Store

A = Address("pages", "a")
B = Address("pages", "b")
C = Address("notes", "a")
ALL = 2**40


def change(
    address: Address, *updates: bytes, live: bool | None = None, epoch: int = 0
) -> DocumentWrite:
    """A write to one document whose state vector tells how it came about."""
    return DocumentWrite(address, updates, b"after " + b"|".join(updates), live, epoch)


def log(store: Store, workspace: str) -> list[tuple[int, Address, bytes]]:
    """The whole log of a workspace."""
    page = store.since(workspace, 0, max_bytes=ALL, max_updates=ALL)
    assert page.cursor == page.head == store.head(workspace)
    return [(update.seq, update.address, update.data) for update in page.updates]


class StoreCase(ABC):
    """A class of tests with one store each."""

    @abstractmethod
    def make_store(self, place: Path) -> Store:
        """A store that is not open. Called with the same place again, it finds what was there."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store"

    @pytest.fixture
    def store(self, place: Path) -> Iterator[Store]:
        store = self.make_store(place)
        store.open()
        yield store
        store.close()
