"""Both stores keep the contract."""

from __future__ import annotations

from pathlib import Path

from syncline.stores import MemoryStore, SqlStore, Store
from syncline.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    def setup_method(self) -> None:
        self.disks: dict[Path, MemoryStore] = {}

    def make_store(self, place: Path) -> Store:
        return self.disks.setdefault(place, MemoryStore())


class TestSqlStore(StoreContract):
    def make_store(self, place: Path) -> Store:
        return SqlStore(place)
